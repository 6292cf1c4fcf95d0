"""A store follows its changelog: trust or wipe, replay, progress. For an opening lane and for a standby
alike.

Reads the changelog and writes the store; no input, no output, no transaction.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from hub.config import Settings
from hub.kafka import Reader, Record, TopicPartition
from hub.lanes.store import POSITION_KEY, Store, StoreMeta, StoreResources

log = structlog.get_logger()

# One slice is the longest that the other lanes of this process wait for a restore.
_SLICE_RECORDS_MAX: Final = 1_000
_REPORT_S: Final = 2.0
# A tail this short does not wait for another lane's full restore.
_TAIL_RECORDS_MAX: Final = 20_000


class Position(msgspec.Struct, frozen=True):
    """The position record that every transaction writes to the changelog: the lane's truth (group offsets
    expire after 7 days).

    positions: `<bare topic>-<partition>` -> next offset. incarnation: drawn once when an empty changelog is
    first opened; a store that carries another one follows another log.
    """

    positions: dict[str, int]
    incarnation: str


class Restoring(msgspec.Struct, frozen=True):
    """How far a restore is. records: applied so far. left_s: seconds left at this rate, by offsets."""

    records: int
    per_s: int
    left_s: float

    def __str__(self) -> str:
        done = f"{self.records:,} 条 / records, {self.per_s:,}/s"
        return f"恢复中 / restoring: {done}, 剩余 / left {self.left_s:.0f} s"


Applied = tuple[int, bytes, int]
"""A changelog record as a store remembers it: offset, key, timestamp in ms."""
_NOTHING: Final[Applied] = (-1, b"", 0)


class OtherLog(Exception):
    """The changelog carries another incarnation than the store, or not the record that the store applied
    last."""


def distrust(meta: StoreMeta, cluster_id: str, start: int, end: int, now_ms: int, age_ms_max: int) -> str:
    """Why a store must be restored in full; "" when its tail is enough: it follows another cluster, lies
    outside the changelog (start..end), or was last written so long ago that it may have missed
    tombstones."""
    if meta.cluster_id != cluster_id:
        return "other_cluster"
    if not start <= meta.changelog_next <= end or 0 <= meta.last_offset < start:
        return "outside_changelog"
    if not 0 <= now_ms - meta.written_ms <= age_ms_max:
        return "too_old"
    return ""


class Follower:
    """One store and the changelog it follows. `next` and `incarnation` are what the store holds."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        changelog: TopicPartition,
        cluster_id: str,
        store: Store,
        resources: StoreResources,
        told: Callable[[Restoring], None] | None = None,
    ) -> None:
        self._settings = settings
        self._name = name
        self._changelog = changelog
        self._cluster_id = cluster_id
        self._resources = resources
        self._told = told
        self.store = store
        self.incarnation = ""
        self.next = 0
        self._last: Applied = _NOTHING
        self.restored_records = 0

    async def catch_up(
        self, reader: Reader, start: int, end: int, turn: asyncio.Semaphore | None = None
    ) -> None:
        """Bring the store up to `end` (the changelog's last stable offset); `start`: its first retained
        offset. A long replay waits for its turn, by default the process's one for lanes."""
        store, meta = self.store, self.store.meta()
        if meta is not None:
            now_ms = int(time.time() * 1000)
            reason = distrust(meta, self._cluster_id, start, end, now_ms, self._settings.store_age_ms_max)
            if reason:
                log.warning("store.wiped", lane=self._name, reason=reason)
                await asyncio.to_thread(store.wipe)
                meta = None
        self.incarnation = meta.incarnation if meta is not None else ""
        first = meta.changelog_next if meta is not None else start
        self._last = _NOTHING
        if meta is not None:
            self._last = (meta.last_offset, meta.last_key, meta.last_timestamp_ms)
        if end - first <= _TAIL_RECORDS_MAX:
            await self._replay(reader, first, start, end)
            return
        async with turn or self._resources.restores:
            await self._replay(reader, first, start, end)

    async def _replay(self, reader: Reader, first: int, start: int, end: int) -> None:
        try:
            await self._apply_all(reader, first, end)
        except OtherLog:
            log.warning("store.other_log", lane=self._name)
            await asyncio.to_thread(self.store.wipe)
            self.incarnation = ""
            self._last = _NOTHING
            await self._apply_all(reader, start, end)

    async def _apply_all(self, reader: Reader, first: int, end: int) -> None:
        began = reported = time.monotonic()
        done = 0
        self.next = first
        # Where the store stopped, the log must still say what it said then: a broker that lost its end and
        # was written on by another owner is another log, although every offset fits.
        known = self._last[0]
        begin, doubtful = (first, False) if known < 0 else (known, True)
        async for records in reader.read_to(
            {self._changelog: begin}, {self._changelog: end}, batch_max=_SLICE_RECORDS_MAX
        ):
            if doubtful:
                doubtful = False
                self._recognise(records[0])
                records = records[1:]
                if not records:
                    continue
            self.apply(records)
            done += len(records)
            now = time.monotonic()
            if now - reported > _REPORT_S:
                reported = now
                self._report(done, end, (self.next - first) / (now - began), done / (now - began))
            await asyncio.sleep(0)  # other lanes are not delayed by this one's restore
        if doubtful:
            raise OtherLog  # not one record is left of what the store followed
        self.next = end
        self.restored_records = done
        if done:
            seconds = round(time.monotonic() - began, 2)
            log.info("store.restored", lane=self._name, records=done, seconds=seconds)

    def _recognise(self, record: Record) -> None:
        """Raises OtherLog when this is not the record that was applied last."""
        same = (record.offset, record.key, record.timestamp) == self._last
        if not same or record.value != self.store.get(record.key):
            raise OtherLog

    def _report(self, done: int, end: int, offsets_per_s: float, per_s: float) -> None:
        left_s = (end - self.next) / offsets_per_s if offsets_per_s else 0.0
        progress = Restoring(done, round(per_s), round(left_s, 1))
        log.info(
            "store.restoring", lane=self._name, records=done, per_s=progress.per_s, left_s=progress.left_s
        )
        if self._told is not None:
            self._told(progress)

    def apply(self, records: Sequence[Record]) -> None:
        """Committed changelog records, in order, into the store in one write batch. Raises OtherLog,
        nothing written."""
        changes: dict[bytes, bytes | None] = {record.key: record.value for record in records}
        raw = changes.get(POSITION_KEY)
        if raw is not None:
            incarnation = msgspec.msgpack.decode(raw, type=Position).incarnation
            if self.incarnation and incarnation != self.incarnation:
                raise OtherLog
            self.incarnation = incarnation
        self._last = (records[-1].offset, records[-1].key, records[-1].timestamp)
        self._write(changes, records[-1].offset + 1)

    def wrote(self, changes: dict[bytes, bytes | None], next_offset: int, timestamp_ms: int = 0) -> None:
        """Changes that are committed in the changelog below next_offset, in this order, into the store
        in one write batch. No changes: the store is in step as it is."""
        if changes:
            self._last = (next_offset - 1, next(reversed(changes)), timestamp_ms)
        self._write(changes, next_offset)

    def _write(self, changes: dict[bytes, bytes | None], next_offset: int) -> None:
        self.store.write(changes, self.meta(next_offset))
        self.next = next_offset

    def meta(self, next_offset: int) -> StoreMeta:
        """What the store is to hold beside data that reaches up to next_offset."""
        now_ms = int(time.time() * 1000)
        return StoreMeta(self._cluster_id, self.incarnation, next_offset, now_ms, *self._last)
