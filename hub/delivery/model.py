"""The frozen records a delivery lane keeps in its store, and their keys. No I/O here.

A case's queue for one member is the entries under its prefix, in the order the router gave them (the input
offset).
"""

import enum
from typing import Final

import msgspec


class Outcome(enum.StrEnum):
    """The end, or the standstill, of a dispatch; the dispatch ledger of G6. In flight = no record yet, or
    released again after a standstill."""

    IN_FLIGHT = "in_flight"
    DELIVERED = "delivered"
    REFUSED = "refused"
    PARKED = "parked"
    IN_DOUBT = "in_doubt"
    CANCELLED = "cancelled"


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One dispatch taken in. seq: its offset on deliver.<member>, so order and id need no counter. attempts:
    calls whose intent
    was committed."""

    seq: int
    dispatch_id: str
    subject: str
    headers: list[tuple[str, bytes]]
    value: bytes
    attempts: int = 0


class Intent(msgspec.Struct, frozen=True, array_like=True):
    """Written before a call may start. at_ms: wall clock, shown to people only; windows are measured on the
    monotonic clock. window_ms: how long the call might start; 0 = the member's start_within_ms."""

    subject: str
    dispatch_id: str
    seq: int
    attempt: int
    at_ms: int
    window_ms: int = 0


class Hold(msgspec.Struct, frozen=True, array_like=True):
    """Why a case's queue for this member stands still, and at which dispatch. behind: entries that wait
    behind it."""

    subject: str
    dispatch_id: str
    outcome: Outcome
    code: str
    detail: str
    since_ms: int
    behind: int = 0


class Suspended(msgspec.Struct, frozen=True, array_like=True):
    """The whole member stands still because an operator said so: taken in goes on, called is nobody."""

    by: str
    reason: str
    since_ms: int


class Settled(msgspec.Struct, frozen=True):
    """What a finished call means for its dispatch. hold: the case's queue stands still behind it. inform: the
    sender gets a refusal."""

    outcome: Outcome
    code: str
    detail: str
    hold: bool = False
    inform: bool = False


class Again(msgspec.Struct, frozen=True):
    """The dispatch stays at the head of its queue. query_first: ask the member before calling again.
    member_failed: counts for the breaker."""

    delay_ms: int
    reason: str
    query_first: bool = False
    member_failed: bool = True


# A larger dispatch is kept by its place in the log alone: with its content it might not fit into a changelog
# record, and the changelog would hold it twice.
CONTENT_BYTES_MAX: Final = 262_144
_QUEUE: Final = b"q"
_INTENT: Final = b"i"
_HOLD: Final = b"h"


def queue_key(subject: str, seq: int) -> bytes:
    """Key of a queue entry; entries of a case sort by seq."""
    return _QUEUE + subject.encode() + b"\x00" + seq.to_bytes(8)


def subject_of(key: bytes) -> str:
    """The case of a queue key."""
    return key[1:-9].decode()


def intent_key(subject: str) -> bytes:
    """Key of the intent of the call under way for a case (at most one)."""
    return _INTENT + subject.encode()


def hold_key(subject: str) -> bytes:
    """Key of a case's hold."""
    return _HOLD + subject.encode()


def case_range(subject: str) -> tuple[bytes, bytes]:
    """First key and end of a case's queue."""
    return _QUEUE + subject.encode() + b"\x00", _QUEUE + subject.encode() + b"\x01"


SUSPENDED_KEY: Final = b"s"
ALL_QUEUES: Final = (_QUEUE, b"r")
ALL_INTENTS: Final = (_INTENT, b"j")
ALL_HOLDS: Final = (_HOLD, _INTENT)


def place_only(entry: Entry) -> Entry:
    """The entry without its content: where it stands in the log, and how often it was called."""
    return msgspec.structs.replace(entry, headers=[], value=b"")


def encode(record: Entry | Intent | Hold | Suspended) -> bytes:
    """Store value of a record, with a leading format id: release N reads N-1."""
    return b"\x01" + msgspec.msgpack.encode(record)


def decode_entry(raw: bytes) -> Entry:
    """Raises ValueError on an unknown format id."""
    return msgspec.msgpack.decode(_body(raw), type=Entry)


def decode_intent(raw: bytes) -> Intent:
    """Raises ValueError on an unknown format id."""
    return msgspec.msgpack.decode(_body(raw), type=Intent)


def decode_hold(raw: bytes) -> Hold:
    """Raises ValueError on an unknown format id."""
    return msgspec.msgpack.decode(_body(raw), type=Hold)


def decode_suspended(raw: bytes) -> Suspended:
    """Raises ValueError on an unknown format id."""
    return msgspec.msgpack.decode(_body(raw), type=Suspended)


def _body(raw: bytes) -> memoryview:
    if raw[:1] != b"\x01":
        raise ValueError(f"未知的状态格式 / unknown state format {raw[:1]!r}")
    return memoryview(raw)[1:]
