"""A bridge lane: reads one source partition (or two that belong together), writes to the other region's
cluster, and keeps its cursor there, in the same transaction (G3). The opening order in `open` is the proof.

What the records mean is the work's business (copying.py, acknowledging.py).
"""

import asyncio
import time
from typing import Final

import msgspec
import structlog

from hub.bridge import check
from hub.bridge.batch import Batch, Work
from hub.bridge.changelog import CHANGELOG, replay
from hub.bridge.contracts import TargetContracts
from hub.bridge.model import Cursor, Mark, Target, cursor_key, decode, encode, mark_of
from hub.bridge.refusal import Refusal, learn, not_let_in
from hub.bridge.target import look
from hub.config import Settings
from hub.errors import LaneStopped, OutputRefused, WriteRefused
from hub.kafka import (
    IntakeProducer,
    LaneProducer,
    Output,
    Reader,
    Record,
    TopicPartition,
    partition_of,
)
from hub.kafka.topic_ids import topic_ids
from schemas import codec

log = structlog.get_logger()

_FETCH_WAIT_MS: Final = 50


class Ends(msgspec.Struct, frozen=True):
    """The two ends of a bridge, the same for all lanes of a process. source_cluster: its id. recorded: the
    target's cluster as the source remembers it."""

    source: Settings
    target: Settings
    source_cluster: str
    recorded: Target
    partitions: dict[str, int]
    """bare topic -> partitions in the target."""


class BridgeStats(msgspec.Struct):
    """What the console shows of a lane; it outlives the lane's reopenings. paused: why it waits, "" = it does
    not. refused: what the target will not take."""

    copied: int = 0
    paused: str = ""
    last_copy_ms: int = 0
    refused: Refusal | None = None

    @property
    def trouble(self) -> str:
        """Why an open lane does not go on; "" when it does."""
        return (self.refused.text if self.refused is not None else "") or self.paused


class BridgeLane:
    """One lane, opened, run and closed by its owner (role.py)."""

    def __init__(
        self,
        ends: Ends,
        name: str,
        partition: int,
        work: Work,
        contracts: TargetContracts,
        stats: BridgeStats,
    ) -> None:
        self.name = name
        self._ends = ends
        self._work = work
        self._contracts = contracts
        self._stats = stats
        self._places = [TopicPartition(ends.source.topic(topic), partition) for topic in work.inputs]
        self._topic_ids: dict[str, str] = {}
        self._marks: dict[str, Mark] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._moved_at: float | None = None
        target = ends.target
        self._producer = LaneProducer(target, f"{target.topic_prefix}bridge.{name}")
        # A reader each: aiokafka fetches nothing more from a broker while one partition has unread records.
        self._readers = {place: Reader(ends.source, fetch_wait_ms=_FETCH_WAIT_MS) for place in self._places}
        self._reports: IntakeProducer | None = None

    async def open(self) -> None:
        """Open in the order that proves exactly-once across clusters.

        0 compare the target with the recorded one · 1 start the producer in the target: fences and aborts the
        predecessor · 2 read the cursor up to the high watermark as it is after that · 3 compare it with the
        source: cluster, topic id, log, the last copied record itself · 4 seek. Raises BrokerAway, Fenced,
        LaneStopped.
        """
        await self._right_target()
        try:
            await self._producer.start()
        except WriteRefused as error:
            raise WriteRefused(not_let_in(self.name, error)) from error
        cursor = await self._restore()
        for reader in self._readers.values():
            await reader.start()
        if cursor is not None:
            check.same_cluster(cursor, self._ends.source_cluster)
            self._marks = dict(cursor.marks)
        await self._find()
        for place, reader in self._readers.items():
            reader.assign({place: self._positions[place]})

    async def _right_target(self) -> None:
        target = self._ends.target
        try:
            found = await look(target)
        except LookupError as error:
            raise LaneStopped(f"{self.name}: {error}") from error
        check.same_target(target.region, self._ends.recorded, found)

    async def _restore(self) -> Cursor | None:
        """The work's state, and the cursor that was committed with it; None when this lane never
        committed."""
        key, last = cursor_key(self.name), dict[bytes, bytes | None]()

        def take(changes: dict[bytes, bytes | None]) -> None:
            if key in changes:
                last[key] = changes.pop(key)
            self._work.restore(changes)

        await replay(self._ends.target, self.name, take)
        raw = last.get(key)
        try:
            return decode(raw, Cursor) if raw is not None else None
        except ValueError as error:
            raise LaneStopped(f"{self.name}: {error}") from error

    async def _find(self) -> None:
        """Where each input goes on."""
        try:
            self._topic_ids = await topic_ids(self._ends.source, [place.topic for place in self._places])
        except LookupError as error:
            raise LaneStopped(f"{self.name}: {error}") from error
        for place, reader in self._readers.items():
            mark = self._marks.get(self._named(place))
            start = (await reader.start_offsets([place]))[place]
            end = (await reader.stable_offsets([place]))[place]
            found = check.Found(self._named(place), self._topic_ids[place.topic], start, end)
            if mark is None:
                self._positions[place] = check.beginning(found, from_start=self._work.from_start)
                continue
            found = msgspec.structs.replace(found, last=await self._again(place, mark, found))
            self._positions[place] = check.same_log(mark, found)

    async def _again(self, place: TopicPartition, mark: Mark, found: check.Found) -> Record | None:
        """The record at the mark's offset, read once more; None when the log no longer has it."""
        if not found.start <= mark.offset < found.end:
            return None
        reader = self._readers[place]
        async for records in reader.read_to({place: mark.offset}, {place: mark.offset + 1}):
            return records[0]
        return None

    def _named(self, place: TopicPartition) -> str:
        return f"{self._ends.source.bare(place.topic)}-{place.partition}"

    def _named_of(self, record: Record) -> str:
        return self._named(TopicPartition(record.topic, record.partition))

    # -- working

    async def run(self) -> None:
        """Work until cancelled. Raises what LaneProducer.commit raises, and LaneStopped for a position that
        fell out of the log."""
        settings = self._ends.source
        if self._stats.refused is not None:
            await asyncio.sleep(self._stats.refused.left_s(time.monotonic()))
        while True:
            try:
                if len(self._places) == 1:
                    await self._take(await self._poll_one())
                elif not await self._read_in_order():
                    await self._step([])
                    await asyncio.sleep(settings.poll_wait_ms / 1000)
            except LookupError as error:
                raise LaneStopped(f"{self.name}: {error}") from error

    async def _poll_one(self) -> list[Record]:
        settings = self._ends.source
        return await self._readers[self._places[0]].poll(settings.poll_wait_ms, settings.batch_records_max)

    async def _read_in_order(self) -> bool:
        """Every input up to its end, the first input first. Ends are taken in the other order: what a later
        input refers to in an earlier one is then below that one's end. False when there was nothing new."""
        ends: dict[TopicPartition, int] = {}
        for place in reversed(self._places):
            ends |= await self._readers[place].stable_offsets([place])
        new = [place for place in self._places if self._positions[place] < ends[place]]
        for place in new:
            batches = self._readers[place].read_to(
                {place: self._positions[place]},
                {place: ends[place]},
                batch_max=self._ends.source.batch_records_max,
            )
            async for records in batches:
                await self._take(records)
            self._positions[place] = ends[place]
        return bool(new)

    async def _take(self, records: list[Record]) -> None:
        """Together; one by one as far as they were refused together."""
        while records and (refused := self._stats.refused) is not None:
            if not refused.covers(self._named_of(records[0]), records[0].offset):
                break
            await self._step(records[:1])
            records = records[1:]
        await self._step(records)

    async def _step(self, records: list[Record]) -> None:
        """Take records, and commit when there is something to write or the cursor has waited long enough."""
        batch = self._work.take(records)
        if records:
            last = records[-1]  # all are of one input
            self._marks[self._named_of(last)] = mark_of(last, self._topic_ids[last.topic])
        if records and self._moved_at is None:
            self._moved_at = time.monotonic()
        if self._moved_at is None:
            return
        late = time.monotonic() - self._moved_at > self._ends.source.bridge_cursor_ms_max / 1000
        if batch.outputs or batch.changes or batch.reports or late:
            try:
                await self._commit(batch)
            except (OutputRefused, WriteRefused) as error:
                self._refused(records, error)
                raise
            self._moved_at = None
            self._passed()

    def _refused(self, records: list[Record], error: OutputRefused | WriteRefused) -> None:
        source = self._ends.source
        input_ = self._named_of(records[0]) if records else ""
        before, now_s = self._stats.refused, time.monotonic()
        bounds = source.bridge_retry_ms, source.bridge_retry_ms_max
        self._stats.refused = now = learn(before, input_, records, error, now_s, *bounds)
        log.error(
            "bridge.refused",
            lane=self.name,
            input=input_,
            first=now.first,
            last=now.last,
            tries=now.tries,
            again_in_s=round(now.left_s(now_s), 1),
            reason=now.text or str(error),
        )

    def _passed(self) -> None:
        """A commit succeeded: what was refused may be over there now."""
        refused = self._stats.refused
        if refused is None:
            return
        mark = self._marks.get(refused.input)
        if not refused.input or (mark is not None and mark.offset >= refused.last):
            self._stats.refused = None
            log.info("bridge.taken", lane=self.name, input=refused.input, last=refused.last)

    async def _commit(self, batch: Batch) -> None:
        """One transaction in the target: the outputs, the lane's state, its cursor."""
        await self._known_there(batch)
        await self._report(batch)
        target, now_ms = self._ends.target, int(time.time() * 1000)
        cursor = encode(Cursor(self._ends.source_cluster, self._marks))
        changes = {**batch.changes, cursor_key(self.name): cursor}
        outputs: dict[tuple[str, int], list[Output]] = {
            (target.topic(CHANGELOG), 0): [(key, value, [], now_ms) for key, value in changes.items()]
        }
        for topic, output in batch.outputs:
            place = (target.topic(topic), partition_of(output[0] or b"", self._ends.partitions[topic]))
            outputs.setdefault(place, []).append(output)
        await self._producer.commit(outputs, {}, "")
        if batch.outputs:
            self._stats.copied += len(batch.outputs)
            self._stats.last_copy_ms = now_ms

    async def _known_there(self, batch: Batch) -> None:
        """Wait until the target knows every schema id of this batch as we do."""
        wanted = {codec.schema_id(value) for _, (_, value, _, _) in batch.outputs if value is not None}
        while why := await self._contracts.differ(wanted):
            self._stats.paused = why
            await asyncio.sleep(self._ends.source.bridge_retry_ms / 1000)
        self._stats.paused = ""

    async def _report(self, batch: Batch) -> None:
        """Before the commit: were we killed between the two, it is said again and changes nothing."""
        if not batch.reports:
            return
        if self._reports is None:
            self._reports = IntakeProducer(self._ends.source)
            await self._reports.start()
        for topic, key, value, headers in batch.reports:
            await self._reports.send(topic, key, value, headers)

    async def close(self) -> None:
        """Commit nothing more; the successor aborts whatever is open."""
        self._work.close()
        try:
            await self._producer.close()
        finally:
            for reader in self._readers.values():
                await reader.stop()
            if self._reports is not None:
                await self._reports.stop()
