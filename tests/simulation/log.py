"""An in-memory log with Kafka's transactions as the lanes rely on them: fencing, markers that take an
offset, last stable offsets, commits whose answer is lost. And the producer and reader that lanes use,
over it.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hub.config import Settings
from hub.errors import Fenced, OutputRefused, UnknownOutcome
from hub.kafka import Output, Record, TopicPartition
from tests.simulation.chaos import PROCESS, Chaos

Place = tuple[str, int]


@dataclass
class Entry:
    """A record, or a marker (key and value None). state: open | committed | aborted; stamp: a
    transaction's number."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp: int
    state: str
    stamp: int = 0


@dataclass
class Transactional:
    """What the coordinator knows of a transactional id."""

    epoch: int = 0
    stamp: int = 0
    places: set[Place] = field(default_factory=set)
    prepared: bool = False


class Log:
    """All topics. `moved` is set whenever something became visible."""

    def __init__(self, chaos: Chaos) -> None:
        self.chaos = chaos
        self.entries: dict[Place, list[Entry]] = defaultdict(list)
        self.coordinator: dict[str, Transactional] = defaultdict(Transactional)
        self._stamp = 0
        self.moved = asyncio.Event()

    def append(self, place: Place, records: Iterable[Output], stamp: int = 0) -> int:
        """Append; returns the first offset. stamp 0: outside any transaction, visible at once."""
        entries = self.entries[place]
        first = len(entries)
        for key, value, headers, timestamp in records:
            state = "open" if stamp else "committed"
            entries.append(Entry(len(entries), key, value, list(headers), timestamp, state, stamp))
        self._wake()
        return first

    def stable(self, place: Place) -> int:
        """Last stable offset."""
        entries = self.entries[place]
        return next((entry.offset for entry in entries if entry.state == "open"), len(entries))

    def committed(self, place: Place) -> list[Entry]:
        """What a read_committed reader sees."""
        stable = self.stable(place)
        return [
            entry
            for entry in self.entries[place][:stable]
            if entry.state == "committed" and not (entry.key is None and entry.value is None)
        ]

    def init(self, id_: str) -> int:
        """InitProducerId: fences, completes a prepared commit, aborts what is open; returns the epoch."""
        known = self.coordinator[id_]
        known.epoch += 1
        self._end(known, "committed" if known.prepared else "aborted")
        return known.epoch

    def begin(self, id_: str, epoch: int) -> int:
        """A new transaction's stamp. Raises Fenced."""
        known = self.check(id_, epoch)
        self._stamp += 1
        known.stamp, known.places = self._stamp, set()
        return self._stamp

    def check(self, id_: str, epoch: int) -> Transactional:
        """Raises Fenced for an epoch that was followed by another."""
        known = self.coordinator[id_]
        if known.epoch != epoch:
            raise Fenced(id_)
        return known

    def prepare(self, id_: str, epoch: int) -> None:
        """The commit request arrived: from now on only a commit can follow. Raises Fenced."""
        known = self.check(id_, epoch)
        if known.stamp:
            known.prepared = True

    def finish(self, id_: str, epoch: int, how: str) -> None:
        """Write the markers. Does nothing when another epoch has begun: that one did it."""
        known = self.coordinator[id_]
        if known.epoch == epoch:
            self._end(known, how)

    def _end(self, known: Transactional, how: str) -> None:
        for place in sorted(known.places):
            for entry in self.entries[place]:
                if entry.stamp == known.stamp and entry.state == "open":
                    entry.state = how
            marker = Entry(len(self.entries[place]), None, None, [], 0, how, known.stamp)
            self.entries[place].append(marker)
        known.stamp, known.places, known.prepared = 0, set(), False
        self._wake()

    def _wake(self) -> None:
        self.moved.set()
        self.moved = asyncio.Event()


class LogProducer:
    """Stands in for hub.kafka.LaneProducer: same calls, same errors, faults in between."""

    log: Log

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        self.transactional_id = transactional_id
        self._epoch = 0

    async def start(self) -> None:
        await self.log.chaos.point("opening a producer")
        self._epoch = self.log.init(self.transactional_id)
        await self.log.chaos.point("producer opened")

    async def commit(
        self, outputs: Mapping[Place, list[Output]], offsets: Mapping[TopicPartition, int], group: str
    ) -> dict[Place, int]:
        log, id_, epoch = self.log, self.transactional_id, self._epoch
        await log.chaos.point("beginning a transaction")
        stamp = log.begin(id_, epoch)
        first: dict[Place, int] = {}
        refused: Place | None = None
        for place, records in outputs.items():
            await log.chaos.point("producing")
            if log.chaos.strikes("output refused", 0.3):
                refused = refused or place
                continue
            log.check(id_, epoch).places.add(place)
            first[place] = log.append(place, records, stamp)
        if refused is not None:
            log.finish(id_, epoch, "aborted")
            raise OutputRefused("simulated", refused)
        if log.chaos.strikes("transaction timed out at the coordinator", 0.3):
            log.init(id_)
            raise Fenced(id_)
        await log.chaos.point("before the commit")
        if log.chaos.strikes("commit lost or late", 0.5):
            self._late_commit(epoch)
            raise UnknownOutcome("simulated")
        log.prepare(id_, epoch)
        log.finish(id_, epoch, "committed")
        await log.chaos.point("committed, not yet known")
        if log.chaos.strikes("answer to the commit lost", 0.5):
            raise UnknownOutcome("simulated")
        return first

    def _late_commit(self, epoch: int) -> None:
        """The request may arrive after its sender gave up, unless a successor came first."""
        log, id_ = self.log, self.transactional_id
        if log.chaos.chance.random() < 0.5:
            return

        def arrives() -> None:
            if log.coordinator[id_].epoch == epoch:
                log.prepare(id_, epoch)
                log.finish(id_, epoch, "committed")

        asyncio.get_running_loop().call_later(log.chaos.chance.uniform(0, 2), arrives)

    async def close(self) -> None:
        return None


class LogReader:
    """Stands in for hub.kafka.Reader."""

    log: Log

    def __init__(self, settings: Settings, **_: object) -> None:
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    async def start(self) -> None:
        await self.log.chaos.point("connecting a reader")

    async def stop(self) -> None:
        return None

    async def start_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        await self.log.chaos.point("asking for offsets")
        return dict.fromkeys(places, 0)

    async def stable_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        await self.log.chaos.point("asking for offsets")
        return {place: self.log.stable((place.topic, place.partition)) for place in places}

    def pause(self, places: Iterable[TopicPartition]) -> None:
        self._paused.update(places)

    def resume(self, places: Iterable[TopicPartition]) -> None:
        self._paused.difference_update(places)

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._positions = dict(positions)

    async def position(self, place: TopicPartition) -> int:
        return self._positions[place]

    async def poll(self, wait_ms: int, records_max: int = 1_000) -> list[Record]:
        await self.log.chaos.point("reading")
        process = PROCESS.get()
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_ms / 1000
        while True:
            if records := self._take(records_max):
                return records
            left = until - loop.time()
            if left <= 0:
                return []
            moved = self.log.moved
            try:
                await asyncio.wait_for(moved.wait(), left)
            except TimeoutError:
                return []
            finally:
                process.alive()

    def _take(self, records_max: int) -> list[Record]:
        taken: list[Record] = []
        for place, position in self._positions.items():
            if place in self._paused:
                continue
            stable = self.log.stable((place.topic, place.partition))
            entries = self.log.entries[place.topic, place.partition]
            while position < stable and len(taken) < records_max:
                entry = entries[position]
                position += 1
                if entry.state == "committed" and entry.key is not None:
                    taken.append(_record(place, entry))
            self._positions[place] = position
        return taken

    async def read_to(
        self,
        positions: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        *,
        batch_max: int = 2_000,
    ) -> AsyncIterator[list[Record]]:
        """Committed records from positions to ends."""
        for place, end in ends.items():
            await self.log.chaos.point("restoring")
            entries: Sequence[Entry] = self.log.entries[place.topic, place.partition]
            records = [
                _record(place, entry)
                for entry in entries[positions[place] : end]
                if entry.state == "committed" and entry.key is not None
            ]
            half = len(records) // 2
            for part in (records[:half], records[half:]):
                if part:
                    yield part
                    await self.log.chaos.point("restoring")


def _record(place: TopicPartition, entry: Entry) -> Record:
    value = entry.value
    return Record(
        place.topic,
        place.partition,
        entry.offset,
        entry.timestamp,
        0,
        entry.key,
        value,
        None,
        len(entry.key or b""),
        len(value or b""),
        tuple(entry.headers),
    )
