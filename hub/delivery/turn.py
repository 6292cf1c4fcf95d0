"""One turn of a delivery lane's rolling transaction: the state changes and outputs gathered so far, the holds
as this turn sees them, and contents that only the log has. Nothing is decided here.
"""

from typing import Final

import msgspec

from hub.config import Settings
from hub.delivery.book import Book, Case
from hub.delivery.model import (
    CONTENT_BYTES_MAX,
    Entry,
    Hold,
    Outcome,
    Settled,
    case_range,
    decode_entry,
    decode_hold,
    encode,
    hold_key,
    place_only,
    queue_key,
)
from hub.delivery.records import Outbox, entry_of
from hub.delivery.trouble import Kind, Trouble, Unit
from hub.errors import LaneStopped
from hub.kafka import Reader, TopicPartition
from hub.lanes.lane import Lane

_FETCH_WAIT_MS: Final = 50
_FETCH_TRIES_MAX: Final = 40


class Turn:
    """What one transaction will hold. units: its steps, for a lane that must find out which one is
    refused."""

    def __init__(self, lane: Lane, book: Book, out: Outbox, trouble: Trouble) -> None:
        self._lane = lane
        self._book = book
        self._trouble = trouble
        self.out = out
        self.changes: dict[bytes, bytes | None] = {}
        self.units: list[Unit] = []

    def refused_alone(self, kind: Kind, what: str) -> bool:
        """Note a step of this turn; True when it was refused alone before, so that it must be done
        otherwise."""
        unit: Unit = (kind, what)
        self.units.append(unit)
        return unit in self._trouble.otherwise

    def hold(self, subject: str) -> Hold | None:
        """Why this case stands still, None when it does not."""
        if not self._book.held:
            return None
        key = hold_key(subject)
        raw = self.changes[key] if key in self.changes else self._lane.get_many([key])[0]
        return decode_hold(raw) if raw is not None else None

    def keep(self, entry: Entry) -> None:
        """Write the entry into the store: with its content, or with its place alone where that would not
        fit into a changelog record."""
        size = len(entry.value) + sum(len(name) + len(value) for name, value in entry.headers)
        refused = {("take", entry.dispatch_id), ("start", entry.dispatch_id)} & self._trouble.otherwise
        kept = place_only(entry) if refused or size > CONTENT_BYTES_MAX else entry
        self.changes[queue_key(entry.subject, entry.seq)] = encode(kept)

    def stand_still(self, hold: Hold) -> None:
        """The case's queue stops at this dispatch."""
        self.changes[hold_key(hold.subject)] = encode(hold)

    def behind(self, entry: Entry, hold: Hold) -> None:
        """An entry waits behind a standstill."""
        self.out.outcome(entry, Settled(Outcome.PARKED, "behind", hold.code), behind=hold.dispatch_id)

    def head(self, subject: str) -> Entry | None:
        """The first entry of a case in the store, as kept: it may be without its content."""
        for _, raw in self._lane.range(*case_range(subject), 1):
            return decode_entry(raw)
        return None


class Log:
    """Contents of dispatches that the store keeps only by their place; read from deliver.<member> again. G1:
    the log keeps what is unfinished."""

    def __init__(self, settings: Settings, place: TopicPartition) -> None:
        self._settings = settings
        self._place = place
        self._reader: Reader | None = None

    async def filled(self, entry: Entry) -> Entry:
        """The entry with its content. Raises BrokerAway, LaneStopped when the log does not hold it any
        more."""
        if entry.headers:
            return entry
        if self._reader is None:
            self._reader = Reader(self._settings, fetch_wait_ms=_FETCH_WAIT_MS)
            await self._reader.start()
        self._reader.assign({self._place: entry.seq})
        try:
            for _ in range(_FETCH_TRIES_MAX):
                for record in await self._reader.poll(_FETCH_WAIT_MS * 10, 1):
                    found = entry_of(record)
                    if found.dispatch_id != entry.dispatch_id:
                        raise LookupError(f"{found.dispatch_id} ≠ {entry.dispatch_id}")
                    return msgspec.structs.replace(found, attempts=entry.attempts)
        except LookupError as error:
            raise LaneStopped(
                f"{self._place.topic}@{entry.seq}: 未办结的派发已不在日志中 / "
                f"an unfinished dispatch is not in the log any more: {error}"
            ) from error
        raise LaneStopped(f"{self._place.topic}@{entry.seq}: 读不到 / cannot be read")

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._reader is not None:
            await self._reader.stop()


async def next_page(lane: Lane, book: Book, log: Log, case: Case, entries_max: int) -> list[Entry]:
    """Bring the next entries of a case from the store into memory. Raises LaneStopped, BrokerAway,
    ValueError for an unknown format."""
    start, end = case_range(case.subject)
    if case.last_seq >= 0:
        start = queue_key(case.subject, case.last_seq + 1)
    page = [await log.filled(decode_entry(raw)) for _, raw in list(lane.range(start, end, entries_max))]
    for entry in page:
        book.append(case, entry)
    case.rest = max(0, case.rest - len(page))
    return page
