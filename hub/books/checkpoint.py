"""A closed period: offsets, totals, open ids and the digest of the closed ones, as records on
books.checkpoints. Encoding and reading only.

One checkpoint may be larger than a record, so it is cut into numbered parts; the head names their number
and digest and is written last:
a torn checkpoint is no checkpoint.
"""

import zlib
from collections.abc import Mapping
from typing import Final

import msgspec

from hub.books.ledger import Books
from hub.books.model import DispatchTotals, MessageTotals, OpenDispatch, OpenMessage, Problem
from hub.config import Settings
from hub.kafka import open_reader
from signing.digest import sm3_hex

TOPIC: Final = "books.checkpoints"
HEAD: Final = b"head"
PART_BYTES_MAX: Final = 768 * 1024
PARTS_MAX: Final = 1_000
FORMAT: Final = 1


class Head(msgspec.Struct, frozen=True):
    """Written last; parts: how many, digest: SM3 of their concatenation."""

    format: int
    parts: int
    digest: str


class Checkpoint(msgspec.Struct, frozen=True):
    """What the next run carries. offsets: "<bare topic>-<partition>" -> next offset. own_books: URL -> last
    line read."""

    at_ms: int
    offsets: dict[str, int]
    messages: MessageTotals
    members: dict[str, DispatchTotals]
    closed_digest: str
    open_messages: dict[str, OpenMessage]
    open_dispatches: dict[str, OpenDispatch]
    booked_ahead: dict[str, str]
    duplicated: dict[str, str]
    own_books: dict[str, int]
    with_book: list[str]
    problems: list[Problem]
    problems_seen: int


def take(
    books: Books, offsets: Mapping[tuple[str, int], int], own_books: Mapping[str, int], at_ms: int
) -> Checkpoint:
    """The books as they stand."""
    return Checkpoint(
        at_ms=at_ms,
        offsets={f"{topic}-{partition}": offset for (topic, partition), offset in offsets.items()},
        messages=books.closed_messages,
        members=dict(books.closed_dispatches),
        closed_digest=f"{books.closed_digest:064x}",
        open_messages=books.messages,
        open_dispatches=books.dispatches,
        booked_ahead=books.booked_ahead,
        duplicated=books.duplicated,
        own_books=dict(own_books),
        with_book=sorted(books.with_book),
        problems=books.problems,
        problems_seen=books.problems_seen,
    )


def open_books(checkpoint: Checkpoint) -> tuple[Books, dict[tuple[str, int], int]]:
    """Books that go on where the checkpoint ended, and the offsets to read from."""
    books = Books(checkpoint.with_book)
    books.messages = dict(checkpoint.open_messages)
    books.dispatches = dict(checkpoint.open_dispatches)
    books.booked_ahead = dict(checkpoint.booked_ahead)
    books.duplicated = dict(checkpoint.duplicated)
    books.problems = list(checkpoint.problems)
    books.problems_seen = checkpoint.problems_seen
    books.closed_messages = checkpoint.messages
    books.closed_dispatches.update(checkpoint.members)
    books.closed_digest = int(checkpoint.closed_digest, 16)
    offsets = {}
    for name, offset in checkpoint.offsets.items():
        topic, _, partition = name.rpartition("-")
        offsets[topic, int(partition)] = offset
    return books, offsets


def to_records(checkpoint: Checkpoint) -> list[tuple[bytes, bytes]]:
    """(key, value) records, the head last. Raises OverflowError when there are more open ids than parts can
    hold."""
    raw = zlib.compress(msgspec.msgpack.encode(checkpoint), 3)
    parts = [raw[i : i + PART_BYTES_MAX] for i in range(0, len(raw), PART_BYTES_MAX)]
    if len(parts) > PARTS_MAX:
        raise OverflowError(f"检查点过大 / checkpoint too large: {len(raw)} bytes")
    head = msgspec.msgpack.encode(Head(FORMAT, len(parts), sm3_hex(raw)))
    return [*((b"part/%d" % number, part) for number, part in enumerate(parts)), (HEAD, head)]


def from_records(records: Mapping[bytes, bytes]) -> Checkpoint | None:
    """The last whole checkpoint, None when there is none or it is torn or of another format (then the books
    are read in full)."""
    if HEAD not in records:
        return None
    head = msgspec.msgpack.decode(records[HEAD], type=Head)
    if head.format != FORMAT or head.parts > PARTS_MAX:
        return None
    raw = b"".join(records.get(b"part/%d" % number, b"") for number in range(head.parts))
    if sm3_hex(raw) != head.digest:
        return None
    return msgspec.msgpack.decode(zlib.decompress(raw), type=Checkpoint)


def head_digest(records: Mapping[bytes, bytes]) -> str:
    """The digest that the head names; "" without one."""
    return msgspec.msgpack.decode(records[HEAD], type=Head).digest if HEAD in records else ""


async def read_last(settings: Settings) -> Checkpoint | None:
    """The last checkpoint on books.checkpoints. Raises BrokerAway."""
    return from_records(await read_records(settings))


async def read_records(settings: Settings) -> dict[bytes, bytes]:
    """What stands on books.checkpoints. Raises BrokerAway."""
    found: dict[bytes, bytes] = {}
    async with open_reader(settings) as reader:
        places = await reader.partitions([settings.topic(TOPIC)])
        async for records in reader.read_to_stable(await reader.start_offsets(places)):
            found.update({record.key: record.value for record in records if record.value is not None})
    return found
