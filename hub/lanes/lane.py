"""A lane: one input partition = one transactional producer = one store = one changelog partition (design "A
lane").

The opening order in `open` is the proof of exactly-once inside (G2); `commit` is the only way anything leaves
a lane.
What the lane does with its records is its owner's business (hub/router.py, hub/delivery/).
"""

import asyncio
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from hub.config import Settings
from hub.errors import LaneStopped
from hub.kafka import LaneProducer, Output, Reader, Record, TopicPartition
from hub.lanes.store import POSITION_KEY, Store, StoreMeta, StoreResources

log = structlog.get_logger()

_RESTORE_BATCH_MAX: Final = 5_000
_RESTORE_REPORT_S: Final = 2.0
Place = tuple[str, int]


class LaneSpec(msgspec.Struct, frozen=True):
    """What makes a lane: bare topic names. inputs[0] names the lane; all inputs share its partition
    number."""

    role: str
    inputs: tuple[str, ...]
    partition: int
    changelog: str
    changelog_partition: int

    @property
    def name(self) -> str:
        """`<topic>-<partition>`, as operators see it."""
        return f"{self.inputs[0]}-{self.partition}"


class Position(msgspec.Struct, frozen=True):
    """The position record that every transaction writes to the changelog: the lane's truth (group offsets
    expire after 7 days).

    positions: `<bare topic>-<partition>` -> next offset. incarnation: drawn once when an empty changelog is
    first opened; a store
    that carries another one follows another log.
    """

    positions: dict[str, int]
    incarnation: str


class Lane:
    """One open lane. Not safe for concurrent commits; the owner works batch by batch."""

    def __init__(
        self, settings: Settings, spec: LaneSpec, resources: StoreResources, cluster_id: str
    ) -> None:
        self.spec = spec
        self._settings = settings
        self._resources = resources
        self._cluster_id = cluster_id
        self._changelog = TopicPartition(settings.topic(spec.changelog), spec.changelog_partition)
        self._inputs = [TopicPartition(settings.topic(topic), spec.partition) for topic in spec.inputs]
        self._group = f"{settings.topic_prefix}govhub.{spec.role}"
        self._incarnation = ""
        self._changelog_next = 0
        self._positions: dict[TopicPartition, int] = {}
        self._producer: LaneProducer | None = None
        self._reader: Reader | None = None
        self._store: Store | None = None
        self.restored_records = 0

    # -- opening
    # -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open in the order that proves exactly-once.

        1 start the producer: fences and aborts the predecessor · 2 bring the store up to the changelog's last
        stable offset ·
        3 take the input position from the position record and check it · 4 seek · then the owner processes.
        Raises BrokerAway, Fenced, LaneStopped.
        """
        settings, spec = self._settings, self.spec
        self._producer = LaneProducer(settings, f"{settings.topic_prefix}{spec.role}.{spec.name}")
        await self._producer.start()
        self._reader = Reader(settings)
        await self._reader.start()
        path = settings.data_dir / spec.role / (settings.topic_prefix + spec.name)
        # Waiting for a dying predecessor's lock and replaying RocksDB's log both block.
        self._store = await asyncio.to_thread(Store, path, self._resources)
        # All offsets are asked for before anything is fetched: behind a waiting fetch each answer takes 0.5
        # s.
        places = [self._changelog, *self._inputs]
        starts = await self._reader.start_offsets(places)
        ends = await self._reader.stable_offsets(places)
        await self._restore(starts[self._changelog], ends[self._changelog])
        self._seek(starts, ends)

    async def _restore(self, start: int, end: int) -> None:
        store = self.store
        meta = store.meta()
        if meta is not None and self._distrusted(meta, start, end):
            await asyncio.to_thread(store.wipe)
            meta = None
        if meta is not None:
            self._incarnation = meta.incarnation
        try:
            await self._replay(meta.changelog_next if meta else start, end)
        except _OtherLog:
            log.warning("store.other_log", lane=self.spec.name)
            await asyncio.to_thread(store.wipe)
            self._incarnation = ""
            await self._replay(start, end)

    def _distrusted(self, meta: StoreMeta, start: int, end: int) -> bool:
        """A store is restored in full when it follows another cluster, lies outside the changelog, or may
        have missed tombstones."""
        age_ms = time.time() * 1000 - meta.written_ms
        reason = (
            "other_cluster"
            if meta.cluster_id != self._cluster_id
            else "outside_changelog"
            if not start <= meta.changelog_next <= end
            else "too_old"
            if not 0 <= age_ms <= self._settings.store_age_ms_max
            else ""
        )
        if reason:
            log.warning("store.wiped", lane=self.spec.name, reason=reason)
        return bool(reason)

    async def _replay(self, first: int, end: int) -> None:
        """Apply the changelog from `first` to `end` (the last stable offset) to the store."""
        began = reported = time.monotonic()
        total, done = end - first, 0
        async for records in self.reader.read_to(
            {self._changelog: first}, {self._changelog: end}, batch_max=_RESTORE_BATCH_MAX
        ):
            changes = {record.key: record.value for record in records}
            raw = changes.get(POSITION_KEY)
            if raw is not None:
                incarnation = msgspec.msgpack.decode(raw, type=Position).incarnation
                if self._incarnation and incarnation != self._incarnation:
                    raise _OtherLog
                self._incarnation = incarnation
            self.store.write(changes, self._meta(records[-1].offset + 1))
            done += len(records)
            now = time.monotonic()
            if now - reported > _RESTORE_REPORT_S:
                reported = now
                rate = done / (now - began)
                left = (total - done) / rate if rate else 0.0
                log.info(
                    "store.restoring",
                    lane=self.spec.name,
                    records=done,
                    per_s=round(rate),
                    left_s=round(left, 1),
                )
            await asyncio.sleep(0)  # other lanes are not delayed by this one's restore
        self._changelog_next = end
        self.restored_records = done
        if done:
            log.info(
                "store.restored",
                lane=self.spec.name,
                records=done,
                seconds=round(time.monotonic() - began, 2),
            )

    def _meta(self, changelog_next: int) -> StoreMeta:
        return StoreMeta(self._cluster_id, self._incarnation, changelog_next, int(time.time() * 1000))

    def _seek(self, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> None:
        raw = self.store.get(POSITION_KEY)
        if raw is None:
            # Aborted records alone leave nothing to restore: such a changelog counts as empty.
            if self.restored_records or self.store.meta() is not None:
                raise LaneStopped(
                    f"{self.spec.name}: 状态日志没有位置记录 / the changelog holds no position record"
                )
            self._incarnation = uuid.uuid4().hex
            self._positions = {place: starts[place] for place in self._inputs}
        else:
            position = msgspec.msgpack.decode(raw, type=Position)
            self._incarnation = position.incarnation
            for place in self._inputs:
                self._positions[place] = position.positions.get(self._name(place), starts[place])
        for place, offset in self._positions.items():
            if not starts[place] <= offset <= ends[place]:
                raise LaneStopped(
                    f"{place.topic}: 位置 {offset} 不在日志 {starts[place]}..{ends[place]} 内 / "
                    "position outside the log"
                )
        self.reader.assign(self._positions)

    def _name(self, place: TopicPartition) -> str:
        return f"{self._settings.bare(place.topic)}-{place.partition}"

    # -- working
    # -----------------------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """The lane's store; read by its owner, written only by `commit`."""
        assert self._store is not None, "lane not open"
        return self._store

    @property
    def reader(self) -> Reader:
        """The lane's reader."""
        assert self._reader is not None, "lane not open"
        return self._reader

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """State values in the order of the keys."""
        return self.store.get_many(keys)

    def range(self, start: bytes, end: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """State entries in key order."""
        return self.store.range(start, end, limit)

    async def poll(self, wait_ms: int, records_max: int) -> list[Record]:
        """Next committed input records, per partition in order. Raises LaneStopped for a position outside the
        log, BrokerAway."""
        try:
            return await self.reader.poll(wait_ms, records_max)
        except LookupError as error:
            raise LaneStopped(f"{self.spec.name}: {error}") from error

    async def commit(
        self,
        outputs: Mapping[Place, list[Output]],
        changes: Mapping[bytes, bytes | None],
        consumed: Sequence[Record],
    ) -> None:
        """One transaction: outputs, state changes and the input position, then one write batch into the
        store.

        outputs: (full topic name, partition) -> records. Raises OutputRefused, Fenced, BrokerAway,
        UnknownOutcome; after any of them the
        lane must be closed and reopened: the store is then behind, never ahead.
        """
        assert self._producer is not None, "lane not open"
        positions = dict(self._positions)
        for record in consumed:
            place = TopicPartition(record.topic, record.partition)
            positions[place] = max(positions[place], record.offset + 1)
        position = msgspec.msgpack.encode(
            Position({self._name(place): offset for place, offset in positions.items()}, self._incarnation)
        )
        applied = {**changes, POSITION_KEY: position}
        now_ms = int(time.time() * 1000)
        place = (self._changelog.topic, self._changelog.partition)
        logged: list[Output] = [(key, value, [], now_ms) for key, value in applied.items()]
        moved = {tp: offset for tp, offset in positions.items() if offset != self._positions[tp]}
        first = await self._producer.commit({**outputs, place: logged}, moved, self._group)
        self._positions = positions
        self._changelog_next = first[place] + len(logged)
        self.store.write(applied, self._meta(self._changelog_next))

    async def close(self) -> None:
        """Commit nothing more; the successor aborts whatever is open. Cancelled at any point, it still lets
        go of all three; the store first, because the next owner waits for it."""
        store, producer, reader = self._store, self._producer, self._reader
        self._store = self._producer = self._reader = None
        if store is not None:
            store.close()
        try:
            if producer is not None:
                await producer.close()
        finally:
            if reader is not None:
                await reader.stop()


class _OtherLog(Exception):
    """The changelog carries another incarnation than the store."""
