"""SP*/GDBS* XML as the 2009 department writes and reads it: its own few lines of code, GBK bytes labelled
gb2312.

No transport here. Untrusted documents are parsed without entities, DTD or network.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Final

from lxml import etree

from stubs.model import SHANGHAI, Event, Planned, moment_of

CHARSET: Final = "gbk"
LABEL: Final = "gb2312"
DOCUMENT_BYTES_MAX: Final = 4 * 1024 * 1024
_KINDS: Final = {  # record -> what the department takes it for
    "SPSHENQIN": "case.submitted",
    "SPBUZHENGSHOULI": "case.corrected",
    "SPCHEHUI": "case.withdrawn",
    "SPLINGQUDENGJI": "case.delivered",
}


class Unreadable(Exception):
    """The document is not SP* XML this system can read; the text goes into DESC."""


def parse(text: str) -> etree._Element:
    """The root of a document given as text or with an encoding label. Raises Unreadable."""
    if len(text) > DOCUMENT_BYTES_MAX:
        raise Unreadable("报文超过4MB")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False)
    body = text.lstrip("\ufeff \r\n\t")
    if body.startswith("<?xml"):
        body = body.partition("?>")[2]  # the label names the bytes it came in; we hold characters
    if "<!DOCTYPE" in body or "<!ENTITY" in body:
        raise Unreadable("不允许DTD")
    try:
        return etree.fromstring(body.encode("utf-8"), parser)
    except etree.XMLSyntaxError as error:
        raise Unreadable(f"XML格式错误：{error.msg}") from error


def write(root: etree._Element) -> bytes:
    """A document's bytes: GBK, labelled gb2312 as such systems do. Raises UnicodeEncodeError for what GBK
    lacks."""
    return f'<?xml version="1.0" encoding="{LABEL}"?>\n{etree.tostring(root, encoding="unicode")}\n'.encode(
        CHARSET
    )


# What the department reads


def read_dispatch(xml: str) -> Event:
    """One business object the hub sent through sendApply. Raises Unreadable."""
    root = parse(xml)
    if root.tag != "APPROVEDATAINFO":
        raise Unreadable(f"根节点应为APPROVEDATAINFO，实际为{root.tag}")
    exchange, serial = _of(root, "EXCHANGENO"), _of(root, "SBLSH_SHORT")
    if not exchange or not serial:
        raise Unreadable("缺少EXCHANGENO或SBLSH_SHORT")
    record = next((child for child in root if len(child) or child.tag.startswith("SP")), None)
    if record is None:
        raise Unreadable("没有业务数据")
    kind = _kind(record)
    body = _submitted(record, root) if kind == "case.submitted" else _other(record)
    return Event(
        dispatch_id=exchange,
        message_id=_of(root, "XXBH"),
        kind=kind,
        case_no=serial,
        source=_of(root, "LYXT"),
        occurred_at=_business_time(record),
        region=_of(root, "XZQHDM"),
        item=_of(root, "SXBM"),
        body=body,
    )


def read_registration(document: bytes) -> Planned:
    """A case begun at the department's own counter, from the SPSHENQIN document it keeps. Raises Unreadable,
    UnicodeDecodeError."""
    root = parse(document.decode(CHARSET))
    record = root.find("SPSHENQIN")
    if record is None or not _of(root, "SBLSH_SHORT"):
        raise Unreadable("缺少SPSHENQIN或SBLSH_SHORT")
    case_ref = _of(root, "SBLSH_SHORT")
    return Planned(
        member="dept-b",
        type="case.submitted",
        source_ref=f"{case_ref}-SQ",
        occurred_at=_business_time(record),
        case_ref=case_ref,
        body=_submitted(record, root),
        document=document,
    )


def _kind(record: etree._Element) -> str:
    if record.tag == "SPSHOULI":
        return "case.accepted" if _of(record, "SLZTDM") == "1" else "case.not_accepted"
    if record.tag == "SPKUOZHAN":
        return _of(record, "LX")
    kind = _KINDS.get(str(record.tag))
    if kind is None:
        raise Unreadable(f"本系统不接收{record.tag}")
    return kind


def _submitted(record: etree._Element, root: etree._Element) -> dict[str, Any]:
    form = _of(record, "XML_DATA")
    if form and _of(record, "BDBM") != "base64":
        form = base64.b64encode(form.encode()).decode()
    return {
        "item": _of(record, "SXBM") or _of(root, "SXBM"),
        "itemName": _of(record, "SXMC"),
        "region": _of(record, "XZQHDM") or _of(root, "XZQHDM"),
        "projectType": _of(record, "BJLX") or ("1" if _of(root, "EXPRESSTYPE") == "2" else "2"),
        "applicant": {"name": _of(record, "SQRMC"), "legalPerson": _of(record, "FDDBR")},
        "agent": {"name": _of(record, "LXRXM")},
        "window": _of(record, "SBJTWD"),
        "form": {"content": form},
        "materials": [
            {"code": _of(one, "STUFF_SEQ"), "name": _of(one, "CLMC"), "ref": _of(one, "ATTACH_ID")}
            for one in record.iterfind(".//RECORD")
        ],
    }


def _other(record: etree._Element) -> dict[str, Any]:
    return {str(child.tag): (child.text or "").strip() for child in record if not len(child)}


def _business_time(record: etree._Element) -> str:
    """The first time in the record; without zone it is Beijing time."""
    for tag in ("SBSJ", "SLSJ", "BZSJ", "CHSJ", "LQSJ", "SJ"):
        text = _of(record, tag)
        if text:
            try:
                return moment_of(text).astimezone(SHANGHAI).isoformat(timespec="seconds")
            except ValueError as error:
                raise Unreadable(f"{tag}时间格式错误：{text}") from error
    raise Unreadable("缺少业务时间")


def _of(element: etree._Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


# What the department writes

Fields = Iterable[tuple[str, Any]]


def document(planned: Planned) -> tuple[str, bytes]:
    """(operation of the hub's SP interface, xmlStr as bytes) of one message. Raises KeyError for a type this
    system does not know."""
    if planned.document:
        return "receiveApplyRegisterSsdj", planned.document
    operation, tag, fields = _WRITERS[planned.type](planned.body)
    root = etree.Element("APPROVEDATAINFO")
    _fill(root, (("SBLSH_SHORT", planned.case_no or planned.case_ref), ("VERSION", "1")))
    _fill(etree.SubElement(root, tag), fields)
    return operation, write(root)


def registration(case_ref: str, body: Mapping[str, Any]) -> bytes:
    """SPSHENQIN of a case begun at the department's own counter (R3)."""
    root = etree.Element("APPROVEDATAINFO")
    _fill(
        root,
        (
            ("SBLSH_SHORT", case_ref),
            ("SXBM", body["item"]),
            ("XZQHDM", body["region"]),
            ("EXPRESSTYPE", "2" if body["projectType"] == "1" else "0"),
            ("YWLX", "0"),
            ("VERSION", "1"),
        ),
    )
    record = etree.SubElement(root, "SPSHENQIN")
    _fill(record, _registration_fields(case_ref, body))
    parent = etree.SubElement(record, "CAILIAO")
    for number, material in enumerate(body["materials"], 1):
        _fill(
            etree.SubElement(parent, "RECORD"),
            (
                ("SEQ", number),
                ("WJLX", "0" if material["medium"] == "paper" else "1"),
                ("CLLX", "0" if material["copy"] == "original" else "1"),
                ("CLSL", material["count"]),
                ("STUFF_SEQ", material["code"]),
                ("CLMC", material["name"]),
            ),
        )
    return write(root)


def _registration_fields(case_ref: str, body: Mapping[str, Any]) -> Fields:
    applicant, agent = body["applicant"], body["agent"]
    return (
        ("SBLSH", case_ref),
        ("SXBM", body["item"]),
        ("SXBB", body["itemVersion"]),
        ("SXMC", body["itemName"]),
        ("SQRLX", {"1": "1", "2": "2"}.get(applicant["kind"], "3")),
        ("SQRMC", applicant["name"]),
        ("SQRZJLX", applicant["idType"]),
        ("SQRZJHM", applicant["idNo"]),
        ("FDDBR", applicant.get("legalPerson")),
        ("SQRDZ", applicant.get("address")),
        ("YZBM", applicant.get("postcode")),
        ("LXRXM", agent["name"]),
        ("LXRZJLX", agent["idType"]),
        ("LXRSFZJHM", agent["idNo"]),
        ("LXRSJ", agent["mobile"]),
        ("SBXMMC", body["projectName"]),
        ("SBCLQD", ";".join(material["name"] for material in body["materials"])),
        ("TJFS", "0"),
        ("SBSJ", _time(body["appliedAt"])),
        ("XZQHDM", body["region"]),
        ("BJLX", body["projectType"]),
        ("SQLX", body["applyType"]),
        ("JGLX", body.get("resultType")),
        ("BDBH", body["form"]["formId"]),
        ("BDBB", body["form"]["version"]),
        ("BDGS", body["form"]["mediaType"]),
        ("XML_DATA", base64.b64decode(body["form"]["content"]).decode()),
    )


def _pre_examined(body: dict[str, Any]) -> tuple[str, str, Fields]:
    return (
        "receiveCourseInfoSsdj",
        "SPCAILIAOSHENHE",
        (
            ("YSLBMMC", body["org"]["name"]),
            ("YSLBMZZJGDM", body["org"]["code"]),
            ("BLRXM", body["handler"]),
            ("YSLZTDM", body["result"]),
            ("BSLYY", body.get("opinion")),
            ("YSLSJ", _time(body["examinedAt"])),
        ),
    )


def _accepted(body: dict[str, Any]) -> tuple[str, str, Fields]:
    return (
        "receiveBusinessAcceptSsdj",
        "SPSHOULI",
        (
            *_acceptance(body, "1", body["acceptedAt"]),
            ("XZQHDM", body["region"]),
            ("CNBJSJ", _time(body["promiseDate"]) if body.get("promiseDate") else ""),
            ("BJLX", body["projectType"]),
            ("SLCK", body.get("window")),
        ),
    )


def _not_accepted(body: dict[str, Any]) -> tuple[str, str, Fields]:
    fields = (*_acceptance(body, "2", body["decidedAt"]), ("BSLYY", body["reason"]))
    return "receiveBusinessAcceptSsdj", "SPSHOULI", fields


def _acceptance(body: dict[str, Any], state: str, moment: str) -> tuple[tuple[str, Any], ...]:
    return (
        ("SLBMMC", body["org"]["name"]),
        ("SLBMZZJGDM", body["org"]["code"]),
        ("BLRXM", body["handler"]),
        ("SLZTDM", state),
        ("SLHZH", body.get("docNo")),
        ("SLSJ", _time(moment)),
    )


def _step(body: dict[str, Any]) -> tuple[str, str, Fields]:
    return (
        "receiveCourseInfoSsdj",
        "GDBSSPCL",
        (
            ("SPHJDM", body["stepCode"]),
            ("SPHJMC", body["stepName"]),
            ("SPBMMC", body["org"]["name"]),
            ("SPBMZZJDMD", body["org"]["code"]),
            ("SPRXM", body["handler"]),
            ("SPDZ", body["action"]),
            ("SPYJ", body["opinion"]),
            ("SPKSSJ", _time(body["startedAt"])),
            ("SPSJ", _time(body["endedAt"])),
            ("SPHJZTDM", body["status"]),
        ),
    )


def _special_started(body: dict[str, Any]) -> tuple[str, str, Fields]:
    return (
        "getSuspendInfoSsdj",
        "SPTEBIESHENQING",
        (
            ("SUSPENDTYPE", "0"),
            ("XH", body["sn"]),
            ("TBCXZL", body["kind"]),
            ("TBCXZLMC", body["name"]),
            ("TBCXKSRQ", _time(body["startedAt"])),
            ("TBCXPZR", body["approver"]),
            ("TBCXQDLY", body["reason"]),
            ("TBCXSX", body["limitDays"]),
            ("TBCXSXDW", "Z"),
            ("SPBMMC", body["org"]["name"]),
            ("SPBMZZJGDM", body["org"]["code"]),
        ),
    )


def _special_ended(body: dict[str, Any]) -> tuple[str, str, Fields]:
    return (
        "getSuspendInfoSsdj",
        "SPTEBIEJIEGUO",
        (
            ("SUSPENDTYPE", "1"),
            ("XH", body["sn"]),
            ("TBCXJG", body["result"]),
            ("TBCXJSRQ", _time(body["endedAt"])),
            ("BLYJ", body.get("opinion")),
            ("BLRXM", body["handler"]),
            ("SPBMMC", body["org"]["name"]),
            ("SPBMZZJGDM", body["org"]["code"]),
        ),
    )


def _correction(body: dict[str, Any]) -> tuple[str, str, Fields]:
    materials = body["materials"]
    return (
        "receiveCorrectionSsdj",
        "SPBUZHENGGAOZHI",
        (
            ("BZGZFCRXM", body["handler"]),
            ("BZGZYY", body["reason"]),
            ("BZCLQD", ";".join(material["name"] for material in materials)),
            ("BQBZCLBM", ";".join(material["code"] for material in materials)),
            ("BZCLYQ", ";".join(material["requirement"].replace(";", "；") for material in materials)),
            ("BZGZSX", "5"),
            ("BZGZSXDW", "Z"),
            ("BZGZSJ", _time(body["notifiedAt"])),
            ("D_ZZJGDM", body["org"]["code"]),
            ("BZGZBMMC", body["org"]["name"]),
        ),
    )


def _decided(body: dict[str, Any]) -> tuple[str, str, Fields]:
    licence = body.get("licence") or {}
    return (
        "receiveBusinessApproveResultSsdj",
        "SPBANJIE",
        (
            ("BJBMMC", body["org"]["name"]),
            ("BJBMZZJDDM", body["org"]["code"]),
            ("SPRXM", body["handler"]),
            ("BJJGDM", "0" if body["result"] == "0" else "1"),
            ("DONERESULT", body["result"]),
            ("BJJGMS", body["explanation"]),
            ("ZJGZMC", licence.get("name")),
            ("ZJBH", licence.get("number")),
            ("ZJYXQX", licence.get("validUntil")),
            ("FZGZDW", licence.get("issuer")),
            ("SFKD", "1" if body["needDelivery"] else "0"),
            ("BJSJ", _time(body["decidedAt"])),
        ),
    )


def _delivered(body: dict[str, Any]) -> tuple[str, str, Fields]:
    return (
        "receiveBusinessFinishSsdj",
        "SPLINGQUDENGJI",
        (
            ("LQRXM", body["receiver"]["name"]),
            ("LQFS", {"1": "0", "2": "1"}[body["method"]]),
            ("LQSJ", _time(body["deliveredAt"])),
            ("LQBMMC", body["org"]["name"]),
            ("LQBMZZJGDM", body["org"]["code"]),
        ),
    )


_WRITERS: Final = {
    "case.pre_examined": _pre_examined,
    "case.accepted": _accepted,
    "case.not_accepted": _not_accepted,
    "case.process_step": _step,
    "case.special_started": _special_started,
    "case.special_ended": _special_ended,
    "case.correction_notified": _correction,
    "case.decided": _decided,
    "case.delivered": _delivered,
}
TYPES: Final = frozenset(_WRITERS)


def _fill(parent: etree._Element, fields: Fields) -> None:
    for tag, value in fields:
        if value not in (None, ""):
            etree.SubElement(parent, tag).text = str(value)


def _time(moment: str) -> str:
    return moment_of(moment).astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")
