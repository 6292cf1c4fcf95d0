"""Ledger lines of plainly routed messages, written by stencil: the codec writes one line of a kind, later
ones of that kind only fill in what differs. No other message is written here.

Such lines are nearly all of case.routed, and writing them field by field was the largest single cost of the
router.
"""

import functools
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from hub.envelope import Message
from hub.routing.model import Disposition, Outgoing, Verdict
from schemas import codec, contracts
from schemas.writer import zigzag

ID_CHARACTERS: Final = 32
DIGEST_CHARACTERS: Final = 64
REASON_CHARACTERS_MAX: Final = 64
TEXT_CHARACTERS_MAX: Final = 1_000
_KINDS_MAX: Final = 4_096
# Times that take six bytes, 1970-07 to 2039; others are left to the codec.
_TIME_MS: Final = range(1 << 34, 1 << 41)

# What stands in a stencil where a line differs from the next, each of the length of what replaces it.
_MESSAGE, _CASE, _DISPATCH, _DIGEST = "\x1c", "\x1d", "\x1e", "\x1f"
_TIME_RAW: Final = bytes((0x82, 0x83, 0x84, 0x85, 0x86, 0x06))


class Stencil(NamedTuple):
    """parts: the line cut where it differs; the odd ones are filled in. order: which value stands in each of
    them: 0 message id, 1 case number, 2 time, 3 digest, from 4 on the dispatch ids."""

    parts: tuple[bytes, ...]
    order: tuple[int, ...]

    def fill(self, values: Sequence[bytes]) -> bytes:
        parts = list(self.parts)
        parts[1::2] = [values[place] for place in self.order]
        return b"".join(parts)


def plain_line(verdict: Verdict, version: str, subject: bytes, dispatch_ids: Sequence[bytes]) -> bytes | None:
    """The ledger line of a verdict; None for one that has to be written field by field: not simply routed, or
    an id, a time or a digest of unusual form. Same bytes as the codec's."""
    message = verdict.message
    if (
        verdict.disposition is not Disposition.ROUTED
        or verdict.refusal is not None
        or verdict.originated
        or verdict.zh
        or verdict.en
        or message.causation
        or len(message.id) != ID_CHARACTERS
        or len(message.digest) != DIGEST_CHARACTERS
        or message.time_ms not in _TIME_MS
        or not (message.id.isascii() and message.digest.isascii())
    ):
        return None
    grade = message.attributes.get("grade", "")
    stencil = _stencil(
        verdict.dispatches, message.source, message.type, verdict.reason, grade, len(subject), version
    )
    if stencil is None:
        return None
    time = message.time_ms << 1
    raw_time = bytes(
        (
            time & 0x7F | 0x80,
            time >> 7 & 0x7F | 0x80,
            time >> 14 & 0x7F | 0x80,
            time >> 21 & 0x7F | 0x80,
            time >> 28 & 0x7F | 0x80,
            time >> 35,
        )
    )
    return stencil.fill((message.id.encode(), subject, raw_time, message.digest.encode(), *dispatch_ids))


@functools.lru_cache(_KINDS_MAX)
def _stencil(
    outgoing: tuple[Outgoing, ...],
    source: str,
    type_: str,
    reason: str,
    grade: str,
    subject_bytes: int,
    version: str,
) -> Stencil | None:
    """Of the lines that have these in common; None when that could be taken for what differs."""
    if not subject_bytes:
        return None
    dispatches = [
        {"id": _DISPATCH * ID_CHARACTERS, "member": out.member, "kind": out.kind} for out in outgoing
    ]
    marked = Message(
        id=_MESSAGE * ID_CHARACTERS,
        source=source,
        type=type_,
        subject=_CASE * subject_bytes,
        time_ms=_marked_time(),
        value=b"",
        digest=_DIGEST * DIGEST_CHARACTERS,
        attributes={"grade": grade},
    )
    verdict = Verdict(marked, Disposition.ROUTED, reason)
    whole = codec.encode(contracts.load().by_type("hub.routed"), line_body(verdict, version, dispatches))
    marks = (
        marked.id.encode(),
        marked.subject.encode(),
        _TIME_RAW,
        marked.digest.encode(),
    )
    dispatch = (_DISPATCH * ID_CHARACTERS).encode()
    cut = re.split(b"(" + b"|".join(map(re.escape, (*marks, dispatch))) + b")", whole)
    order, next_dispatch = [], len(marks)
    for mark in cut[1::2]:
        if mark == dispatch:
            order.append(next_dispatch)
            next_dispatch += 1
        else:
            order.append(marks.index(mark))
    if sorted(order) != list(range(len(marks) + len(dispatches))):
        return None
    return Stencil(tuple(cut), tuple(order))


def _marked_time() -> int:
    number = 0
    for place, byte in enumerate(_TIME_RAW):
        number |= (byte & 0x7F) << 7 * place
    assert zigzag(number >> 1) == _TIME_RAW
    return number >> 1


def line_body(verdict: Verdict, version: str, dispatches: list[dict[str, str]]) -> dict[str, Any]:
    """The line as the codec takes it."""
    message, refusal = verdict.message, verdict.refusal
    return {
        "messageId": message.id,
        "caseNo": message.subject,
        "disposition": verdict.disposition.value,
        "reason": (verdict.reason or (refusal.code if refusal else ""))[:REASON_CHARACTERS_MAX] or None,
        "zh": (verdict.zh or (refusal.zh if refusal else ""))[:TEXT_CHARACTERS_MAX] or None,
        "en": (verdict.en or (refusal.en if refusal else ""))[:TEXT_CHARACTERS_MAX] or None,
        "dispatches": dispatches,
        "originated": verdict.originated,
        "causation": message.causation or None,
        "source": message.source,
        "type": message.type,
        "occurredAt": message.time_ms,
        "tablesVersion": version,
        "grade": message.attributes.get("grade") or None,
        "digest": message.digest or None,
    }
