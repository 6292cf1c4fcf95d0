"""A decoded body in an operator's words: field labels and code meanings from the contract, times in Beijing
time. No HTML, no I/O."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from schemas.contracts import load
from schemas.errors import ContractError
from schemas.model import Field, Kind

BEIJING: Final = ZoneInfo("Asia/Shanghai")
LINES_MAX: Final = 200
OPAQUE: Final = frozenset({"content"})

# What the hub asks with another message's body: no contract of its own.
HUB_KINDS: Final = {
    "credit.query": ("信用查询", "Credit query"),
    "credit.review": ("请求人工信用核验", "Review request"),
}

Line = tuple[int, str, str]
"""(depth, label, value); a record or list has an empty value and its lines follow one deeper."""


def type_label(type_: str, chinese: bool) -> str:
    """办件申请 / Case submitted; the type itself when no contract is known."""
    if type_ in HUB_KINDS:
        return HUB_KINDS[type_][0 if chinese else 1]
    try:
        contract = load().by_type(type_)
    except ContractError:
        return type_
    # The part before the first bracket or colon names it; the rest explains.
    text = contract.doc_zh if chinese else contract.doc_en
    for mark in ("（", "：", " (", ":", "，", ","):
        text = text.split(mark)[0]
    return text.strip() or type_


def moment(value: datetime | None) -> str:
    """2026-11-22 10:31:02 in Beijing time, empty for None."""
    return value.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S") if value else ""


def body_lines(type_: str, body: Any, chinese: bool) -> list[Line]:
    """A body, line by line. body: decoded JSON (masked or not); fields no contract knows are left out."""
    try:
        fields: Sequence[Field] = load().by_type(type_).fields
    except ContractError:
        return []
    lines: list[Line] = []
    if isinstance(body, dict):
        _add_record(lines, fields, body, 0, chinese)
    return lines[:LINES_MAX]


def _add_record(
    lines: list[Line], fields: Sequence[Field], body: dict[str, Any], depth: int, chinese: bool
) -> None:
    for field in fields:
        value = body.get(field.name)
        if value is not None and value != [] and len(lines) <= LINES_MAX:
            _add(lines, field, field.doc_zh if chinese else field.doc_en, value, depth, chinese)


def _add(lines: list[Line], field: Field, label: str, value: Any, depth: int, chinese: bool) -> None:
    if field.kind is Kind.RECORD and field.record is not None and isinstance(value, dict):
        lines.append((depth, label, ""))
        _add_record(lines, field.record.fields, value, depth + 1, chinese)
    elif field.kind is Kind.ARRAY and field.items is not None and isinstance(value, list):
        lines.append((depth, f"{label} ({len(value)})", ""))
        for number, entry in enumerate(value, 1):
            _add(lines, field.items, str(number), entry, depth + 1, chinese)
    else:
        lines.append((depth, label, _text(field, value, chinese)))


def _text(field: Field, value: Any, chinese: bool) -> str:
    if field.kind is Kind.TIME and isinstance(value, int):
        try:
            return moment(datetime.fromtimestamp(value / 1_000, UTC))
        except (ValueError, OverflowError, OSError):
            return str(value)
    if isinstance(value, bool):
        return ("是" if value else "否") if chinese else ("yes" if value else "no")
    meanings = field.attributes.get("enumCodes")
    if isinstance(meanings, dict) and str(value) in meanings:
        zh, _, en = str(meanings[str(value)]).partition(" / ")
        return f"{zh if chinese or not en else en} ({value})"
    if field.kind is Kind.BYTES:
        return f"[{len(str(value)) * 3 // 4} B]" if not str(value).startswith("[") else str(value)
    return str(value)
