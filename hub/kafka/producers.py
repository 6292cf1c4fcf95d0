"""Everything that writes: the gateway's intake producer, a lane's transactional producer, tables and bulk
writes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final

import aiokafka.errors
from aiokafka import AIOKafkaProducer, TopicPartition

from hub.config import Settings
from hub.errors import BrokerAway, Fenced, OutputRefused, UnknownOutcome, WriteRefused
from hub.kafka.types import Header, Output, by_key

_INTAKE_BATCH_BYTES_MAX: Final = 131_072
# Asking again changes none of these. Codes that aiokafka does not know (87, a record the broker holds
# invalid) arrive as UnknownError.
_REFUSED_FOR_GOOD: Final = (
    aiokafka.errors.TopicAuthorizationFailedError,
    aiokafka.errors.ClusterAuthorizationFailedError,
    aiokafka.errors.TransactionalIdAuthorizationFailed,
    aiokafka.errors.SaslAuthenticationFailed,
    aiokafka.errors.InvalidTopicError,
    aiokafka.errors.PolicyViolationError,
    aiokafka.errors.InvalidTimestampError,
    aiokafka.errors.UnknownError,
)


class IntakeProducer:
    """Idempotent producer with acks=all: a send returns only after the broker acknowledged it (G1)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap,
            acks="all",
            enable_idempotence=True,
            max_request_size=1 << 20,
            # aiokafka's 16 KiB hold about eight cases; the next sender waits until that batch is on its way.
            max_batch_size=_INTAKE_BATCH_BYTES_MAX,
            request_timeout_ms=settings.produce_timeout_ms,
            linger_ms=2,
            retry_backoff_ms=20,
            partitioner=by_key,
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
        """InitProducerId: fences every predecessor of this transactional id and aborts what it left open.
        Raises BrokerAway, as WriteRefused when it is not allowed."""
        try:
            async with asyncio.timeout(self._settings.lane_open_timeout_ms / 1000):
                await self._producer.start()
        except (TimeoutError, aiokafka.errors.KafkaError) as error:
            raise self._away(error, ()) from error

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
        BrokerAway (nothing committed; as WriteRefused when the cluster will not take it however often it is
        asked), UnknownOutcome (the commit was sent and its answer is not known: drop the overlay and reopen).
        After any of these the producer must be closed.
        """
        producer = self._producer
        try:
            # A transactional batch never expires in aiokafka: without this bound a stuck producer would
            # keep its lane "open" and silent for ever.
            async with asyncio.timeout(self._settings.transaction_timeout_ms / 1000):
                await producer.begin_transaction()
                futures = [(place, await self._send(place, records)) for place, records in outputs.items()]
                if offsets:
                    await producer.send_offsets_to_transaction(dict(offsets), group)
                first = await _await_all(futures)
        except (OutputRefused, WriteRefused):
            await self._abort()
            raise
        except (
            aiokafka.errors.ProducerFenced,
            aiokafka.errors.InvalidProducerEpoch,
            # Not a KafkaError: what a call says when an earlier one of this transaction has been fenced.
            aiokafka.errors.IllegalOperation,
        ) as error:
            raise Fenced(self.transactional_id) from error
        except (aiokafka.errors.KafkaError, TimeoutError, AssertionError) as error:
            raise self._away(error, outputs) from error
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
        done = 0
        while True:
            batch = producer.create_batch()
            count = _fill(batch, records, done)
            if not count and done < len(records):
                raise OutputRefused(f"{topic}-{partition}: record larger than batch_bytes_max", place)
            sent.append((count, await producer.send_batch(batch, topic, partition=partition)))
            done += count
            if done == len(records):
                return sent

    def _away(self, error: BaseException, places: Iterable[tuple[str, int]]) -> BrokerAway:
        """The broker's error in the hub's words."""
        transaction = self._producer._txn_manager.wait_for_transaction_end()
        # When one partition may not be added, batches of the others fail first, with an error that says
        # nothing; the transaction's own error names the topic.
        own = transaction.exception() if transaction is not None and transaction.done() else None
        for cause in (own, error, error.__cause__):
            if isinstance(cause, _REFUSED_FOR_GOOD):
                named = [place for place in places if place[0] in str(cause)]
                return WriteRefused(repr(cause), named[0] if named else None)
        return BrokerAway(repr(error))

    async def _abort(self) -> None:
        # Best effort only: the next owner's InitProducerId aborts whatever stays open.
        with contextlib.suppress(aiokafka.errors.KafkaError, AssertionError, TimeoutError):
            async with asyncio.timeout(5):
                await self._producer.abort_transaction()

    async def close(self) -> None:
        """Close without committing or flushing anything. What does not end in 5 s (the broker is away) ends
        later by itself: cancelled half-way, aiokafka's tasks and sockets would stay for ever."""
        ending = asyncio.create_task(self._end(), name=f"closing {self.transactional_id}")
        _CLOSING.add(ending)
        ending.add_done_callback(_CLOSING.discard)
        ending.add_done_callback(_forget)
        await asyncio.wait({ending}, timeout=5)

    async def _end(self) -> None:
        # Unsent batches would be flushed by stop(), which waits for the broker.
        self._producer._message_accumulator.fail_all(aiokafka.errors.ProducerClosed())
        await self._producer.stop()


_CLOSING: Final[set["asyncio.Task[None]"]] = set()


def _fill(batch: Any, records: Sequence["Output"], first: int) -> int:
    """Put records from `first` on into a batch until it is full, and close it; returns how many went in.

    What BatchBuilder.append does, without its wrapping of every record: the batch's own builder is asked
    directly, and told the count at the end.
    """
    add = batch._builder.append
    count = 0
    for place in range(first, len(records)):
        key, value, headers, timestamp = records[place]
        if add(count, timestamp, key, value, headers) is None:
            break
        count += 1
    batch._relative_offset = count
    batch.close()
    return count


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
    refused: OutputRefused | WriteRefused | None = None
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
            except _REFUSED_FOR_GOOD as error:
                refused = refused or WriteRefused(repr(error), place)
            else:
                first.setdefault(place, metadata.offset)
    if refused is not None:
        raise refused
    return first


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


@contextlib.asynccontextmanager
async def open_producer(settings: Settings) -> AsyncIterator[IntakeProducer]:
    """A started IntakeProducer, stopped at the end."""
    producer = IntakeProducer(settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()
