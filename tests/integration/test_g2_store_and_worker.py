"""G2: what a lane meets on its own machine: a store held by another process, a damaged one, a closing that is
interrupted, a broker that went away (real RocksDB, real processes, real broker)."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from hub.config import Settings
from hub.errors import BrokerAway, LaneStopped, StoreBusy, StoreFailed
from hub.kafka import Admin, Reader, TopicPartition
from hub.lanes import store as store_module
from hub.lanes.lane import Lane, LaneSpec
from hub.lanes.store import Store, StoreMeta, StoreResources
from hub.lanes.worker import LaneState, Worker
from tests.servers import Kafka

META = StoreMeta("cluster", "one", 7, 0)


def settings_of(bootstrap: str, data_dir: Path, prefix: str = "") -> Settings:
    return Settings.from_env(
        {"HUB_KAFKA_BOOTSTRAP": bootstrap, "HUB_DATA_DIR": str(data_dir), "HUB_TOPIC_PREFIX": prefix}
    )


@contextlib.contextmanager
def another_process_with(path: Path) -> Iterator[None]:
    """A process that has the store open, as a stopped predecessor has."""
    code = (
        "import sys, time; from rocksdict import Rdict, Options\n"
        "db = Rdict(sys.argv[1], Options(raw_mode=True)); print('open', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.communicate()


def test_store_held_by_another_process_is_busy_and_no_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_LOCK_WAIT_S", 0.2)
    resources = StoreResources(settings_of("127.0.0.1:1", tmp_path))
    path = tmp_path / "in-0"
    with another_process_with(path), pytest.raises(StoreBusy):
        Store(path, resources)
    Store(path, resources).close()


def test_damaged_store_is_begun_again_because_the_changelog_has_everything(tmp_path: Path) -> None:
    resources = StoreResources(settings_of("127.0.0.1:1", tmp_path))
    path = tmp_path / "in-0"
    first = Store(path, resources)
    first.write({b"a": b"1"}, META)
    first.close()
    (path / "CURRENT").write_bytes(b"not a manifest\n")
    again = Store(path, resources)
    assert again.meta() is None
    assert again.get(b"a") is None
    again.close()


async def test_closing_that_is_interrupted_still_lets_go_of_everything(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    """A rebalance may cancel a lane that is just closing after a fence."""
    settings = settings_of(kafka.bootstrap, tmp_path, topic_prefix)
    async with Admin(settings) as admin:
        for name in ("in", "log"):
            await admin.create(settings.topic(name), 1, 1, {})
    lane = Lane(settings, LaneSpec("test", ("in",), 0, "log", 0), StoreResources(settings), "cluster")
    await lane.open()
    producer, reader = lane._producer, lane._reader
    assert producer is not None
    assert reader is not None
    closing = asyncio.create_task(lane.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    Store(tmp_path / "test" / (topic_prefix + "in-0"), StoreResources(settings)).close()
    until = time.monotonic() + 5
    while not producer._producer._sender.sender_task.done() and time.monotonic() < until:
        await asyncio.sleep(0.05)
    assert producer._producer._sender.sender_task.done()
    assert reader._consumer._closed


async def test_position_that_falls_out_of_the_log_stops_the_lane_and_not_the_process() -> None:
    lane = Lane.__new__(Lane)
    lane.spec = LaneSpec("test", ("in",), 0, "log", 0)

    class Behind:
        async def poll(self, wait_ms: int, records_max: int) -> list[object]:
            raise LookupError("position outside the log")

    lane._reader = Behind()  # type: ignore[assignment]
    with pytest.raises(LaneStopped):
        await lane.poll(1, 1)


async def test_reader_whose_broker_is_away_says_so_in_the_hubs_words(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(settings_of(kafka.bootstrap, tmp_path))
    await reader.start()
    try:
        with pytest.raises(BrokerAway):
            await reader.stable_offsets([TopicPartition("never created", 0)])
    finally:
        await reader.stop()


class Waits:
    """A lane that works until it is cancelled."""

    async def run(self, opened: Callable[[], None]) -> None:
        opened()
        await asyncio.Event().wait()


class Fails:
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def run(self, opened: Callable[[], None]) -> None:
        raise self.error


async def test_rebalance_during_the_closing_opens_no_lane(tmp_path: Path) -> None:
    worker = Worker(settings_of("127.0.0.1:1", tmp_path), "test", ["in"], lambda _: Waits())
    place = TopicPartition("in", 0)
    await worker._assigned({place}, b"", 1)
    worker._ending = True
    await worker._end()
    await worker._assigned({place}, b"", 2)
    assert worker._tasks == {}


async def test_lane_whose_store_is_busy_waits_and_does_not_die(tmp_path: Path) -> None:
    worker = Worker(settings_of("127.0.0.1:1", tmp_path), "test", ["in"], lambda _: Fails(StoreBusy("held")))
    place = TopicPartition("in", 0)
    await worker._assigned({place}, b"", 1)
    await asyncio.sleep(0.1)
    state: LaneState = worker.lanes[place]
    task = worker._tasks[place]
    assert (state.state, task.done()) == ("waiting", False)
    await worker._end()


def test_store_closed_while_it_is_wiped_lets_go_of_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An opening is cancelled while a thread of it starts the store again."""
    resources = StoreResources(settings_of("127.0.0.1:1", tmp_path))
    store = Store(tmp_path / "in-0", resources)
    remove = store_module.shutil.rmtree

    def close_meanwhile(path: Path) -> None:
        remove(path)
        store.close()

    monkeypatch.setattr(store_module.shutil, "rmtree", close_meanwhile)
    store.wipe()
    monkeypatch.undo()
    monkeypatch.setattr(store_module, "_LOCK_WAIT_S", 0.2)
    Store(tmp_path / "in-0", resources).close()


async def test_lane_whose_store_outgrows_its_limit_stops_and_says_which_setting(
    kafka: Kafka, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(kafka.bootstrap, tmp_path, topic_prefix)
    settings = msgspec.structs.replace(settings, store_bytes_max=1 << 20)
    async with Admin(settings) as admin:
        for name in ("in", "log"):
            await admin.create(settings.topic(name), 1, 1, {})
    lane = Lane(settings, LaneSpec("test", ("in",), 0, "log", 0), StoreResources(settings), "cluster")
    try:
        await lane.open()
        for n in range(12):  # beyond what RocksDB keeps in memory
            await lane.commit({}, {b"%d" % n: os.urandom(500_000)}, [])
        monkeypatch.setattr("hub.lanes.lane._SIZE_CHECK_S", 0.0)
        until = time.monotonic() + 10
        while lane.store.size_bytes() <= 1 << 20 and time.monotonic() < until:
            await asyncio.sleep(0.05)  # its files are written behind our back
        with pytest.raises(LaneStopped, match="HUB_STORE_BYTES_MAX"):
            await lane.commit({}, {b"one more": b"1"}, [])
    finally:
        await lane.close()


def test_store_that_cannot_be_written_says_so_and_the_lane_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is committed already: the changelog will bring it back."""
    store = Store(tmp_path / "in-0", StoreResources(settings_of("127.0.0.1:1", tmp_path)))
    real = store._db

    class Full:
        def write(self, batch: object) -> None:
            raise Exception("IO error: No space left on device")

        def close(self) -> None:
            real.close()

    store._db = Full()  # type: ignore[assignment]
    with pytest.raises(StoreFailed):
        store.write({b"a": b"1"}, META)
    store.close()
