"""What the console knows without PostgreSQL (R25): both ledgers, topics, lanes, members; read from Kafka
while somebody looks.

One background task; pages take its last snapshot. No HTML here.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog

from hub.books.checkpoint import open_books, read_last
from hub.books.ledger import Books
from hub.books.model import Report
from hub.books.reader import BookReader
from hub.books.reconcile import report_of
from hub.config import Settings
from hub.errors import BrokerAway
from hub.kafka import HighWatermarks, KafkaError, Reader, TopicPartition, open_reader
from hub.status import TOPIC as STATUS_TOPIC
from hub.status import LaneReport

log = structlog.get_logger("console")

CYCLE_SECONDS: Final = 2.0
# Nobody looked for this long: nothing is read, so an unwatched console costs nothing.
IDLE_SECONDS: Final = 60.0
PATIENCE_MS_MAX: Final = 3_000
RETRY_SECONDS: Final = 2.0
HEARTBEAT_SECONDS_MAX: Final = 10.0
MEMBER_TOPIC: Final = "deliver."
WATCHED: Final = ("case.inbound", "case.routed", "case.events", "case.outcomes")


@dataclass(frozen=True)
class TopicLine:
    """One topic. written: offsets so far (transaction markers count). per_second: over the last cycles.
    lag: ids its lane has not
    worked yet, -1 where no lane of ours reads it."""

    name: str
    partitions: int
    written: int
    per_second: float
    lag: int


@dataclass(frozen=True)
class Snapshot:
    """Everything at one moment. at: seconds since the epoch, 0 = nothing was read yet."""

    at: float = 0.0
    report: Report | None = None
    topics: tuple[TopicLine, ...] = ()
    lanes: Mapping[tuple[str, str], LaneReport] = field(default_factory=dict)
    error: str = ""

    @property
    def braked(self) -> tuple[LaneReport, ...]:
        """Lanes that the park brake stopped (R24): only an operator lets it off."""
        return tuple(lane for lane in self.lanes.values() if "park brake" in lane.reason)

    @property
    def jumped(self) -> tuple[LaneReport, ...]:
        """Lanes whose process stopped its timers after a jump of its clock."""
        return tuple(lane for lane in self.lanes.values() if lane.clock_jump_ms)

    def lane_state(self, lane: LaneReport) -> str:
        """The lane's state, or `silent` when its process has not spoken for HEARTBEAT_SECONDS_MAX."""
        return lane.state if self.at - lane.at_ms / 1_000 <= HEARTBEAT_SECONDS_MAX else "silent"


class Live:
    """Keeps `snapshot` current while pages ask for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.snapshot = Snapshot()
        self._wanted = asyncio.Event()
        self._wanted_at = 0.0
        self._ends: list[tuple[float, dict[str, int]]] = []
        self._lanes: dict[tuple[str, str], LaneReport] = {}
        self._status_next: dict[TopicPartition, int] = {}

    def touch(self) -> Snapshot:
        """The last snapshot; asks for fresh ones from now on."""
        self._wanted_at = time.monotonic()
        self._wanted.set()
        return self.snapshot

    async def run(self) -> None:
        """Until cancelled. A broker that is away is told in the snapshot and tried again."""
        while True:
            await self._wanted.wait()
            try:
                await self._follow()
            except (BrokerAway, KafkaError, OSError, TimeoutError, LookupError) as error:
                log.warning("ledger_unavailable", error=repr(error))
                self._fail("消息总线不可用 / Kafka away")
                await asyncio.sleep(RETRY_SECONDS)

    def _fail(self, error: str) -> None:
        last = self.snapshot
        self.snapshot = Snapshot(last.at, last.report, last.topics, last.lanes, error)

    async def _follow(self) -> None:
        books, start = await self._books()
        watermarks = HighWatermarks(self._settings)
        async with (
            BookReader(self._settings, books, start, patience_ms_max=PATIENCE_MS_MAX) as reader,
            open_reader(self._settings) as status_reader,
            contextlib.AsyncExitStack() as stack,
        ):
            stack.push_async_callback(watermarks.stop)
            await watermarks.start()
            self._status_next = {}
            while time.monotonic() - self._wanted_at < IDLE_SECONDS:
                judgement = await reader.advance()
                report = report_of(judgement, reader, compared={})
                await self._read_status(status_reader)
                topics = await self._topics(reader.members, report, status_reader, watermarks)
                self.snapshot = Snapshot(time.time(), report, topics, dict(self._lanes))
                await asyncio.sleep(CYCLE_SECONDS)
        self._wanted.clear()

    async def _books(self) -> tuple[Books, dict[tuple[str, int], int]]:
        last = await read_last(self._settings)
        if last is None:
            return Books(), {}
        books, start = open_books(last)
        books.without_member_books()
        return books, start

    async def _read_status(self, reader: Reader) -> None:
        places = await reader.partitions([self._settings.topic(STATUS_TOPIC)])
        fresh = [place for place in places if place not in self._status_next]
        if fresh:
            self._status_next.update(await reader.start_offsets(fresh))
        if not self._status_next:
            return
        async for records in reader.read_to_stable(dict(self._status_next)):
            for record in records:
                self._status_next[TopicPartition(record.topic, record.partition)] = record.offset + 1
                if record.value is not None:
                    self._take(record.value)

    def _take(self, value: bytes) -> None:
        try:
            lane = msgspec.json.decode(value, type=LaneReport)
        except msgspec.DecodeError as error:
            log.error("status_unreadable", error=str(error))
            return
        self._lanes[lane.role, lane.lane] = lane

    async def _topics(
        self, members: Sequence[str], report: Report, client: Reader, watermarks: HighWatermarks
    ) -> tuple[TopicLine, ...]:
        names = [*WATCHED, *(MEMBER_TOPIC + member for member in members)]
        places = await client.partitions([self._settings.topic(name) for name in names])
        ends = await watermarks.ends(places)
        starts = await client.start_offsets(places)
        totals = dict.fromkeys(names, 0)
        partitions = dict.fromkeys(names, 0)
        for place, end in ends.items():
            name = self._settings.bare(place.topic)
            totals[name] += end - starts[place]
            partitions[name] += 1
        now = time.monotonic()
        self._ends = [*self._ends[-4:], (now, totals)]
        then, before = self._ends[0]
        seconds = max(now - then, 1e-9)
        return tuple(
            TopicLine(
                name,
                partitions[name],
                totals[name],
                max(totals[name] - before.get(name, totals[name]), 0) / seconds if now > then else 0.0,
                _lag(report, name),
            )
            for name in names
        )


def _lag(report: Report, name: str) -> int:
    """By id, not by offset: transaction markers are offsets too. -1 where no lane of ours reads the topic."""
    if name == "case.inbound":
        return report.messages.in_flight
    if name.startswith(MEMBER_TOPIC):
        line = report.members.get(name.removeprefix(MEMBER_TOPIC))
        return line.in_flight if line else 0
    return -1
