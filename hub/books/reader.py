"""Brings `Books` up to the ends of the topics, in an order that cannot mistake the order of reading for a
loss (G6). Kafka I/O only.

1 lane positions (changelogs) · 2 end of case.routed · 3 ends of deliver.* and case.outcomes · 4 ends of
case.routed and case.inbound.
Effects are bounded before their causes, so every effect that is read has its cause read too; and only what
was listed below 2 must be
on deliver.* below 3. An end is the high watermark: a reader passes it only when every transaction below has
ended.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Final

import aiohttp

from hub.books.history import look_back
from hub.books.judge import Judgement, judge, resolve, suspects
from hub.books.lanes import LaneWatch
from hub.books.ledger import Books
from hub.books.member_book import BookAway, MemberBook
from hub.books.model import Positions, Trouble
from hub.config import Settings
from hub.kafka import Admin, HighWatermarks, Reader, Record, TopicPartition
from schemas.codec import decode
from schemas.errors import ContractError

BATCH_MAX: Final = 2_000
POLL_WAIT_MS: Final = 100
FETCH_WAIT_MS: Final = 50
DELIVER: Final = "deliver."
# The coordinator looks for timed-out transactions every 10 s.
COORDINATOR_SCAN_MS: Final = 15_000
MEMBERS_REFRESH_SECONDS: Final = 60.0


class BookReader:
    """One pass after another over the same `Books`. Open, then call `advance` as often as wanted."""

    def __init__(
        self,
        settings: Settings,
        books: Books,
        start: Mapping[tuple[str, int], int] | None = None,
        *,
        patience_ms_max: int | None = None,
    ) -> None:
        """start: where a checkpoint ended. patience_ms_max: how long to wait for open transactions; by
        default until the coordinator
        must have ended them."""
        patience_ms = settings.transaction_timeout_ms + COORDINATOR_SCAN_MS
        self._patience_seconds = (patience_ms if patience_ms_max is None else patience_ms_max) / 1_000
        self._settings = settings
        self.books = books
        self._reader = Reader(settings, fetch_wait_ms=FETCH_WAIT_MS)
        self._lane_reader = Reader(settings, fetch_wait_ms=FETCH_WAIT_MS)
        self._watermarks = HighWatermarks(settings)
        self._watch = LaneWatch(settings, self._lane_reader)
        self._next: dict[TopicPartition, int] = {}
        self._start = dict(start or {})
        self._members: tuple[str, ...] = ()
        self._members_due = 0.0
        self.records_read = 0
        self.undecided: list[str] = []
        self.books_away: list[str] = []
        self.positions = Positions({}, {})

    async def __aenter__(self) -> "BookReader":
        try:
            await self._reader.start()
            await self._lane_reader.start()
            await self._watermarks.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.stop()
        await self._lane_reader.stop()
        await self._watermarks.stop()

    @property
    def members(self) -> tuple[str, ...]:
        """Members that have a deliver topic."""
        return self._members

    @property
    def offsets(self) -> dict[tuple[str, int], int]:
        """Next offset per (bare topic, partition): where the next run goes on."""
        return {
            (self._settings.bare(place.topic), place.partition): offset
            for place, offset in self._next.items()
        }

    async def advance(
        self, own: Iterable[MemberBook] = (), session: aiohttp.ClientSession | None = None
    ) -> Judgement:
        """Read everything up to now and judge. own: members' own books, read alongside. Raises BrokerAway,
        LookupError."""
        await self._find_topics()
        self.positions = await self._watch.refresh(self._members)
        listed_before = {place.partition: end for place, end in (await self._ends("case.routed")).items()}
        targets = await self._ends("case.outcomes", *(DELIVER + member for member in self._members))
        targets |= await self._ends("case.routed", "case.inbound")
        self.books_away = []
        shelf = list(own)
        await self._read_to(targets, shelf, session)
        await self._finish_books(shelf, session)
        if self.undecided:
            # What an open transaction hides cannot be told from what is lost: nothing is called lost now.
            return judge(self.books, Positions({}, {}), {}, complete=False)
        unknown = suspects(self.books, self.positions)
        resolve(self.books, await look_back(self._settings, *unknown))
        return judge(self.books, self.positions, listed_before)

    async def _find_topics(self) -> None:
        if self._members and time.monotonic() < self._members_due:
            return
        async with Admin(self._settings) as admin:
            topics = [self._settings.bare(name) for name in await admin.list_topics() if self._ours(name)]
        self._members = tuple(
            sorted(name.removeprefix(DELIVER) for name in topics if name.startswith(DELIVER))
        )
        self._members_due = time.monotonic() + MEMBERS_REFRESH_SECONDS

    def _ours(self, name: str) -> bool:
        return name.startswith(self._settings.topic_prefix)

    async def _ends(self, *topics: str) -> dict[TopicPartition, int]:
        places = await self._reader.partitions([self._settings.topic(topic) for topic in topics])
        return await self._watermarks.ends(places) if places else {}

    async def _read_to(
        self,
        targets: Mapping[TopicPartition, int],
        shelf: list[MemberBook],
        session: aiohttp.ClientSession | None,
    ) -> None:
        starts = await self._reader.start_offsets(targets)
        for place, start in starts.items():
            if place not in self._next:
                kept = self._start.get((self._settings.bare(place.topic), place.partition), start)
                self._next[place] = max(kept, start)
        self._reader.assign({place: self._next[place] for place in targets})
        left = {place for place, end in targets.items() if self._next[place] < end}
        self._reader.pause([place for place in targets if place not in left])
        deadline = time.monotonic() + self._patience_seconds
        while left and time.monotonic() < deadline:
            records = await self._reader.poll(POLL_WAIT_MS, BATCH_MAX)
            for record in records:
                if record.offset < targets[TopicPartition(record.topic, record.partition)]:
                    self._apply(record)
            if records:
                deadline = time.monotonic() + self._patience_seconds
                await self._one_page_each(shelf, session)
                await asyncio.sleep(0)
            for place in list(left):
                if await self._reader.position(place) >= targets[place]:
                    left.discard(place)
                    self._next[place] = targets[place]
                    self._reader.pause([place])
        self.undecided = sorted(f"{self._settings.bare(place.topic)}-{place.partition}" for place in left)

    async def _one_page_each(self, shelf: list[MemberBook], session: aiohttp.ClientSession | None) -> None:
        """Books are read at the same pace as the topics, so that neither side has to be remembered in
        full."""
        for book in list(shelf):
            if session is not None:
                await self._page(book, session, shelf)

    async def _finish_books(self, shelf: list[MemberBook], session: aiohttp.ClientSession | None) -> None:
        """To their ends as they are after the topics were read: what is delivered by now must be in them."""
        for book in list(shelf):
            while session is not None and await self._page(book, session, shelf):
                pass

    async def _page(self, book: MemberBook, session: aiohttp.ClientSession, shelf: list[MemberBook]) -> bool:
        try:
            lines = await book.page(session)
        except BookAway:
            self.books_away.extend(book.members)
            shelf.remove(book)
            return False
        for line in lines:
            self.books.booked(line.dispatch_id, book.members[0], line.effects)
        return bool(lines)

    #  -- one record
    # --------------------------------------------------------------------------------------------------

    def _apply(self, record: Record) -> None:
        place = TopicPartition(record.topic, record.partition)
        self._next[place] = record.offset + 1
        self.records_read += 1
        topic = self._settings.bare(record.topic)
        at = (record.partition, record.offset)
        try:
            if topic == "case.inbound":
                self.books.accepted(_header(record, "ce_id"), at)
            elif topic.startswith(DELIVER):
                self.books.sent(_header(record, "hub_dispatch"), topic.removeprefix(DELIVER), at)
            else:
                self._apply_value(topic, record, at)
        except (ContractError, LookupError, ValueError) as error:
            self.books.problem(
                Trouble.UNREADABLE,
                f"{topic}-{at[0]}@{at[1]}",
                "",
                "记录无法读取",
                f"unreadable record: {error}",
            )

    def _apply_value(self, topic: str, record: Record, at: tuple[int, int]) -> None:
        _, body = decode(record.value or b"")
        if topic == "case.outcomes":
            self.books.outcome(body["dispatchId"], body["member"], body["outcome"], at)
            return
        dispatches = [(entry["id"], entry["member"]) for entry in body["dispatches"]]
        self.books.verdict(body["messageId"], body["disposition"], body["originated"], dispatches, at)


def _header(record: Record, name: str) -> str:
    for key, value in record.headers:
        if key == name:
            return str(value, "utf-8")
    raise LookupError(name)
