"""Refusals as messages of their own to the sender (R10), and the other messages the hub makes itself. All
ids are derived (G6)."""

import functools
from typing import Any, Final

import msgspec

from hub import ids
from hub.envelope import Message
from hub.routing import destinations
from hub.routing.model import Disposition, Refusal, Verdict
from hub.routing.speakers import HUB
from hub.routing.tables import Tables
from schemas import codec, contracts
from schemas.errors import ContractError
from schemas.model import Contract

REFUSAL: Final = "case.refusal"
CREDIT_QUERY: Final = "credit.query"
CREDIT_REVIEW: Final = "credit.review"
# What the hub itself puts on the log: refusing it tells nobody anything, and must not start a loop.
HUB_MADE: Final = frozenset(
    {"credit.answered", "nation.rejected", "dispatch.refused", REFUSAL, CREDIT_QUERY, CREDIT_REVIEW}
)
_TEXT_MAX: Final = 1_000


@functools.cache
def _contract() -> Contract:
    return contracts.load().by_type(REFUSAL)


def verdicts(message: Message, refusal: Refusal, tables: Tables, now_ms: int) -> tuple[Verdict, ...]:
    """The refused message's verdict and, for a member's message, the notice to its sender."""
    refused = Verdict(
        message, Disposition.REFUSED, refusal.code, refusal=refusal, zh=refusal.zh, en=refusal.en
    )
    if message.type in HUB_MADE:
        return (refused,)
    notice_id = ids.originated_id(message.id, "refusal")
    about = (message.id, message.type)
    return (refused, _notice(notice_id, message, about, message.source, refusal, tables, now_ms))


def conflict(message: Message, first_digest: str, tables: Tables, now_ms: int) -> Verdict:
    """R2: same source key, other content. The original stands; the sender gets both digests, once per
    content."""
    refusal = Refusal(
        "conflict",
        "sourceRef",
        "R2",
        "GB/T 32905-2016",
        "同一来源主键已有其他内容；先到的内容有效，后到的内容被拒绝",
        "the same source key came before with other content; the first stands, this one is refused",
        "内容确有变化时用更高的版本号重报",
        "if the content has really changed, report it with a higher version",
    )
    digests = {"firstDigest": first_digest, "secondDigest": message.digest}
    about = (message.id, message.type)
    return _notice(conflict_id(message), message, about, message.source, refusal, tables, now_ms, digests)


def conflict_id(message: Message) -> str:
    """Id of the notice of a conflict: the same for every re-send of the same other content."""
    return ids.originated_id(message.id, "conflict", message.digest)


def of_dispatched(message: Message, about: tuple[str, str], to: str, tables: Tables, now_ms: int) -> Verdict:
    """A member or the nation refused what was handed over: the notice to the member that must act.

    message: nation.rejected or dispatch.refused; about: id and type of the message that was refused.
    """
    body = _body(message)
    if message.type == "nation.rejected":
        said = f"{body.get('table', '')}: {body.get('reason', '')}"[:_TEXT_MAX]
        refusal = Refusal(
            "nation_rejected",
            str(body.get("table", "")),
            "R30",
            "national front-end tables up_pro_*",
            f"国家平台退回已收取的数据：{said}",
            f"the national platform rejected a collected row: {said}",
            "更正后用更高的版本号重报",
            "correct it and report it again with a higher version",
        )
    else:
        member = message.attributes.get("member", "")
        said = f"{body.get('code') or ''} {body.get('detail') or ''}".strip()[:_TEXT_MAX]
        refusal = Refusal(
            "member_refused",
            "-",
            "R10",
            "DB46 一体化政务服务平台服务规范 8.4.2",
            f"{member} 拒收本消息：{said}",
            f"{member} refused this message: {said}",
            "按对方说明更正后重报，或与其联系",
            "correct it as the member says and report it again, or contact the member",
        )
    id_ = ids.originated_id(message.id, "refusal")
    return _notice(id_, message, about, to, refusal, tables, now_ms)


def originated(submission: Message, type_: str, to: str, tables: Tables, extra: dict[str, str]) -> Verdict:
    """A question the hub asks about a submission: its value and headers under an own derived id (R22)."""
    made = msgspec.structs.replace(
        submission,
        id=ids.originated_id(submission.id, type_),
        source=HUB,
        type=type_,
        causation=submission.id,
        source_key="",
        via="",
        attributes={**submission.attributes, **extra},
    )
    out = destinations.to_member(to, type_, tables)
    return Verdict(made, Disposition.ROUTED, dispatches=out, originated=True)


def _notice(
    id_: str,
    message: Message,
    about: tuple[str, str],
    to: str,
    refusal: Refusal,
    tables: Tables,
    now_ms: int,
    digests: dict[str, str] | None = None,
) -> Verdict:
    body: dict[str, Any] = {
        "refusedId": about[0],
        "refusedType": about[1],
        "code": refusal.code,
        "field": refusal.field or None,
        "rule": refusal.rule,
        "clause": refusal.clause or None,
        "zh": refusal.zh,
        "en": refusal.en,
        "actionZh": refusal.action_zh or None,
        "actionEn": refusal.action_en or None,
        "firstDigest": None,
        "secondDigest": None,
    } | (digests or {})
    made = Message(
        id=id_,
        source=HUB,
        type=REFUSAL,
        subject=message.subject,
        time_ms=now_ms,
        value=codec.encode(_contract(), body),
        region=message.region,
        item=message.item,
        digest=ids.content_digest(REFUSAL, body),
        correlation=message.correlation,
        causation=message.id,
    )
    out = destinations.to_member(to, REFUSAL, tables)
    return Verdict(made, Disposition.ROUTED, dispatches=out, originated=True, refusal=refusal)


def _body(message: Message) -> dict[str, Any]:
    """The body of a message the hub made from a member's answer: its reason is what the sender must read."""
    try:
        return codec.decode(message.value)[1]
    except ContractError:
        return {}
