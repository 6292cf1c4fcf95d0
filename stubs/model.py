"""The frozen data a simulated member works with: what reached it, what it plans to send, what it remembers of
a case. No I/O.
"""

from datetime import datetime, timedelta, timezone
from typing import Any, Final

import msgspec

SHANGHAI: Final = timezone(timedelta(hours=8))


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One dispatch as it reached this member, in whatever dialect. occurred_at: ISO 8601 with zone."""

    dispatch_id: str
    message_id: str
    kind: str
    case_no: str
    source: str
    occurred_at: str
    body: dict[str, Any]
    type: str = ""
    region: str = ""
    item: str = ""
    flags: tuple[str, ...] = ()
    digest: str = ""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One message this member will send. Exactly one of case_no and case_ref is set for case types.

    files: SM3 digests (64 hex) to upload before it. needs: SM3 digests of the case's files to fetch before it
    (R12). document: the message as its sender already wrote it, in the sender's own dialect.
    """

    member: str
    type: str
    source_ref: str
    occurred_at: str
    body: dict[str, Any]
    case_no: str = ""
    case_ref: str = ""
    files: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    document: bytes = b""


class CaseMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What this member knows of one case (办件). clock: business time of the newest message seen or sent, ISO
    8601.

    own: this member opened it. waiting: events that only the member who opened the case answers, kept until
    the receipt told which case number is its own.
    """

    scenario: str = ""
    own: bool = False
    origin: str = ""
    clock: str = ""
    item: str = ""
    item_name: str = ""
    region: str = ""
    project_type: str = "2"
    window: str = ""
    case_ref: str = ""
    collector: str = "申请人"
    materials: tuple[dict[str, Any], ...] = ()
    corrections: int = 0
    accepted: bool = False
    ended: bool = False
    delivered: bool = False
    waiting: tuple[Event, ...] = ()


class Reaction(msgspec.Struct, frozen=True):
    """What one event changes: the new memory, and the messages to send."""

    memory: CaseMemory
    planned: tuple[Planned, ...] = ()


def later(moment: str, *, minutes: int) -> str:
    """`moment` (ISO 8601 with zone) plus minutes, in Beijing time to the second."""
    return (moment_of(moment) + timedelta(minutes=minutes)).astimezone(SHANGHAI).isoformat(timespec="seconds")


def moment_of(text: str) -> datetime:
    """ISO 8601 text as a moment; without zone it is Asia/Shanghai (R7). Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=SHANGHAI)


def newest(first: str, second: str) -> str:
    """The later of two moments; an empty text is earlier than everything."""
    if not first or not second:
        return first or second
    return first if moment_of(first) >= moment_of(second) else second
