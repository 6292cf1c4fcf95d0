"""A ledger record as a leaf, and leaves as intervals. Pure: the same record gives the same leaf for ever, so
evidence can be made again from the log.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from hub.kafka import Record
from hub.router.outbox import CHAIN_HEADER
from schemas.codec import decode
from schemas.errors import ContractError
from signing.digest import sm3_hex
from signing.evidence import Chain, RootStatement, leaf_hash, root_of

ROUTED: Final = "case.routed"
OUTCOMES: Final = "case.outcomes"
LEDGERS: Final = (ROUTED, OUTCOMES)
PART_BYTES_MAX: Final = 512 * 1024
# A part is packed from PART_BYTES_MAX of text and at most one more leaf.
PART_UNPACKED_BYTES_MAX: Final = 4 * 1024 * 1024


class ChainBroken(Exception):
    """The ledger is not what the router wrote: its hash chain does not fit."""


def canonical(content: object) -> bytes:
    """The one written form of JSON content: sorted names, no spaces, UTF-8."""
    return msgspec.json.encode(content, order="sorted")


def leaf_text(lane: str, offset: int, timestamp_ms: int, value: bytes | None) -> bytes:
    """The leaf of one ledger record, canonical JSON: {"at","lane","line","offset"}. Fields without a value
    are left out, so that a field added later changes no old leaf. A record nobody can read gives its
    digest."""
    content: dict[str, Any] = {"at": timestamp_ms, "lane": lane, "offset": offset}
    try:
        _, body = decode(value or b"")
        content["line"] = {name: field for name, field in body.items() if field is not None}
    except ContractError:
        content["unreadable"] = sm3_hex(value or b"")
    return canonical(content)


class Book(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a ledger lane between intervals. next_sequence: of the statement to come; previous:
    digest of the last one; chain: the router's chain after it (empty where there is none)."""

    next_sequence: int
    previous: bytes
    chain: bytes
    closed_at_ms: int = 0


class Interval(msgspec.Struct, frozen=True):
    """A closed interval: the statement to be signed, its leaves in order, the record it ends with."""

    statement: RootStatement
    leaves: tuple[bytes, ...]
    last: Record


class LedgerLane:
    """One partition of one ledger while it is read: leaves gather until an interval is closed.

    On case.routed an interval ends where a transaction of the router ended, and the router's chain is checked
    on the way."""

    def __init__(self, name: str, book: Book, *, chained: bool) -> None:
        self.name = name
        self._book = book
        self._chained = chained
        self._chain = Chain.from_bytes(book.chain) if book.chain else Chain()
        self._unlinked: list[bytes] = []
        self._leaves: list[bytes] = []
        self._records: list[Record] = []
        self._ready = 0
        self._ready_chain = self._chain

    @property
    def waiting(self) -> int:
        """Leaves in memory."""
        return len(self._leaves)

    @property
    def ready(self) -> int:
        """Leaves that can be closed now."""
        return self._ready

    def take(self, record: Record) -> None:
        """The next committed record. Raises ChainBroken."""
        self._leaves.append(leaf_text(self.name, record.offset, record.timestamp, record.value))
        self._records.append(record)
        if not self._chained:
            self._ready = len(self._leaves)
            return
        self._unlinked.append(record.value or b"")
        for name, value in record.headers:
            if name == CHAIN_HEADER:
                self._link(bytes(value), record)
                return

    def take_unchained(self) -> None:
        """Lines that an earlier release wrote without a chain may be closed too."""
        if self._chain.links == 0:
            self._ready, self._ready_chain = len(self._leaves), self._chain
            self._unlinked.clear()

    def _link(self, header: bytes, record: Record) -> None:
        place = f"{self.name}@{record.offset}"
        try:
            number, count, head = header.split(b" ")
            links, lines, wanted = int(number), int(count), bytes.fromhex(head.decode())
        except ValueError as bad:
            raise ChainBroken(f"{place}: {CHAIN_HEADER} {header[:100]!r}") from bad
        surplus = len(self._unlinked) - lines
        if self._chain.links == 0 and (links != 1 or surplus < 0):
            # The first link that is seen of a chain that began before evidence was kept.
            after = Chain(links, wanted)
        elif links != self._chain.links + 1 or surplus < 0 or (surplus and self._chain.links):
            # Only before its first link may a chain leave lines out: they are older than it.
            raise ChainBroken(f"{place}: 链节 / link {links} ({lines}) after {self._chain.links}")
        else:
            after = self._chain.extend(self._unlinked[surplus:])
        if after.head != wanted:
            raise ChainBroken(f"{place}: 链值不符 / the chain's head does not fit its lines")
        self._chain = self._ready_chain = after
        self._unlinked.clear()
        self._ready = len(self._leaves)

    def close(self, now_ms: int) -> tuple[Interval, Book]:
        """The interval of everything that is ready, and the book after it. Nothing is forgotten until
        `closed`."""
        leaves = tuple(self._leaves[: self._ready])
        first, last = self._records[0], self._records[self._ready - 1]
        statement = RootStatement(
            lane=self.name,
            sequence=self._book.next_sequence,
            first_offset=first.offset,
            last_offset=last.offset,
            size=len(leaves),
            root=root_of([leaf_hash(leaf) for leaf in leaves]),
            # A clock that went back must not make history look reordered.
            closed_at_ms=max(now_ms, self._book.closed_at_ms),
            previous=self._book.previous,
            **({"chain": self._ready_chain.head} if self._chained else {}),
        )
        chain = self._ready_chain.to_bytes() if self._chained else b""
        book = Book(self._book.next_sequence + 1, statement.digest(), chain, statement.closed_at_ms)
        return Interval(statement, leaves, last), book

    def closed(self, book: Book) -> None:
        """The interval is committed."""
        del self._leaves[: self._ready], self._records[: self._ready]
        self._ready, self._book = 0, book


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One record of evidence.leaves: leaves `first`… of the statement `sequence` of a lane."""

    lane: str
    sequence: int
    first: int
    leaves: list[bytes]


def parts_of(interval: Interval) -> list[bytes]:
    """Values for evidence.leaves, each small enough for one record."""
    statement = interval.statement
    parts: list[Part] = []
    size = PART_BYTES_MAX
    for index, leaf in enumerate(interval.leaves):
        if size + len(leaf) > PART_BYTES_MAX:
            parts.append(Part(statement.lane, statement.sequence, index, []))
            size = 0
        parts[-1].leaves.append(leaf)
        size += len(leaf)
    return [zlib.compress(msgspec.msgpack.encode(part), 1) for part in parts]


def read_part(value: bytes) -> Part:
    """Raises ValueError."""
    unpacking = zlib.decompressobj()
    try:
        raw = unpacking.decompress(value, PART_UNPACKED_BYTES_MAX)
    except zlib.error as bad:
        raise ValueError(f"evidence.leaves: {bad}") from bad
    return msgspec.msgpack.decode(raw, type=Part)


class SignedRoot(msgspec.Struct, frozen=True, kw_only=True):
    """One record of evidence.roots. statement: the signed text; signature: SM2 over it; certificate: the
    signer's; timestamp: RFC 3161 token over statement and signature. Bytes as base64."""

    statement: str
    signature: bytes
    certificate: bytes
    timestamp: bytes


def stamped_bytes(statement: bytes, signature: bytes) -> bytes:
    """What the time stamp of a signed statement is over."""
    return statement + b"\n" + signature


def joined(parts: Sequence[Part]) -> tuple[bytes, ...]:
    """The leaves of one statement from its parts. Raises ValueError when one is missing."""
    leaves: list[bytes] = []
    for part in sorted(parts, key=lambda part: part.first):
        if part.first != len(leaves):
            raise ValueError(f"evidence.leaves: {part.lane} {part.sequence}: 缺少部分 / a part is missing")
        leaves += part.leaves
    return tuple(leaves)


def line_of(leaf: Mapping[str, Any]) -> dict[str, Any]:
    """The ledger line of a decoded leaf; {} for one nobody could read."""
    line = leaf.get("line")
    return line if isinstance(line, dict) else {}
