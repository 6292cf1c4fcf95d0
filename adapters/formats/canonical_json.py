"""Canonical JSON: the dialect of REST members, in both directions.
Only shape and limits are checked here; what a body must contain is the contract's affair.
"""

import base64
import codecs
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, NoReturn

import msgspec

from adapters.ports import Dispatch, FormatError, Submission

STANDARD: Final = "RFC 8259"
BODY_BYTES_MAX: Final = 983_040  # the topic takes 1 MiB; 64 KiB are left for the headers the hub adds
DEPTH_MAX: Final = 16
NAME_CHARS_MAX: Final = 200
VERSION_MAX: Final = 999_999
REPLY_BYTES_MAX: Final = 65_536

SHANGHAI: Final = timezone(timedelta(hours=8))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# JSON name -> field of Submission, whether it must be there.
_NAMES: Final = {
    "type": ("type", True),
    "sourceRef": ("source_ref", True),
    "occurredAt": ("occurred_at", True),
    "sourceSystem": ("source_system", False),
    "caseRef": ("case_ref", False),
    "caseNo": ("case_no", False),
    "correlation": ("correlation", False),
}
# Escapes that can smuggle a control character; only then is every string looked at.
_SUSPECT: Final = (b"\\u00", b"\\b", b"\\f", b"\\ud", b"\\uD", b"\\uf", b"\\uF")

_FORBIDDEN: Final = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")

# Integer fields of the contracts that are points in time, beside those whose name ends in "At".
_TIME_NAMES: Final = frozenset({"promiseDate", "deadline", "validFrom"})


def decode(document: bytes, *, body_bytes_max: int = BODY_BYTES_MAX) -> Submission:
    """One inbound message. Raises FormatError naming the field and the rule it breaks (RFC 8259, and the
    limits of this module)."""
    data = load_object(document, body_bytes_max=body_bytes_max)
    fields: dict[str, Any] = {}
    body: Any = None
    for name, value in data.items():
        if name in _NAMES:
            if value is not None:
                fields[_NAMES[name][0]] = _text(name, value)
        elif name == "body":
            body = value
        elif name == "version":
            fields["version"] = _version(value)
        else:
            _refuse(
                name[:60],
                "unknown field",
                f"不认识的字段：{name[:60]}",
                f"unknown field: {name[:60]}",
            )
    for name, (field, required) in _NAMES.items():
        if required and not fields.get(field):
            _refuse(
                name,
                "required",
                f"缺少必填字段 {name}",
                f"required field {name} is missing",
            )
    if not isinstance(body, dict):
        _refuse("body", "object", "body 必须是 JSON 对象", "body must be a JSON object")
    return Submission(body=body, **fields)


def load_object(document: bytes, *, body_bytes_max: int = BODY_BYTES_MAX) -> dict[str, Any]:
    """A JSON object, parsed strictly: UTF-8, no duplicate names, no NaN, bounded size and depth.
    Raises FormatError."""
    if len(document) > body_bytes_max:
        _refuse(
            "$",
            f"at most {body_bytes_max} bytes",
            f"正文 {len(document)} 字节，超过 {body_bytes_max} 字节的上限",
            f"the body has {len(document)} bytes, the limit is {body_bytes_max}",
        )
    try:
        # Not "utf-8-sig": that codec is written in Python.
        text = document.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as bad:
        at = bad.start
        _refuse("$", "UTF-8", f"第 {at} 字节不是 UTF-8", f"byte {at} is not UTF-8")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as bad:
        where = f"{bad.lineno}:{bad.colno}"
        _refuse(
            "$",
            "well-formed JSON",
            f"JSON 不合法（{where}）",
            f"invalid JSON at {where}: {bad.msg}",
        )
    except RecursionError:
        _refuse_depth()
    except ValueError as bad:  # an integer of thousands of digits
        _refuse("$", "number", "数字过长", f"number too long: {str(bad)[:80]}")
    if not isinstance(value, dict):
        _refuse("$", "object", "正文必须是 JSON 对象", "the document must be a JSON object")
    openings = document.count(b"{") + document.count(b"[")
    escapes = b"\\" in document and any(mark in document for mark in _SUSPECT)
    if openings > DEPTH_MAX or escapes:
        _inspect(value, 1)
    return value


def encode(dispatch: Dispatch) -> bytes:
    """The body of `POST /hub/dispatches`: times as ISO 8601 +08:00, byte fields as base64."""
    if dispatch.kind == "case.supervision_copy":
        body: Any = supervision_copy(dispatch)
    else:
        body = plain(dispatch.body)
    return msgspec.json.encode(
        {
            "dispatchId": dispatch.id,
            "messageId": dispatch.message_id,
            "kind": dispatch.kind,
            "type": dispatch.type,
            "caseNo": dispatch.case_no,
            "source": dispatch.source,
            "occurredAt": iso_shanghai(dispatch.occurred_ms),
            "region": dispatch.region,
            "item": dispatch.item,
            "digest": dispatch.digest,
            "flags": list(dispatch.flags),
            "body": body,
        }
    )


def supervision_copy(dispatch: Dispatch) -> dict[str, Any]:
    """The body of `case.supervision_copy`: the whole content as one JSON string beside what supervision
    sorts by (S05)."""
    return {
        "copyOf": dispatch.type,
        "messageId": dispatch.message_id,
        "caseNo": dispatch.case_no,
        "item": dispatch.item,
        "region": dispatch.region,
        "occurredAt": iso_shanghai(dispatch.occurred_ms),
        "flags": list(dispatch.flags),
        "content": msgspec.json.encode(plain(dispatch.body), order="sorted").decode(),
    }


def plain(value: Any, name: str = "") -> Any:
    """A decoded Avro value in JSON terms: bytes -> base64, time fields (ms) -> ISO 8601 +08:00, absent
    fields left out."""
    if isinstance(value, dict):
        return {key: plain(item, key) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if type(value) is int and is_time_field(name):
        return iso_shanghai(value)
    return value


def is_time_field(name: str) -> bool:
    """True for integer fields of the contracts that are points in time (`timestamp-millis`)."""
    return name.endswith("At") or name in _TIME_NAMES


def iso_shanghai(time_ms: int) -> str:
    """ms since the epoch -> `2026-03-01T09:00:00+08:00`, with milliseconds only when there are any (R7)."""
    moment = (_EPOCH + timedelta(milliseconds=time_ms)).astimezone(SHANGHAI)
    return moment.isoformat(timespec="milliseconds" if time_ms % 1000 else "seconds")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        _refuse(
            twice[:60],
            "unique names",
            f"字段 {twice[:60]} 出现两次",
            f"field {twice[:60]} appears twice",
        )
    return result


def _constant(text: str) -> NoReturn:
    _refuse("$", "number", f"{text} 不是 JSON 数字", f"{text} is not a JSON number")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def _inspect(value: Any, depth: int) -> None:
    """Depth, and characters no member's XML could carry (XML 1.0 §2.2)."""
    if isinstance(value, str):
        if found := _FORBIDDEN.search(value):
            _refuse_character(found[0])
        return
    if not isinstance(value, dict | list):
        return
    if depth > DEPTH_MAX:
        _refuse_depth()
    if isinstance(value, dict):
        for name, item in value.items():
            _inspect(name, depth + 1)
            _inspect(item, depth + 1)
    else:
        for item in value:
            _inspect(item, depth + 1)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        _refuse(name, "string", f"{name} 必须是字符串", f"{name} must be a string")
    if len(value) > NAME_CHARS_MAX:
        limit = f"at most {NAME_CHARS_MAX} characters"
        _refuse(name, limit, f"{name} 超过 {NAME_CHARS_MAX} 个字符", f"{name}: {limit}")
    return value


def _version(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= VERSION_MAX:
        _refuse(
            "version",
            f"integer 1..{VERSION_MAX}",
            f"version 必须是 1 至 {VERSION_MAX} 的整数",
            f"version must be an integer 1..{VERSION_MAX}",
        )
    return value


def _refuse_depth() -> NoReturn:
    _refuse(
        "$",
        f"depth at most {DEPTH_MAX}",
        f"嵌套超过 {DEPTH_MAX} 层",
        f"nested deeper than {DEPTH_MAX}",
    )


def _refuse_character(character: str) -> NoReturn:
    code = f"U+{ord(character):04X}"
    _refuse(
        "$",
        "no control characters",
        f"含不允许的字符 {code}",
        f"character {code} is not allowed",
    )


def _refuse(field: str, rule: str, zh: str, en: str) -> NoReturn:
    raise FormatError(field, rule, STANDARD, f"{zh}（{STANDARD}）", f"{en} ({STANDARD})")
