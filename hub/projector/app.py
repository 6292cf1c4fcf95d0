"""Role projector: reads the hub's topics read_committed and writes them into PostgreSQL, resuming from the
table, never from a group.

The loop, its retries and its freshness record live here; SQL is in store.py, decoding in rows.py.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import structlog

from hub.config import Settings
from hub.errors import BrokerAway
from hub.health import health_server
from hub.kafka import KafkaError, Reader, Record, TopicPartition
from hub.projector import store
from hub.projector.owners import owner_lookup
from hub.projector.rows import TOPICS, OwnerOf, rows_of

STATUS_INTERVAL_SECONDS: Final = 1.0
RETRY_DELAY_SECONDS: Final = 1.0
# What passes by itself. Any other database error is a defect: it ends the process, loudly.
_AWAY: Final = (
    OSError,
    TimeoutError,
    BrokerAway,
    KafkaError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
)

log = structlog.get_logger("projector")


class Projector:
    """One reader, one database connection, positions that only a committed transaction moves."""

    def __init__(
        self, settings: Settings, reader: Reader, connection: "asyncpg.Connection[Any]", owner_of: OwnerOf
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._connection = connection
        self._owner_of = owner_of
        self._positions: dict[TopicPartition, int] = {}
        self._last_timestamp: dict[TopicPartition, int] = {}
        self._status_due = 0.0
        self.lag = -1
        self.written = 0

    async def open(self) -> None:
        """Schema, resume positions, assignment. Raises LookupError when a topic does not exist."""
        await store.create_schema(self._connection)
        places = await self._reader.partitions(self._settings.topic(topic) for topic in TOPICS)
        missing = {self._settings.topic(topic) for topic in TOPICS} - {place.topic for place in places}
        if missing:
            raise LookupError(
                f"主题不存在，先运行 / topics missing, first run: topics apply ({', '.join(sorted(missing))})"
            )
        starts = await self._reader.start_offsets(places)
        resumed = await store.resume(
            self._connection, {self._bare(place): offset for place, offset in starts.items()}
        )
        self._positions = {place: resumed[self._bare(place)] for place in places}
        self._reader.assign(self._positions)

    def _bare(self, place: TopicPartition) -> store.Place:
        return self._settings.bare(place.topic), place.partition

    async def step(self) -> int:
        """Read one batch and write it. Returns the number of records. Raises store.Overtaken, what asyncpg
        raises, LookupError."""
        records = await self._reader.poll(self._settings.poll_wait_ms, self._settings.batch_records_max)
        if records:
            await self._write(records)
        if time.monotonic() >= self._status_due:
            await self._report()
        return len(records)

    async def _write(self, records: list[Record]) -> None:
        rows = rows_of([(self._settings.bare(record.topic), record) for record in records], self._owner_of)
        following: dict[TopicPartition, int] = {}
        for record in records:
            place = TopicPartition(record.topic, record.partition)
            following[place] = record.offset + 1
            self._last_timestamp[place] = record.timestamp
        moves = {self._bare(place): (self._positions[place], offset) for place, offset in following.items()}
        await store.write(self._connection, rows, moves)
        self._positions.update(following)
        self.written += len(records)
        for topic, partition, offset, error in rows.unreadable:
            log.error("record_unreadable", topic=topic, partition=partition, offset=offset, error=error)

    async def _report(self) -> None:
        # Asked before the ends are read: what was written later cannot be promised.
        now = datetime.now(UTC)
        ends = await self._reader.stable_offsets(self._positions)
        behind = {place: end - await self._reader.position(place) for place, end in ends.items()}
        lagging = [place for place, count in behind.items() if count > 0]
        self.lag = sum(count for count in behind.values() if count > 0)
        as_of = now
        if lagging:
            # A lagging partition never read in this run gives no time: the epoch says so honestly.
            oldest = min(self._last_timestamp.get(place, 0) for place in lagging)
            as_of = min(now, datetime.fromtimestamp(oldest / 1_000, UTC))
            if oldest == 0:
                self._status_due = time.monotonic() + STATUS_INTERVAL_SECONDS
                return
        await store.write_status(self._connection, as_of, self.lag)
        self._status_due = time.monotonic() + STATUS_INTERVAL_SECONDS

    def metrics(self) -> Mapping[str, float]:
        """Prometheus values."""
        return {"govhub_projector_lag_records": self.lag, "govhub_projector_written_total": self.written}


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run until stop is set. A database or broker that is away is waited for; nothing is skipped."""
    if not settings.database_url:
        raise SystemExit("缺少环境变量 / missing environment variable: HUB_DATABASE_URL")
    owner_of = owner_lookup(settings)
    current: list[Projector] = []

    def ready() -> str:
        return "" if current else "未连接 / not connected"

    def metrics() -> Mapping[str, float]:
        return current[0].metrics() if current else {"govhub_projector_lag_records": -1}

    async with health_server(settings.metrics_listen, ready, metrics):
        while not stop.is_set():
            try:
                await _run(settings, owner_of, stop, current)
            except store.Overtaken as error:
                log.warning("overtaken", place=str(error))
            except (*_AWAY, LookupError) as error:
                log.warning("waiting", error=repr(error))
            current.clear()
            if not stop.is_set():
                await _pause(stop, RETRY_DELAY_SECONDS)


async def _run(settings: Settings, owner_of: OwnerOf, stop: asyncio.Event, current: list[Projector]) -> None:
    reader = Reader(settings)
    connection = await store.connect(settings.database_url)
    try:
        await reader.start()
        projector = Projector(settings, reader, connection, owner_of)
        await projector.open()
        current.append(projector)
        log.info("projecting")
        while not stop.is_set():
            await projector.step()
    finally:
        await reader.stop()
        await connection.close(timeout=5)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
