"""Everything the hub does with Kafka goes through here: the only module that imports aiokafka.

Intake producer, transactional producer of a lane, read_committed readers, group membership, topic
administration.
No routing, no state, no HTTP.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import aiokafka.errors
from aiokafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    ConsumerRecord,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.partitioner import DefaultPartitioner

from hub.config import Settings
from hub.errors import BrokerAway, Fenced, OutputRefused, UnknownOutcome

__all__ = [
    "Admin",
    "BrokerAway",
    "IntakeProducer",
    "LaneProducer",
    "Membership",
    "Reader",
    "KafkaError",
    "Record",
    "TopicPartition",
]

Record: TypeAlias = ConsumerRecord[Any, Any]
KafkaError = aiokafka.errors.KafkaError
Header = tuple[str, bytes]
# What aiokafka itself logs at WARNING while it recovers by itself is of no use to an operator.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

_FETCH_WAIT_MS: Final = 500
_partition_of_key: Final = DefaultPartitioner()


def partition_of(key: bytes, partitions: int) -> int:
    """The partition Java's default partitioner (murmur2) gives this key."""
    everything = range(partitions)
    chosen: int = _partition_of_key(key, everything, everything)
    return chosen


class IntakeProducer:
    """Idempotent producer with acks=all: a send returns only after the broker acknowledged it (G1)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap,
            acks="all",
            enable_idempotence=True,
            max_request_size=1 << 20,
            request_timeout_ms=settings.produce_timeout_ms,
            linger_ms=2,
            retry_backoff_ms=20,
        )

    async def start(self) -> None:
        """Connect. Raises BrokerAway when no broker answers."""
        try:
            async with asyncio.timeout(self._settings.produce_timeout_ms / 1000):
                await self._producer.start()
        except (TimeoutError, aiokafka.errors.KafkaError) as error:
            await self._producer.stop()
            raise BrokerAway(repr(error)) from error

    async def send(self, topic: str, key: bytes, value: bytes, headers: Sequence[Header]) -> tuple[int, int]:
        """Produce one record and wait for acks=all; returns (partition, offset).

        Raises BrokerAway when it was not acknowledged in produce_timeout_ms: its outcome is unknown, sending
        it again is safe (ids are derived).
        Raises OutputRefused when the broker refuses it (too large).
        """
        try:
            async with asyncio.timeout(self._settings.produce_timeout_ms / 1000):
                future = await self._producer.send(
                    self._settings.topic(topic), key=key, value=value, headers=list(headers)
                )
                metadata = await future
        except aiokafka.errors.MessageSizeTooLargeError as error:
            raise OutputRefused(repr(error)) from error
        except (TimeoutError, aiokafka.errors.KafkaError) as error:
            raise BrokerAway(repr(error)) from error
        return metadata.partition, metadata.offset

    async def stop(self) -> None:
        """Close; what was not acknowledged raises in its own send()."""
        with contextlib.suppress(aiokafka.errors.KafkaError, TimeoutError):
            async with asyncio.timeout(5):
                await self._producer.stop()


class LaneProducer:
    """One transactional id's producer. After any failure it is closed and a new one is made: its sequence
    numbers are not trusted again.

    Why not aiokafka's own transaction context: commit_transaction() commits although a batch of that
    transaction was refused
    (MessageSizeTooLarge): the other outputs become visible and this one is lost. So every produce future is
    awaited first.
    """

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        self._settings = settings
        self.transactional_id = transactional_id
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap,
            transactional_id=transactional_id,
            transaction_timeout_ms=settings.transaction_timeout_ms,
            max_batch_size=settings.batch_bytes_max,
            max_request_size=8 << 20,
            # The first batch of a transaction may be answered NOT_ENOUGH_REPLICAS while the broker verifies
            # it; 100 ms would dominate.
            retry_backoff_ms=5,
            request_timeout_ms=20_000,
        )

    async def start(self) -> None:
        """InitProducerId: fences every predecessor of this transactional id and aborts what it left open."""
        try:
            async with asyncio.timeout(self._settings.lane_open_timeout_ms / 1000):
                await self._producer.start()
        except (TimeoutError, aiokafka.errors.KafkaError) as error:
            raise BrokerAway(repr(error)) from error

    async def commit(
        self,
        outputs: Mapping[tuple[str, int], list["Output"]],
        offsets: Mapping[TopicPartition, int],
        group: str,
    ) -> dict[tuple[str, int], int]:
        """One transaction: all outputs, the group's offsets, every future awaited, then commit. Returns the
        first offset written per partition.

        outputs: (full topic name, partition) -> records in order.
        Raises OutputRefused (nothing was committed; .culprit names the partition), Fenced (another owner or a
        timed-out transaction),
        BrokerAway (nothing committed), UnknownOutcome (the commit was sent and its answer is not known: drop
        the overlay and reopen).
        After any of these the producer must be closed.
        """
        producer = self._producer
        try:
            await producer.begin_transaction()
            futures = [(place, await self._send(place, records)) for place, records in outputs.items()]
            if offsets:
                await producer.send_offsets_to_transaction(dict(offsets), group)
            first = await _await_all(futures)
        except OutputRefused:
            await self._abort()
            raise
        except (aiokafka.errors.ProducerFenced, aiokafka.errors.InvalidProducerEpoch) as error:
            raise Fenced(self.transactional_id) from error
        except (aiokafka.errors.KafkaError, TimeoutError, AssertionError) as error:
            raise BrokerAway(repr(error)) from error
        # Shielded: a cancelled commit may still become visible, and the caller must learn that it does not
        # know.
        ending = asyncio.ensure_future(producer.commit_transaction())
        try:
            async with asyncio.timeout(self._settings.transaction_timeout_ms / 1000):
                await asyncio.shield(ending)
        except (aiokafka.errors.ProducerFenced, aiokafka.errors.InvalidProducerEpoch) as error:
            raise Fenced(self.transactional_id) from error
        except asyncio.CancelledError:
            ending.add_done_callback(_forget)
            raise
        except (aiokafka.errors.KafkaError, TimeoutError, AssertionError) as error:
            ending.add_done_callback(_forget)
            raise UnknownOutcome(repr(error)) from error
        return first

    async def _send(
        self, place: tuple[str, int], records: list["Output"]
    ) -> list[tuple[int, "asyncio.Future[Any]"]]:
        """Batches of one partition. Several only when they do not fit into one."""
        topic, partition = place
        producer = self._producer
        sent: list[tuple[int, asyncio.Future[Any]]] = []
        batch = producer.create_batch()
        for output in records:
            key, value, headers, timestamp = output
            if batch.append(key=key, value=value, timestamp=timestamp, headers=headers) is None:
                if batch.record_count() == 0:
                    raise OutputRefused(f"{topic}-{partition}: record larger than batch_bytes_max", place)
                sent.append(
                    (batch.record_count(), await producer.send_batch(batch, topic, partition=partition))
                )
                batch = producer.create_batch()
                if batch.append(key=key, value=value, timestamp=timestamp, headers=headers) is None:
                    raise OutputRefused(f"{topic}-{partition}: record larger than batch_bytes_max", place)
        batch.close()
        sent.append((batch.record_count(), await producer.send_batch(batch, topic, partition=partition)))
        return sent

    async def _abort(self) -> None:
        # Best effort only: the next owner's InitProducerId aborts whatever stays open.
        with contextlib.suppress(aiokafka.errors.KafkaError, AssertionError, TimeoutError):
            async with asyncio.timeout(5):
                await self._producer.abort_transaction()

    async def close(self) -> None:
        """Close without committing anything."""
        with contextlib.suppress(
            aiokafka.errors.KafkaError, AssertionError, TimeoutError, asyncio.InvalidStateError
        ):
            async with asyncio.timeout(5):
                await self._producer.stop()


Output = tuple[bytes | None, bytes | None, list[Header], int]
"""key, value, headers, timestamp in ms."""


def _forget(task: "asyncio.Future[Any]") -> None:
    # The outcome is unknown to the caller already; this only keeps asyncio from reporting an unretrieved
    # exception.
    if not task.cancelled():
        task.exception()


async def _await_all(
    futures: list[tuple[tuple[str, int], list[tuple[int, "asyncio.Future[Any]"]]]],
) -> dict[tuple[str, int], int]:
    """Await every produce future before the commit; the first refusal is raised after all of them are
    known."""
    first: dict[tuple[str, int], int] = {}
    refused: Exception | None = None
    for place, sent in futures:
        for _, future in sent:
            try:
                metadata = await future
            except (
                aiokafka.errors.MessageSizeTooLargeError,
                aiokafka.errors.RecordListTooLargeError,
                aiokafka.errors.InvalidMessageError,
            ) as error:
                refused = refused or OutputRefused(repr(error), place)
            else:
                first.setdefault(place, metadata.offset)
    if refused is not None:
        raise refused
    return first


class Reader:
    """A read_committed reader of whole partitions, outside any group: its positions are the caller's
    business.

    Used by lanes (input, changelog), projector, books and console.
    """

    def __init__(
        self, settings: Settings, *, fetch_bytes_max: int = 8 << 20, fetch_wait_ms: int = _FETCH_WAIT_MS
    ) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            group_id=None,
            fetch_max_wait_ms=fetch_wait_ms,
            max_partition_fetch_bytes=fetch_bytes_max,
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
        cluster = await self._consumer._client.fetch_all_metadata()
        return [
            TopicPartition(topic, p)
            for topic in wanted
            for p in sorted(cluster.partitions_for_topic(topic) or ())
        ]

    async def start_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """First retained offset per partition."""
        offsets: dict[TopicPartition, int] = await self._consumer.beginning_offsets(list(partitions))
        return offsets

    async def stable_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Last stable offset per partition: everything below it is committed or aborted."""
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
        """
        try:
            batches = await self._consumer.getmany(timeout_ms=wait_ms, max_records=records_max)
        except aiokafka.errors.OffsetOutOfRangeError as error:
            raise LookupError(f"位置已不在日志内 / position outside the log: {error}") from error
        return [record for records in batches.values() for record in records]

    async def poll_partition(self, place: TopicPartition, wait_ms: int, records_max: int) -> list[Record]:
        """Like poll, for one of the assigned partitions."""
        batches = await self._consumer.getmany(place, timeout_ms=wait_ms, max_records=records_max)
        return list(batches.get(place, []))

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
        ends = await self.stable_offsets(positions)
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


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, changed: Callable[[set[TopicPartition]], Awaitable[None]]) -> None:
        self._changed = changed

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        # Nothing to do: fencing protects, and a lane that stays ours must not pay a restore.
        return None

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._changed(assigned)


class Membership:
    """Membership in a consumer group, for the assignment only: every partition stays paused, data is read by
    each lane's own Reader.

    Why: aiokafka's fetcher stops fetching from a broker while one partition of it has unread records, so one
    slow lane would hold up
    the others; and a group consumer's positions would be reset to the group's offsets by every rebalance.
    """

    def __init__(self, settings: Settings, group: str) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            max_poll_interval_ms=86_400_000,
            rebalance_timeout_ms=settings.session_timeout_ms,
            metadata_max_age_ms=5_000,
        )

    async def start(
        self, topics: Sequence[str], changed: Callable[[set[TopicPartition]], Awaitable[None]]
    ) -> None:
        """Join. `changed` is awaited with the whole assignment after every rebalance and must return
        quickly."""

        async def on_assigned(assigned: set[TopicPartition]) -> None:
            if assigned:
                self._consumer.pause(*assigned)
            await changed(assigned)

        self._consumer.subscribe(topics=list(topics), listener=_Listener(on_assigned))
        try:
            await self._consumer.start()
        except aiokafka.errors.KafkaError as error:
            raise BrokerAway(repr(error)) from error

    async def watch(self) -> None:
        """Surface errors of the group (authorisation, broker gone) as exceptions; runs until cancelled."""
        while True:
            await self._consumer.getmany(timeout_ms=1_000)

    async def stop(self) -> None:
        """Leave the group explicitly, so that successors need not wait for the session timeout."""
        await self._consumer.stop()


class Admin:
    """Topic administration (topics.plan.TopicAdmin) and the identities a lane checks before it trusts its
    store."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = AIOKafkaAdminClient(
            bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=20_000
        )

    async def __aenter__(self) -> "Admin":
        try:
            await self._client.start()
        except aiokafka.errors.KafkaError as error:
            raise BrokerAway(repr(error)) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def list_topics(self) -> dict[str, dict[str, Any]]:
        """{full name: {"partitions": n, "config": {name: value}}} of every topic that is not internal."""
        names = [name for name in await self._client.list_topics() if not name.startswith("__")]
        if not names:
            return {}
        found = {
            t["topic"]: {"partitions": len(t["partitions"]), "config": {}}
            for t in await self._client.describe_topics(names)
        }
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        for response in await self._client.describe_configs(resources):
            for resource in response.resources:
                name, entries = resource[3], resource[4]
                if name in found:
                    found[name]["config"] = {entry[0]: entry[1] for entry in entries}
        return found

    async def create(
        self, name: str, partitions: int, replication_factor: int, config: Mapping[str, str]
    ) -> None:
        """Create a topic; one that exists already is left as it is (two processes may apply at once)."""
        topic = NewTopic(name, partitions, replication_factor, topic_configs=dict(config))
        response = await self._client.create_topics([topic])
        for entry in response.topic_errors:
            code = entry[1]
            if code not in (0, aiokafka.errors.TopicAlreadyExistsError.errno):
                raise aiokafka.errors.for_code(code)(f"{name}: {entry[2] if len(entry) > 2 else ''}")

    async def alter_config(self, name: str, config: Mapping[str, str]) -> None:
        """Set these configuration values of a topic."""
        await self._client.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, configs=dict(config))]
        )

    async def cluster_id(self) -> str:
        """The cluster's identity."""
        described = await self._client.describe_cluster()
        return str(described["cluster_id"])

    async def delete_topics(self, names: Sequence[str]) -> None:
        """Delete topics (tests only)."""
        await self._client.delete_topics(list(names))


async def write_all(settings: Settings, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Publish keyed records (a compacted table) with acks=all. Raises BrokerAway."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, acks="all", enable_idempotence=True
    )
    try:
        await producer.start()
        futures = [await producer.send(settings.topic(topic), key=key, value=value) for key, value in records]
        for future in futures:
            await future
    except aiokafka.errors.KafkaError as error:
        raise BrokerAway(repr(error)) from error
    finally:
        await producer.stop()


@contextlib.asynccontextmanager
async def open_reader(settings: Settings) -> AsyncIterator[Reader]:
    """A started Reader, stopped at the end."""
    reader = Reader(settings)
    await reader.start()
    try:
        yield reader
    finally:
        await reader.stop()


@contextlib.asynccontextmanager
async def open_producer(settings: Settings) -> AsyncIterator[IntakeProducer]:
    """A started IntakeProducer, stopped at the end."""
    producer = IntakeProducer(settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


class HighWatermarks:
    """Ends of partitions, committed or not. The books wait until the last stable offset has passed them. Offsets only: no record is ever
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


async def write_records(
    settings: Settings, topic: str, partition: int, records: Sequence[tuple[bytes, bytes, Sequence[Header]]]
) -> None:
    """Write many records to one partition in full batches (benchmarks and imports). Raises BrokerAway."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        acks="all",
        enable_idempotence=True,
        max_batch_size=settings.batch_bytes_max,
    )
    try:
        await producer.start()
        batch = producer.create_batch()
        for key, value, headers in records:
            if batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is None:
                await (await producer.send_batch(batch, settings.topic(topic), partition=partition))
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=list(headers))
        await (await producer.send_batch(batch, settings.topic(topic), partition=partition))
    except aiokafka.errors.KafkaError as error:
        raise BrokerAway(repr(error)) from error
    finally:
        await producer.stop()
