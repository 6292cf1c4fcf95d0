"""Stores of lanes that moved away go after a while: never one that is open, ours, stood by for, or not a
store of this hub (real RocksDB, no broker)."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.config import Settings
from hub.kafka import TopicPartition
from hub.lanes.leftovers import remove
from hub.lanes.store import Store, StoreMeta, StoreResources
from hub.lanes.worker import Worker

SETTINGS = Settings(
    kafka_bootstrap="127.0.0.1:1",
    data_dir=Path("data"),
    directory_dir=Path("data"),
    files_dir=Path("data"),
    topic_prefix="p.",
)
OLD_DAYS = SETTINGS.store_keep_days + 1


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """A router worker that holds its data directory and owns case.inbound-0."""
    settings = Settings.from_env(
        {
            "HUB_KAFKA_BOOTSTRAP": "127.0.0.1:1",
            "HUB_DATA_DIR": str(tmp_path),
            "HUB_TOPIC_PREFIX": SETTINGS.topic_prefix,
        }
    )

    def none(place: TopicPartition) -> object:
        raise AssertionError(place)

    made = Worker(settings, "router", ["case.inbound"], none)  # type: ignore[arg-type]
    made._home.enter()
    made._generation = 1
    made._assigned_now = {TopicPartition("p.case.inbound", 0)}
    yield made
    made._home.leave()


def store(worker: Worker, name: str, days: float = OLD_DAYS, *, is_open: bool = False) -> Store:
    path = worker._home.path / name
    made = Store(path, StoreResources(SETTINGS))
    made.write({b"a": b"1"}, StoreMeta("cluster", "one", 7, 0))
    if not is_open:
        made.close()
    then = time.time() - days * 86_400
    for file in path.iterdir():
        os.utime(file, (then, then))
    return made


def left(worker: Worker) -> set[str]:
    return set(worker._home.stores())


async def test_the_store_of_a_lane_that_moved_away_is_removed_when_it_is_old(worker: Worker) -> None:
    store(worker, "p.case.inbound-0")
    store(worker, "p.case.inbound-1")
    store(worker, "p.case.inbound-2", days=OLD_DAYS - 2)
    store(worker, "q.case.inbound-1")
    (worker._home.path / "p.notes-1").mkdir()
    await worker.remove_leftovers()
    assert left(worker) == {"p.case.inbound-0", "p.case.inbound-2", "q.case.inbound-1", "p.notes-1"}
    assert worker._closing == {}


async def test_a_store_that_is_open_stays_whoever_has_it_open(worker: Worker) -> None:
    opened = store(worker, "p.case.inbound-1", is_open=True)
    await worker.remove_leftovers()
    assert left(worker) == {"p.case.inbound-1"}
    assert opened.get(b"a") == b"1", "nothing of it is gone"
    opened.close()


async def test_without_the_data_directory_or_a_share_of_the_lanes_nothing_is_removed(worker: Worker) -> None:
    store(worker, "p.case.inbound-1")
    worker._generation = -1
    await worker.remove_leftovers()
    worker._generation, worker._home.id = 1, ""
    await worker.remove_leftovers()
    assert left(worker) == {"p.case.inbound-1"}


async def test_a_lane_that_comes_back_waits_until_its_old_store_is_gone(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = TopicPartition("p.case.inbound", 1)
    store(worker, "p.case.inbound-1")
    began: list[bool] = []
    removing, go_on = threading.Event(), threading.Event()

    def slow(path: Path) -> bool:
        removing.set()
        return go_on.wait(20) and remove(path)

    class Runner:
        async def run(self, opened: object) -> None:
            began.append((worker._home.path / "p.case.inbound-1").exists())
            await asyncio.Event().wait()

    monkeypatch.setattr("hub.lanes.worker.remove", slow)
    worker._runner = lambda place: Runner()
    tidying = asyncio.create_task(worker.remove_leftovers())
    assert await asyncio.to_thread(removing.wait, 20)
    worker._assigned_now = {place}
    worker._begin(place)
    await asyncio.sleep(0.05)
    assert began == [], "its store is just going"
    go_on.set()
    await tidying
    await asyncio.sleep(0.05)
    assert began == [False]
    worker._close([place])
    await asyncio.gather(*worker._closing.values())
