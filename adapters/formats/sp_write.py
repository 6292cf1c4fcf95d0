"""Messages -> SP*/GDBS* XML in a member's charset; what the charset lacks is refused, never replaced (R14).
What belongs where is in sp_fields.py; only what a table cannot say is code here.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from lxml import etree

from adapters.formats import sp_fields as fields
from adapters.formats import sp_values as values
from adapters.formats.canonical_json import plain
from adapters.formats.sp_read import dumps
from adapters.ports import Dispatch


def write(dispatch: Dispatch, charset: str = "gb2312") -> str:
    """The xmlStr of one dispatch, as text whose every character is in `charset`.

    EXCHANGENO carries the dispatch id, which never changes: the member recognises a repeat by it and is
    queried by it (G4). Raises FormatError naming field and character.
    """
    corrected = dispatch.kind == "case.corrected"
    at_once = dispatch.body.get("projectType") == "1"
    head = {
        "SBLSH_SHORT": dispatch.case_no,
        "SXBM": dispatch.item,
        "XZQHDM": dispatch.region,
        "EXCHANGENO": dispatch.id,
        "EXPRESSTYPE": "1" if corrected else "2" if at_once else "0",
        "YWLX": "1" if corrected else "0",
        "VERSION": "1",
        "XXBH": dispatch.message_id,  # extensions from here on
        "LYXT": dispatch.source,
        "BZXX": ",".join(dispatch.flags),
        "YWDZ": dispatch.kind if dispatch.kind != dispatch.type else "",
    }
    when = values.write_time(dispatch.occurred_ms)
    return document(head, [(dispatch.type, dispatch.body, {"SBLSH": dispatch.case_no, "SJ": when})], charset)


def document(
    head: Mapping[str, str],
    records: Iterable[tuple[str, Mapping[str, Any], Mapping[str, str]]],
    charset: str = "gb2312",
) -> str:
    """A document of several records: (message type, body, further fields). Times in bodies: ms or ISO 8601.
    Raises FormatError."""
    root = etree.Element(fields.ROOT)
    for tag, text in head.items():
        _add(root, tag, text, charset)
    for type_, body, further in records:
        _record(root, type_, dict(body), further, charset)
    text = etree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="{charset}"?>{text}'


def encode(text: str, charset: str = "gb2312") -> bytes:
    """A document's bytes in its charset (a gb2312 label means GBK)."""
    return text.encode(values.codec_of(charset))


def _record(
    root: etree._Element, type_: str, body: dict[str, Any], further: Mapping[str, str], charset: str
) -> None:
    record = fields.BY_TYPE.get(type_)
    if record is None:
        element = etree.SubElement(root, fields.EXTENSION)
        _add(element, "LX", type_, charset)
        _add(element, "SJ", further.get("SJ", ""), charset)
        _add(element, "BH", further.get("BH", ""), charset)
        _add(element, "NR", dumps(plain(body)), charset)
        return
    element = etree.SubElement(root, record.tag)
    if type_ == "case.submitted":
        _add(element, "SBLSH", further.get("SBLSH", ""), charset)
    for column in record.columns:
        _add(element, column.tag, _text(column, values.get(body, column.path)), charset)
    finish = _FINISH.get(type_)
    if finish is not None:
        for tag, text in finish(body).items():
            _add(element, tag, text, charset)
    if record.materials:
        _form(element, body, charset)
        _materials(element, body.get("materials") or (), charset)


def _add(parent: etree._Element, tag: str, text: str | None, charset: str) -> None:
    if not text:
        return
    values.check_expressible(text, f"{parent.tag}.{tag}", charset)
    etree.SubElement(parent, tag).text = text


def _text(column: fields.Column, value: Any) -> str:
    if value is None:
        return ""
    match column.kind:
        case "time":
            return values.write_time(value)
        case "bool":
            return "1" if value else "0"
        case "code":
            return next((text for text, meaning in column.codes.items() if meaning == value), str(value))
    return str(value)


def _form(element: etree._Element, body: dict[str, Any], charset: str) -> None:
    content = (body.get("form") or {}).get("content")
    if content is None:
        return
    # Base64 whatever the media type: line ends and blanks of the form must arrive as they were sent.
    text = base64.b64encode(content).decode("ascii") if isinstance(content, bytes) else str(content)
    _add(element, "BDBM", "base64", charset)
    _add(element, "XML_DATA", text, charset)


def _materials(element: etree._Element, materials: Iterable[Mapping[str, Any]], charset: str) -> None:
    names = [str(material.get("name", "")) for material in materials]
    tag = "SBCLQD" if element.tag == "SPSHENQIN" else "BZCLQD"
    _add(element, tag, ";".join(names), charset)
    parent = etree.SubElement(element, "CAILIAO")
    for number, material in enumerate(materials, 1):
        record = etree.SubElement(parent, "RECORD")
        _add(record, "SEQ", str(number), charset)
        for column in fields.MATERIAL:
            _add(record, column.tag, _text(column, material.get(column.path)), charset)
        original, paper = material.get("copy") == "original", material.get("medium") == "paper"
        _add(record, "CLLX", "0" if original else "1" if paper else "2", charset)


def _submitted(body: dict[str, Any]) -> dict[str, str]:
    way, online = fields.CHANNELS.get(str(body.get("channel")), ("", ""))
    kind = str(values.get(body, "applicant.kind"))
    return {"SQRLX": fields.APPLICANT_KINDS_WRITE.get(kind, "3"), "TJFS": way, "WSSBQD": online}


def _accepted(body: dict[str, Any]) -> dict[str, str]:
    return {"SLZTDM": "1"}


def _not_accepted(body: dict[str, Any]) -> dict[str, str]:
    return {"SLZTDM": "2"}


def _step(body: dict[str, Any]) -> dict[str, str]:
    # SPSJ identifies the record (R1): a step still open has the time it began.
    return {} if body.get("endedAt") is not None else {"SPSJ": values.write_time(body["startedAt"])}


def _decided(body: dict[str, Any]) -> dict[str, str]:
    result = str(body.get("result"))
    granted_without_licence = result == "0" and not body.get("licence")
    code = "6" if granted_without_licence else fields.RESULTS_WRITE.get(result, "6")
    return {"BJJGDM": code, "ZFHTHYY": str(body.get("explanation") or "") if code in "1235" else ""}


def _special_started(body: dict[str, Any]) -> dict[str, str]:
    return {"TBCXSXDW": "G"} if body.get("limitDays") is not None else {}


def _correction(body: dict[str, Any]) -> dict[str, str]:
    materials = body.get("materials") or ()
    lists = {
        "BZCLQD": [str(material.get("name", "")) for material in materials],
        "BQBZCLBM": [str(material.get("code", "")) for material in materials],
        "BZCLYQ": [str(material.get("requirement") or "") for material in materials],
    }
    for tag, parts in lists.items():
        for part in parts:
            if ";" in part or "；" in part:
                values.refuse(
                    f"SPBUZHENGGAOZHI.{tag}",
                    "no semicolon",
                    f"{tag} 以分号分隔，内容“{part[:40]}”含分号",
                    f"{tag} is separated by semicolons and {part[:40]!r} holds one",
                )
    if not any(lists["BZCLYQ"]):
        del lists["BZCLYQ"]
    return {tag: ";".join(parts) for tag, parts in lists.items()}


_FINISH: Final[dict[str, Callable[[dict[str, Any]], dict[str, str]]]] = {
    "case.submitted": _submitted,
    "case.accepted": _accepted,
    "case.not_accepted": _not_accepted,
    "case.process_step": _step,
    "case.decided": _decided,
    "case.special_started": _special_started,
    "case.correction_notified": _correction,
}
