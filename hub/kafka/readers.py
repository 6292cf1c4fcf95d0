"""Everything that reads: read_committed readers outside any group, high watermarks."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Final

import aiokafka.errors
from aiokafka import AIOKafkaConsumer, TopicPartition

from hub.config import Settings
from hub.errors import BrokerAway
from hub.kafka.types import Record

_FETCH_WAIT_MS: Final = 500


@contextlib.contextmanager
def _away() -> Iterator[None]:
    """The broker's errors in the hub's words, so that a lane reopens instead of ending its process."""
    try:
        yield
    except (aiokafka.errors.OffsetOutOfRangeError, aiokafka.errors.NoOffsetForPartitionError) as error:
        raise LookupError(f"位置已不在日志内 / position outside the log: {error}") from error
    except (aiokafka.errors.KafkaError, TimeoutError) as error:
        raise BrokerAway(repr(error)) from error


class Reader:
    """A read_committed reader of whole partitions, outside any group: its positions are the caller's
    business.

    Used by lanes (input, changelog), projector, books and console.
    """

    def __init__(
        self, settings: Settings, *, fetch_bytes_max: int | None = None, fetch_wait_ms: int = _FETCH_WAIT_MS
    ) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            group_id=None,
            fetch_max_wait_ms=fetch_wait_ms,
            max_partition_fetch_bytes=fetch_bytes_max or settings.fetch_bytes_max,
            check_crcs=True,
            request_timeout_ms=20_000,
        )
        self._assigned: tuple[TopicPartition, ...] = ()

    async def start(self) -> None:
        """Connect. Raises BrokerAway when no broker answers."""
        try:
            await self._consumer.start()
        except aiokafka.errors.KafkaError as error:
            raise BrokerAway(repr(error)) from error

    async def stop(self) -> None:
        """Close the connection."""
        await self._consumer.stop()

    async def partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        """All partitions of these topics (full names), in order; a topic that does not exist gives none."""
        wanted = list(topics)
        with _away():
            cluster = await self._consumer._client.fetch_all_metadata()
        return [
            TopicPartition(topic, p)
            for topic in wanted
            for p in sorted(cluster.partitions_for_topic(topic) or ())
        ]

    async def start_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """First retained offset per partition."""
        with _away():
            offsets: dict[TopicPartition, int] = await self._consumer.beginning_offsets(list(partitions))
        return offsets

    async def stable_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Last stable offset per partition: everything below it is committed or aborted."""
        with _away():
            offsets: dict[TopicPartition, int] = await self._consumer.end_offsets(list(partitions))
        return offsets

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets."""
        self._assigned = tuple(positions)
        self._consumer.assign(list(positions))
        for place, offset in positions.items():
            self._consumer.seek(place, offset)

    async def poll(self, wait_ms: int, records_max: int = 1_000) -> list[Record]:
        """Committed records, per partition in order; empty after wait_ms.

        Raises LookupError when a position is outside what the broker retains: nothing is skipped silently.
        Raises BrokerAway for any other error of the broker.
        """
        with _away():
            batches = await self._consumer.getmany(timeout_ms=wait_ms, max_records=records_max)
        return [record for records in batches.values() for record in records]

    async def position(self, place: TopicPartition) -> int:
        """The next offset this reader would give; passes aborted records and markers."""
        offset: int = await self._consumer.position(place)
        return offset

    def pause(self, places: Iterable[TopicPartition]) -> None:
        """Stop fetching these partitions."""
        self._consumer.pause(*places)

    def resume(self, places: Iterable[TopicPartition]) -> None:
        """Fetch these partitions again."""
        self._consumer.resume(*places)

    async def read_to_stable(
        self, positions: Mapping[TopicPartition, int], *, batch_max: int = 2_000
    ) -> AsyncIterator[list[Record]]:
        """Every committed record from these positions to the last stable offsets as they are now; then
        stops."""
        async for records in self.read_to(
            positions, await self.stable_offsets(positions), batch_max=batch_max
        ):
            yield records

    async def read_to(
        self,
        positions: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        *,
        batch_max: int = 2_000,
    ) -> AsyncIterator[list[Record]]:
        """Every committed record from these positions to these stable offsets; then stops."""
        self.assign(positions)
        left = {place for place, end in ends.items() if positions[place] < end}
        while left:
            records = [
                r
                for r in await self.poll(200, batch_max)
                if r.offset < ends[TopicPartition(r.topic, r.partition)]
            ]
            if records:
                yield records
            for place in list(left):
                if await self.position(place) >= ends[place]:
                    left.discard(place)


class HighWatermarks:
    """Ends of partitions, committed or not. The books wait until the last stable offset has passed them.
    Offsets only: no record is ever
    read this way."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap, group_id=None, enable_auto_commit=False
        )

    async def start(self) -> None:
        """Connect. Raises BrokerAway when no broker answers."""
        try:
            await self._consumer.start()
        except aiokafka.errors.KafkaError as error:
            raise BrokerAway(repr(error)) from error

    async def stop(self) -> None:
        """Close the connection."""
        await self._consumer.stop()

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """High watermark per partition. Raises BrokerAway."""
        try:
            offsets: dict[TopicPartition, int] = await self._consumer.end_offsets(list(partitions))
        except aiokafka.errors.KafkaError as error:
            raise BrokerAway(repr(error)) from error
        return offsets


@contextlib.asynccontextmanager
async def open_reader(settings: Settings) -> AsyncIterator[Reader]:
    """A started Reader, stopped at the end."""
    reader = Reader(settings)
    await reader.start()
    try:
        yield reader
    finally:
        await reader.stop()
