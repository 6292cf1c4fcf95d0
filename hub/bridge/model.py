"""The frozen records that a bridge lane keeps in the other cluster: its cursor, and what it still sums up.
And the one that is kept at home: which cluster that is. Encoding only.

Keys on bridge.changelog begin with the lane's name, because the lanes of all regions share its partition.
"""

from typing import Any, Final, TypeVar

import msgspec

from hub.kafka import Record
from signing.digest import sm3_hex

T = TypeVar("T")

_FORMAT: Final = b"\x01"
_CURSOR: Final = b"cursor"
_SUM: Final = b"sum/"
_TARGET: Final = b"target/"
_END_OF_LANE: Final = b"\x00"
NO_LANE: Final = ""
"""What concerns no single lane: the records of the source, on its own bridge.changelog."""


class Mark(msgspec.Struct, frozen=True):
    """Where one source partition stands. next: the offset after the last record that was taken; offset, id,
    timestamp_ms and digest (SM3, hex) are that record's own, to be compared when the lane opens."""

    topic_id: str
    next: int
    offset: int
    id: str
    timestamp_ms: int
    digest: str


class Cursor(msgspec.Struct, frozen=True):
    """A lane's cursor: the source cluster, and a mark for each `<bare topic>-<partition>` that was read."""

    cluster_id: str
    marks: dict[str, Mark]


class Target(msgspec.Struct, frozen=True):
    """The cluster a bridge writes to. changelog_id: the topic id of its bridge.changelog; made anew, it has
    lost the cursors."""

    cluster_id: str
    changelog_id: str


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What one of our members said of a copied message: the last outcome of that dispatch."""

    member: str
    outcome: str
    code: str
    detail: str


class Sum(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one message that came from the other region. disposition: of our router, "" = not yet.
    dispatches: ids our router listed. outcomes: by dispatch id. acknowledged: the outcome told last."""

    message_id: str
    subject: str
    type: str
    disposition: str = ""
    code: str = ""
    detail: str = ""
    dispatches: tuple[str, ...] = ()
    outcomes: dict[str, Told] = {}
    acknowledged: str = ""


def mark_of(record: Record, topic_id: str) -> Mark:
    """The mark of a record just taken."""
    return Mark(
        topic_id, record.offset + 1, record.offset, id_of(record), record.timestamp, digest_of(record)
    )


def id_of(record: Record) -> str:
    """What identifies a record to a person: message id, else dispatch id."""
    headers = dict(record.headers)
    return (headers.get("ce_id") or headers.get("hub_dispatch") or b"").decode(errors="replace")


def digest_of(record: Record) -> str:
    """SM3 over key, headers and value, each with its length."""
    parts = [record.key or b"", record.value or b""]
    for name, value in record.headers:
        parts += [name.encode(), value]
    return sm3_hex(b"".join(b"%d:%b" % (len(part), part) for part in parts))


def cursor_key(lane: str) -> bytes:
    """Key of a lane's cursor."""
    return lane.encode() + _END_OF_LANE + _CURSOR


def sum_key(lane: str, message_id: str) -> bytes:
    """Key of what a lane sums up for one message."""
    return lane.encode() + _END_OF_LANE + _SUM + message_id.encode()


def target_key(region: str) -> bytes:
    """Key of what the source remembers of the cluster of another region."""
    return NO_LANE.encode() + _END_OF_LANE + _TARGET + region.encode()


def is_of(key: bytes, lane: str) -> bool:
    """Whether a record of bridge.changelog is this lane's."""
    return key.startswith(lane.encode() + _END_OF_LANE)


def is_sum(key: bytes, lane: str) -> bool:
    """Whether it is one of the lane's sums."""
    return key.startswith(lane.encode() + _END_OF_LANE + _SUM)


def encode(value: Cursor | Sum | Target) -> bytes:
    """With a leading format id: release N reads N-1."""
    return _FORMAT + msgspec.msgpack.encode(value)


def decode(raw: bytes, type_: type[T]) -> T:
    """Raises ValueError for another format."""
    if raw[:1] != _FORMAT:
        raise ValueError(f"未知的游标格式 / unknown cursor format {raw[:1]!r}")
    decoded: Any = msgspec.msgpack.decode(memoryview(raw)[1:], type=type_)
    return decoded  # type: ignore[no-any-return]
