"""A lane: one input partition = one transactional producer = one store = one changelog partition (design "A
lane").

The opening order in `open` is the proof of exactly-once inside (G2); `commit` is the only way anything leaves
a lane.
What the lane does with its records is its owner's business (hub/router/, hub/delivery/).
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from hub.config import Settings
from hub.errors import LaneStopped
from hub.kafka import LaneProducer, Output, Reader, Record, TopicPartition
from hub.lanes.restore import Follower, Position, Restoring
from hub.lanes.store import POSITION_KEY, Store, StoreResources

Place = tuple[str, int]

_SIZE_CHECK_S: Final = 10.0


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

    def changelog_place(self, settings: Settings) -> TopicPartition:
        """Where the lane's state is logged."""
        return TopicPartition(settings.topic(self.changelog), self.changelog_partition)

    def store_path(self, settings: Settings) -> Path:
        """Where its store lies in this process's data directory."""
        return settings.data_dir / self.role / (settings.topic_prefix + self.name)


class Warm(Protocol):
    """Stores that a standby keeps near their changelogs (hub/lanes/standby.py)."""

    async def take(self, spec: LaneSpec) -> Store | None:
        """The lane's store, handed over open; None when nobody here stood by for it."""
        ...


class Lane:
    """One open lane. Not safe for concurrent commits; the owner works batch by batch."""

    def __init__(
        self,
        settings: Settings,
        spec: LaneSpec,
        resources: StoreResources,
        cluster_id: str,
        *,
        warm: Warm | None = None,
        restoring: Callable[[Restoring], None] | None = None,
    ) -> None:
        self.spec = spec
        self._settings = settings
        self._resources = resources
        self._cluster_id = cluster_id
        self._warm = warm
        self._restoring = restoring
        self._changelog = spec.changelog_place(settings)
        self._inputs = [TopicPartition(settings.topic(topic), spec.partition) for topic in spec.inputs]
        self._group = f"{settings.topic_prefix}govhub.{spec.role}"
        self._positions: dict[TopicPartition, int] = {}
        self._producer: LaneProducer | None = None
        self._reader: Reader | None = None
        self._follower: Follower | None = None
        self._size_checked = 0.0
        self._attested = time.monotonic()

    # -- opening
    # -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open in the order that proves exactly-once.

        1 start the producer: fences and aborts the predecessor · 2 bring the store up to the changelog's last
        stable offset ·
        3 take the input position from the position record and check it · 4 seek · then the owner processes.
        Raises BrokerAway, Fenced, LaneStopped, StoreBusy.
        """
        settings, spec = self._settings, self.spec
        self._producer = LaneProducer(settings, f"{settings.topic_prefix}{spec.role}.{spec.name}")
        await self._producer.start()
        self._reader = Reader(settings)
        await self._reader.start()
        self._follower = Follower(
            settings,
            spec.name,
            self._changelog,
            self._cluster_id,
            await self._open_store(),
            self._resources,
            self._restoring,
        )
        # All offsets are asked for before anything is fetched: behind a waiting fetch each answer takes 0.5
        # s.
        places = [self._changelog, *self._inputs]
        starts = await self._reader.start_offsets(places)
        ends = await self._reader.stable_offsets(places)
        await self._follower.catch_up(self._reader, starts[self._changelog], ends[self._changelog])
        self._seek(starts, ends)

    async def _open_store(self) -> Store:
        store = await self._warm.take(self.spec) if self._warm is not None else None
        if store is not None:
            return store
        # Waiting for a dying predecessor's lock and replaying RocksDB's log both block.
        return await asyncio.to_thread(Store, self.spec.store_path(self._settings), self._resources)

    def _seek(self, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> None:
        follower = self.follower
        raw = follower.store.get(POSITION_KEY)
        if raw is None:
            # Aborted records alone leave nothing to restore: such a changelog counts as empty.
            if follower.restored_records or follower.store.meta() is not None:
                raise LaneStopped(
                    f"{self.spec.name}: 状态日志没有位置记录 / the changelog holds no position record"
                )
            follower.incarnation = uuid.uuid4().hex
            self._positions = {place: starts[place] for place in self._inputs}
        else:
            position = msgspec.msgpack.decode(raw, type=Position)
            follower.incarnation = position.incarnation
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
    def follower(self) -> Follower:
        """The store and how far it follows the changelog."""
        assert self._follower is not None, "lane not open"
        return self._follower

    @property
    def store(self) -> Store:
        """The lane's store; read by its owner, written only by `commit`."""
        return self.follower.store

    @property
    def restored_records(self) -> int:
        """Changelog records that the opening replayed."""
        return self.follower.restored_records

    @property
    def reader(self) -> Reader:
        """The lane's reader."""
        assert self._reader is not None, "lane not open"
        return self._reader

    def position(self, topic: str) -> int:
        """Next offset of an input (bare name): everything below it is committed."""
        return self._positions[TopicPartition(self._settings.topic(topic), self.spec.partition)]

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
            records = await self.reader.poll(wait_ms, records_max)
        except LookupError as error:
            raise LaneStopped(f"{self.spec.name}: {error}") from error
        now = time.monotonic()
        if not records and (now - self._attested) * 1000 > self._settings.store_age_ms_max / 8:
            self._attested = now
            await self.attest()
        return records

    async def attest(self) -> None:
        """Write down that an idle store is in step with its changelog as of now, if it is: a quiet weekend
        must not make it too old to be trusted. In step: nothing lies between them but the marker of one
        transaction, for another transaction would be a record and a marker at least."""
        end = (await self.reader.stable_offsets([self._changelog]))[self._changelog]
        if 0 <= end - self.follower.next <= 1 and self.store.meta() is not None:
            self.follower.wrote({}, self.follower.next)

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
        lane must be closed and reopened: the store is then behind, never ahead. Raises LaneStopped for a
        store that has outgrown store_bytes_max.
        """
        assert self._producer is not None, "lane not open"
        self._check_size()
        follower = self.follower
        positions = dict(self._positions)
        for record in consumed:
            place = TopicPartition(record.topic, record.partition)
            positions[place] = max(positions[place], record.offset + 1)
        position = msgspec.msgpack.encode(
            Position({self._name(place): offset for place, offset in positions.items()}, follower.incarnation)
        )
        applied = {**changes, POSITION_KEY: position}
        now_ms = int(time.time() * 1000)
        place = (self._changelog.topic, self._changelog.partition)
        logged: list[Output] = [(key, value, [], now_ms) for key, value in applied.items()]
        moved = {tp: offset for tp, offset in positions.items() if offset != self._positions[tp]}
        first = await self._producer.commit({**outputs, place: logged}, moved, self._group)
        self._positions = positions
        follower.wrote(applied, first[place] + len(logged), now_ms)

    def _check_size(self) -> None:
        """A store that fills the disk would stop every lane of this machine: it stops its own before that."""
        now = time.monotonic()
        if now - self._size_checked < _SIZE_CHECK_S:
            return
        self._size_checked = now
        size, most = self.store.size_bytes(), self._settings.store_bytes_max
        if size > most:
            raise LaneStopped(
                f"{self.spec.name}: 状态库 {size} 字节，超过 HUB_STORE_BYTES_MAX={most} / "
                f"the store has {size} bytes, over HUB_STORE_BYTES_MAX"
            )

    async def close(self) -> None:
        """Commit nothing more; the successor aborts whatever is open. Cancelled at any point, it still lets
        go of all three; the store first, because the next owner waits for it."""
        follower, producer, reader = self._follower, self._producer, self._reader
        self._follower = self._producer = self._reader = None
        if follower is not None:
            follower.store.close()
        try:
            if producer is not None:
                await producer.close()
        finally:
            if reader is not None:
                await reader.stop()
