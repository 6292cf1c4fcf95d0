"""The credit gate (R22; H 9.3.1.2, 9.3.1.6): what a party's standing means for a submission, and the
records of credit.subjects."""

from collections.abc import Mapping
from typing import Final

import msgspec

from hub.directory.model import Item
from hub.envelope import Message
from hub.routing.model import Refusal, TableUpdate
from hub.routing.tables import Standing

TABLE: Final = "credit.subjects"
FALLBACK: Final = Standing("blue")  # 蓝: the traditional procedure, when nobody knows better
AWAIT_ANSWER: Final = "credit"
AWAIT_REVIEW: Final = "credit.reviewed"

_decode = msgspec.json.Decoder(Standing).decode


def standing(message: Message) -> Standing:
    """What credit.answered or credit.changed says of the party, from its routing fields."""
    attributes = message.attributes
    banned = tuple(code.strip() for code in attributes.get("banned", "").split(",") if code.strip())
    return Standing(
        attributes.get("grade", FALLBACK.grade), attributes.get("serious") == "1", banned, message.time_ms
    )


def known(party: str, table: Mapping[str, Standing]) -> Standing:
    """The standing to go by without an answer: the table's, else blue."""
    return table.get(party, FALLBACK)


def encode_standing(value: Standing) -> bytes:
    """The value of a record of credit.subjects (JSON array, readable)."""
    return msgspec.json.encode(value)


def decode_standing(value: bytes) -> Standing:
    """Back from `encode_standing`. Raises msgspec.DecodeError."""
    return _decode(value)


def update(message: Message) -> tuple[TableUpdate, ...]:
    """The table record of a change; none when the message names no party."""
    party = message.attributes.get("party", "")
    return (TableUpdate(TABLE, party, encode_standing(standing(message))),) if party else ()


def bans(found: Standing, item: Item | None) -> bool:
    """Whether a ban names the item's industry or one above it (GB/T 4754 codes are hierarchical)."""
    return (
        item is not None
        and bool(item.industry)
        and any(item.industry.startswith(code) for code in found.banned)
    )


def verdict(found: Standing, item: Item | None) -> str:
    """pass, refuse or review. 黑 alone refuses nothing (R22)."""
    if found.grade != "black" or not bans(found, item):
        return "pass"
    assert item is not None
    return "refuse" if found.serious and item.decision_standard else "review"


def banned_refusal(found: Standing) -> Refusal:
    """严重失信 with a ban on the item's industry and a decision standard: refused by the system itself."""
    industries = "、".join(found.banned)
    return Refusal(
        "credit_banned",
        "applicant",
        "R22",
        "DB46 一体化政务服务平台服务规范 9.3.1.2",
        f"申请人信用档位为黑且属严重失信，在行业 {industries} 被禁入，不能申办本事项",
        f"the applicant is graded black, seriously dishonest and banned from {industries}",
        "信用修复后可重新申请；如有异议向信用主管部门申诉",
        "apply again after the credit has been repaired, or object at the credit authority",
    )


def review_refusal() -> Refusal:
    """The window person's decision on a held case was no."""
    return Refusal(
        "credit_review_refused",
        "applicant",
        "R22",
        "DB46 一体化政务服务平台服务规范 9.3.1.2",
        "窗口人工确认：申请人属行业禁入，不能申办本事项",
        "a window person confirmed that a ban applies; this item cannot be applied for",
        "信用修复后可重新申请；如有异议向信用主管部门申诉",
        "apply again after the credit has been repaired, or object at the credit authority",
    )
