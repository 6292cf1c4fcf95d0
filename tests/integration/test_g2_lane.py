"""G2: outputs, state change and input position commit in one transaction, whatever happens to the lane (real
broker)."""

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.config import Settings
from hub.errors import Fenced, LaneStopped, OutputRefused
from hub.kafka import Admin, Output, TopicPartition, open_producer, open_reader
from hub.lanes.lane import Lane, LaneSpec
from hub.lanes.store import StoreResources
from tests.servers import Kafka

SPEC = LaneSpec("test", ("in",), 0, "log", 0)


@pytest.fixture
def settings(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> Settings:
    return Settings.from_env(
        {
            "HUB_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "HUB_TOPIC_PREFIX": topic_prefix,
            "HUB_DATA_DIR": str(tmp_path),
        }
    )


@pytest.fixture
async def topics(settings: Settings) -> None:
    async with Admin(settings) as admin:
        await admin.create(settings.topic("in"), 1, 1, {})
        await admin.create(settings.topic("out"), 1, 1, {"max.message.bytes": "2000"})
        await admin.create(settings.topic("big"), 1, 1, {})
        await admin.create(settings.topic("log"), 1, 1, {"cleanup.policy": "compact"})


@contextlib.asynccontextmanager
async def lane(settings: Settings) -> AsyncIterator[Lane]:
    opened = Lane(settings, SPEC, StoreResources(settings), "cluster")
    try:
        await opened.open()
        yield opened
    finally:
        await opened.close()


def record(value: bytes) -> Output:
    return (b"k", value, [], int(time.time() * 1000))


async def give(settings: Settings, count: int) -> None:
    async with open_producer(settings) as producer:
        for n in range(count):
            await producer.send("in", b"k", b"%d" % n, [])


async def committed(settings: Settings, topic: str) -> list[bytes | None]:
    async with open_reader(settings) as reader:
        places = await reader.partitions([settings.topic(topic)])
        starts = await reader.start_offsets(places)
        return [r.value async for batch in reader.read_to_stable(starts) for r in batch]


async def take(open_lane: Lane, count: int) -> list[object]:
    got: list[object] = []
    until = time.monotonic() + 10
    while len(got) < count and time.monotonic() < until:
        got += await open_lane.poll(200, count - len(got))
    return got


async def test_reopened_lane_goes_on_where_its_last_transaction_ended(
    settings: Settings, topics: None
) -> None:
    await give(settings, 5)
    async with lane(settings) as first:
        got = await take(first, 3)
        await first.commit({(settings.topic("out"), 0): [record(r.value) for r in got]}, {b"a": b"3"}, got)
    async with lane(settings) as second:
        assert second.get_many([b"a", b"b"]) == [b"3", None]
        assert second.restored_records == 0, "a store in step with its changelog replays nothing"
        got = await take(second, 2)
        assert [r.value for r in got] == [b"3", b"4"]
    assert await committed(settings, "out") == [b"0", b"1", b"2"]


async def test_store_that_missed_the_last_write_replays_only_the_tail(
    settings: Settings, topics: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await give(settings, 4)
    async with lane(settings) as first:
        got = await take(first, 2)
        await first.commit({}, {b"a": b"1"}, got)
        # Killed between the commit and the store's write batch.
        monkeypatch.setattr(first.store, "write", lambda *_: None)
        got = await take(first, 1)
        await first.commit({}, {b"a": b"2", b"b": b"x"}, got)
    async with lane(settings) as second:
        assert second.get_many([b"a", b"b"]) == [b"2", b"x"]
        assert 0 < second.restored_records <= 3
        assert [r.value for r in await take(second, 1)] == [b"3"]


async def test_one_refused_output_takes_everything_back(settings: Settings, topics: None) -> None:
    """The defence: every produce future is awaited before the commit. Without it the other output and the
    position become visible."""
    await give(settings, 2)
    async with lane(settings) as first:
        got = await take(first, 1)
        outputs = {
            (settings.topic("big"), 0): [record(b"seen")],
            (settings.topic("out"), 0): [record(b"x" * 5_000)],
        }
        with pytest.raises(OutputRefused) as refusal:
            await first.commit(outputs, {b"a": b"1"}, got)
        assert refusal.value.place == (settings.topic("out"), 0)
    assert await committed(settings, "big") == []
    async with lane(settings) as second:
        assert second.get_many([b"a"]) == [None]
        assert [r.value for r in await take(second, 2)] == [b"0", b"1"]


async def test_successor_fences_its_predecessor(settings: Settings, topics: None, tmp_path: Path) -> None:
    await give(settings, 1)
    other = Settings.from_env(
        {
            "HUB_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "HUB_TOPIC_PREFIX": settings.topic_prefix,
            "HUB_DATA_DIR": str(tmp_path / "other machine"),
        }
    )
    async with lane(settings) as zombie:
        old = await take(zombie, 1)
        async with lane(other) as owner:
            new = await take(owner, 1)
            await owner.commit({(settings.topic("out"), 0): [record(b"owner")]}, {b"a": b"o"}, new)
            with pytest.raises(Fenced):
                await zombie.commit({(settings.topic("out"), 0): [record(b"zombie")]}, {b"a": b"z"}, old)
    assert await committed(settings, "out") == [b"owner"]
    async with lane(settings) as back:
        assert back.get_many([b"a"]) == [b"o"], "the store that was left behind catches up from the changelog"


async def test_restore_passes_aborted_transactions_at_the_end_of_the_changelog(
    settings: Settings, topics: None
) -> None:
    await give(settings, 2)
    async with lane(settings) as first:
        await first.commit({}, {b"a": b"1"}, await take(first, 1))
        with pytest.raises(OutputRefused):
            await first.commit(
                {(settings.topic("out"), 0): [record(b"x" * 5_000)]}, {b"a": b"2"}, await take(first, 1)
            )
    async with lane(settings) as second:
        second.store.wipe()
        end = (await second.reader.stable_offsets([second._changelog]))[second._changelog]
        await second.follower.catch_up(second.reader, 0, end)
        assert second.get_many([b"a"]) == [b"1"]


async def test_position_below_the_log_start_stops_the_lane(settings: Settings, topics: None) -> None:
    await give(settings, 3)
    async with lane(settings) as first:
        await first.commit({}, {}, await take(first, 1))
    async with trimmer(settings) as trim:
        await trim(settings.topic("in"), 2)
    with pytest.raises(LaneStopped):
        async with lane(settings):
            pass


@contextlib.asynccontextmanager
async def trimmer(settings: Settings) -> AsyncIterator[object]:
    from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await client.start()

    async def trim(topic: str, before: int) -> None:
        await client.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=before)})

    try:
        yield trim
    finally:
        await client.close()


async def test_position_record_and_not_the_group_offset_is_the_truth(
    settings: Settings, topics: None
) -> None:
    """The group's offset is wrong on purpose; a lane that believed it would skip a message."""
    await give(settings, 3)
    async with lane(settings) as first:
        await first.commit({}, {}, await take(first, 1))
    from aiokafka import AIOKafkaConsumer

    place = TopicPartition(settings.topic("in"), 0)
    liar = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=f"{settings.topic_prefix}govhub.test",
        enable_auto_commit=False,
    )
    await liar.start()
    liar.assign([place])
    await liar.commit({place: 3})
    await liar.stop()
    async with lane(settings) as second:
        assert [r.value for r in await take(second, 2)] == [b"1", b"2"]


async def test_store_of_another_log_is_wiped(settings: Settings, topics: None) -> None:
    await give(settings, 1)
    async with lane(settings) as first:
        await first.commit({}, {b"a": b"1"}, await take(first, 1))
        wrong = first.follower.meta(first.follower.next)
        first.store.write(
            {b"stale": b"1"}, type(wrong)("cluster", "another incarnation", 0, wrong.written_ms)
        )
    async with lane(settings) as second:
        assert second.get_many([b"a", b"stale"]) == [b"1", None]
