"""SP*/GDBS* XML as the 2009 department writes and reads it: its own few lines of code, GBK bytes labelled
gb2312.

No transport here. Untrusted documents are parsed without entities, DTD or network.
"""

import base64
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
