"""What the 2009 department writes: its messages and registrations as SP* documents. Field by field; no
transport here."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Final

from lxml import etree

from stubs.model import SHANGHAI, Planned, moment_of
from stubs.sp_xml import write

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
