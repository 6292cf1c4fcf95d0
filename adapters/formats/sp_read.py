"""SP*/GDBS* XML -> submissions. One document may carry several records; each becomes a message of its own.
What belongs where is in sp_fields.py; only what a table cannot say is code here.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from lxml import etree

from adapters.formats import sp_fields as fields
from adapters.formats import sp_values as values
from adapters.formats import xml_safe
from adapters.formats.canonical_json import load_object
from adapters.ports import Submission

RECORDS_MAX: Final = 500
VALUE_CHARS_MAX: Final = 700_000
_CASE_NUMBER: Final = re.compile(r"[0-9]{2}[0-9A-Z]{17}")
_VERSION_MAX: Final = 999_999

Fields = dict[str, str]


def looks_like_case_number(text: str) -> bool:
    """The form of a 办件编号 made by the hub; the check character is the caller's to check."""
    return _CASE_NUMBER.fullmatch(text) is not None


def read(
    document: bytes | str,
    *,
    org: dict[str, str] | None = None,
    is_case_number: Callable[[str], bool] = looks_like_case_number,
    charset: str = "",
) -> tuple[Submission, ...]:
    """The messages of one document, in its order.

    org: the sender's {code, name}, used where a record has no field for it. is_case_number: tells the hub's
    numbers from the sender's own (SBLSH_SHORT carries either). Raises FormatError naming field and rule.
    """
    root = xml_safe.parse(document, charset=charset)
    if root.tag != fields.ROOT:
        values.refuse(
            "$",
            fields.ROOT,
            f"根元素应为 {fields.ROOT}，收到 {root.tag[:60]}",
            f"the root element must be {fields.ROOT}",
        )
    head = _leaves(root)
    found = [_submission(tag, element, head, org, is_case_number) for tag, element in _records(root)]
    if not found:
        known = ", ".join(fields.BY_TAG)
        values.refuse("$", "at least one record", f"没有可识别的业务对象（{known}）", "no known record")
    return tuple(found)


def _records(root: etree._Element) -> Iterator[tuple[str, etree._Element]]:
    count = 0
    for child in root:
        tag = fields.ALIASES.get(child.tag, child.tag)
        if tag not in fields.BY_TAG and tag != fields.EXTENSION:
            if len(child) and tag != "CAILIAO":
                values.refuse(
                    str(child.tag)[:60],
                    "known record",
                    f"不认识的业务对象 {child.tag[:60]}",
                    "unknown record",
                )
            continue
        nested = [grand for grand in child if grand.tag == "RECORD"]
        # Several records of one kind: repeated elements, or RECORD children (which otherwise are materials).
        several = nested if nested and not fields.BY_TAG.get(tag, fields.RECORDS[0]).materials else [child]
        for element in several:
            count += 1
            if count > RECORDS_MAX:
                values.refuse("$", f"at most {RECORDS_MAX} records", "业务对象过多", "too many records")
            yield tag, element


def _leaves(element: etree._Element) -> Fields:
    """Field -> text of the leaf children (and attributes) of a record; a field given twice is refused."""
    result: Fields = {str(name): str(text).strip() for name, text in element.attrib.items()}
    for child in element:
        if len(child):
            continue
        text = (child.text or "").strip()
        if len(text) > VALUE_CHARS_MAX:
            values.refuse(child.tag, f"at most {VALUE_CHARS_MAX} characters", f"{child.tag} 过长", "too long")
        if child.tag in result and result[child.tag] != text:
            values.refuse(
                child.tag, "given once", f"{child.tag} 出现两次且内容不同", f"{child.tag} given twice"
            )
        result[child.tag] = text
    return result


def _submission(
    tag: str,
    element: etree._Element,
    head: Fields,
    org: dict[str, str] | None,
    is_case_number: Callable[[str], bool],
) -> Submission:
    own = _leaves(element)
    given = {**{name: head[name] for name in _HEAD_NAMES if head.get(name)}, **own}
    serial = given.get("SBLSH_SHORT") or given.get("SBLSH") or ""
    if not serial:
        values.refuse("SBLSH_SHORT", "required", "缺少申办流水号 SBLSH_SHORT", "SBLSH_SHORT is missing")
    version = _version(given.get("VERSION", ""))
    if tag == fields.EXTENSION:
        type_, body, when = _extension(given)
        key: tuple[str, ...] = (own.get("BH", ""),) if own.get("BH") else ()
    else:
        record = _record_of(tag, given)
        type_ = record.type
        body = _body(record, given, element, org)
        when = str(values.get(body, record.time) or body.get("startedAt") or "")
        key = _key(record, given, own, element)
    if not when:
        values.refuse(type_, "business time", f"{tag} 缺少业务时间", f"{tag} has no business time")
    opening = type_ == "case.submitted"
    hubs_own = not opening and is_case_number(serial)
    return Submission(
        type=type_,
        source_ref=values.reference(serial, *key),
        version=version,
        body=body,
        occurred_at=when,
        case_no=serial if hubs_own else "",
        case_ref="" if hubs_own else serial,
    )


_HEAD_NAMES: Final = ("SBLSH", "SBLSH_SHORT", "SXBM", "XZQHDM", "VERSION", "EXPRESSTYPE", "YWLX")


def _record_of(tag: str, given: Fields) -> fields.Record:
    if tag != "SPSHOULI":
        return fields.BY_TAG[tag]
    state = given.get("SLZTDM", "")
    if state == "1":
        return fields.BY_TYPE["case.accepted"]
    if state in ("0", "2"):
        return fields.BY_TYPE["case.not_accepted"]
    values.refuse("SLZTDM", "1|2", "SLZTDM 应为 1 受理 或 2 不受理", "SLZTDM must be 1 or 2")


def _body(
    record: fields.Record, given: Fields, element: etree._Element, org: dict[str, str] | None
) -> dict[str, Any]:
    body = _columns(record.columns, given, record.tag)
    if any(column.path == "org.code" for column in record.columns):
        _fill_org(body, org, required=record.type != "case.delivered")
    finish = _FINISH.get(record.type)
    if finish is not None:
        finish(body, given)
    if record.materials:
        body["materials"] = [_material(found) for found in element.findall(".//RECORD")]
        _form(body, given)
    return body


def _columns(columns: tuple[fields.Column, ...], given: Fields, tag: str) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for column in columns:
        text = given.get(column.tag) or column.default
        if not text:
            continue
        value = _value(column, text, f"{tag}.{column.tag}")
        if value != "":
            values.put(body, column.path, value)
    return body


def _value(column: fields.Column, text: str, field: str) -> Any:
    match column.kind:
        case "time":
            return values.read_time(text, field)
        case "int":
            return values.read_int(text, field)
        case "bool":
            return values.read_bool(text, field)
        case "code":
            if text not in column.codes:
                known = "、".join(column.codes)
                values.refuse(
                    field, f"one of {known}", f"{field} 应为 {known} 之一", f"{field}: unknown code"
                )
            return column.codes[text]
    return text


def _fill_org(body: dict[str, Any], org: dict[str, str] | None, *, required: bool) -> None:
    if org is None:
        return
    given = body.get("org")
    if given is None:
        if required:
            body["org"] = dict(org)
    elif not given.get("name") and given.get("code") == org["code"]:
        given["name"] = org["name"]
    elif not given.get("code"):
        given["code"] = org["code"]


def _material(element: etree._Element) -> dict[str, Any]:
    given = _leaves(element)
    if given.get("ATTACH_BODY"):
        values.refuse(
            "RECORD.ATTACH_BODY",
            "files apart",
            "材料文件请经文件接口上传，报文中只写 ATTACH_ID（sm3:…）与 ATTACH_SIGN",
            "upload files through the file interface and give ATTACH_ID (sm3:…) and ATTACH_SIGN here",
        )
    material = _columns(fields.MATERIAL, given, "RECORD")
    material["copy"] = "original" if given.get("CLLX", "0") == "0" else "copy"
    material.setdefault("collect", "2" if material.get("medium") == "electronic" else "1")
    return material


def _form(body: dict[str, Any], given: Fields) -> None:
    content = given.get("XML_DATA")
    if not content:
        body.pop("form", None)
        return
    form = body.setdefault("form", {})
    if given.get("BDBM") == "base64":
        form["content"] = "".join(content.split())
    else:  # the form's own text, as systems send it that know no encoding
        form["content"] = base64.b64encode(content.encode()).decode("ascii")
        form.setdefault("mediaType", "application/xml" if content.startswith("<") else "text/plain")
    form.setdefault("mediaType", "application/octet-stream")
    form.setdefault("formId", given.get("SXBM", "")[:100])
    form.setdefault("version", "1")


def _submitted(body: dict[str, Any], given: Fields) -> None:
    applicant = body.setdefault("applicant", {})
    if "kind" not in applicant:
        kind = given.get("SQRLX", "")
        if kind not in fields.APPLICANT_KINDS_READ:
            values.refuse("SPSHENQIN.SQRLX", "1|2|3", "SQRLX 应为 1 个人、2 企业、3 其他", "SQRLX: 1, 2 or 3")
        applicant["kind"] = fields.APPLICANT_KINDS_READ[kind]
    given_channel = (given.get("TJFS", ""), given.get("WSSBQD", ""))
    known = {pair: channel for channel, pair in fields.CHANNELS.items()}
    by_way = {"0": "1", "1": "2", "2": "4"}
    body["channel"] = known.get(given_channel) or by_way.get(given_channel[0], "9")
    body.setdefault("projectType", _project_type(given))


def _accepted(body: dict[str, Any], given: Fields) -> None:
    body.setdefault("projectType", _project_type(given))


def _project_type(given: Fields) -> str:
    return "1" if given.get("EXPRESSTYPE") == "2" else "2"  # EXPRESSTYPE 2 即办件


def _pre_examined(body: dict[str, Any], given: Fields) -> None:
    if "opinion" not in body and given.get("BJBZSM"):
        body["opinion"] = given["BJBZSM"]


def _step(body: dict[str, Any], given: Fields) -> None:
    # GB/T 39046 表7: a step without its own start has the time it was reported with.
    body.setdefault("startedAt", body.get("endedAt", ""))
    if body.get("status") == "1":
        body.pop("endedAt", None)


def _special_ended(body: dict[str, Any], given: Fields) -> None:
    if "endedAt" not in body and given.get("JGCSRQ"):
        body["endedAt"] = values.read_time(given["JGCSRQ"], "SPTEBIEJIEGUO.JGCSRQ")


def _decided(body: dict[str, Any], given: Fields) -> None:
    if "result" not in body:
        code = given.get("BJJGDM", "")
        if code not in fields.RESULTS_READ:
            values.refuse("SPBANJIE.BJJGDM", "0..6", "BJJGDM 应为 0 至 6", "BJJGDM must be 0 to 6")
        body["result"] = fields.RESULTS_READ[code]
    if "explanation" not in body and given.get("ZFHTHYY"):
        body["explanation"] = given["ZFHTHYY"]


def _correction(body: dict[str, Any], given: Fields) -> None:
    names, codes = _list(given, "BZCLQD"), _list(given, "BQBZCLBM")
    wanted = given.get("BZCLYQ", "").split(";") if given.get("BZCLYQ") else []
    if len(names) != len(codes) or (wanted and len(wanted) != len(codes)):
        values.refuse(
            "SPBUZHENGGAOZHI.BQBZCLBM",
            "as many codes as names",
            f"补正材料编码 {len(codes)} 个，名称 {len(names)} 个，须一一对应",
            f"{len(codes)} codes for {len(names)} names",
        )
    body["materials"] = [{"code": code, "name": name} for code, name in zip(codes, names, strict=True)]
    for material, requirement in zip(body["materials"], wanted, strict=False):
        if requirement.strip():
            material["requirement"] = requirement.strip()
    days = given.get("BZGZSX", "")
    # Working days need the calendar of the place; only natural days (Z) become a date here.
    if "deadline" not in body and days and given.get("BZGZSXDW") == "Z" and body.get("notifiedAt"):
        body["deadline"] = values.plus_days(body["notifiedAt"], values.read_int(days, "BZGZSX") % 3_650)


def _list(given: Fields, tag: str) -> list[str]:
    return [part.strip() for part in given.get(tag, "").replace("；", ";").split(";") if part.strip()]


_FINISH: Final[dict[str, Callable[[dict[str, Any], Fields], None]]] = {
    "case.submitted": _submitted,
    "case.accepted": _accepted,
    "case.pre_examined": _pre_examined,
    "case.process_step": _step,
    "case.decided": _decided,
    "case.special_ended": _special_ended,
    "case.correction_notified": _correction,
}


def _extension(given: Fields) -> tuple[str, dict[str, Any], str]:
    type_ = given.get("LX", "")
    if not type_ or type_ in fields.BY_TYPE:
        values.refuse("SPKUOZHAN.LX", "a type without its own record", f"LX 不可用：{type_[:60]}", "bad LX")
    try:
        body = load_object(given.get("NR", "").encode("utf-8"))
    except UnicodeEncodeError:
        values.refuse(
            "SPKUOZHAN.NR", "UTF-8", "NR 含非法字符", "NR holds characters that are not Unicode text"
        )
    return type_, body, values.read_time(given.get("SJ", ""), "SPKUOZHAN.SJ")


def _key(record: fields.Record, given: Fields, own: Fields, element: etree._Element) -> tuple[str, ...]:
    """R1: what identifies this record beside (SBLSH_SHORT, VERSION)."""
    parts: list[str] = []
    for name in record.key:
        if name == "digest":
            inner = [
                (f"RECORD.{n}.{i}", v)
                for i, r in enumerate(element.findall(".//RECORD"))
                for n, v in _leaves(r).items()
            ]
            content = [(n, v) for n, v in own.items() if v and n not in _HEAD_NAMES]
            parts.append(values.record_digest(content + inner))
        else:
            if not given.get(name):
                values.refuse(
                    f"{record.tag}.{name}", "required", f"缺少 {name}，无法识别该记录", f"{name} is missing"
                )
            parts.append(given[name])
    return tuple(parts)


def _version(text: str) -> int:
    if not text:
        return 1
    version = values.read_int(text, "VERSION")
    if not 1 <= version <= _VERSION_MAX:
        values.refuse(
            "VERSION", f"1..{_VERSION_MAX}", f"VERSION 应为 1 至 {_VERSION_MAX}", "VERSION out of range"
        )
    return version


def dumps(body: Any) -> str:
    """JSON text of an extension record's body."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True)
