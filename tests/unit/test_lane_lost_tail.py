"""A broker that lost the end of a changelog and was written on by another owner: every offset fits, and
the store that knows the lost end must not be believed. Real lanes over the simulation's log."""

import asyncio
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

import hub.lanes.lane
from hub.config import Settings
from hub.lanes.lane import Lane, LaneSpec
from tests.simulation import clock
from tests.simulation.chaos import PROCESS, Chaos, Process
from tests.simulation.log import Log, LogProducer, LogReader
from tests.simulation.stores import Disks, DiskStore

SPEC = LaneSpec("router", ("case.inbound",), 0, "router.changelog", 0)
CHANGELOG = ("router.changelog", 0)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log(Chaos(Random(0), 0.0, 0))
    monkeypatch.setattr(LogProducer, "log", made, raising=False)
    monkeypatch.setattr(LogReader, "log", made, raising=False)
    monkeypatch.setattr(DiskStore, "disks", Disks(), raising=False)
    for name, stand_in in (("LaneProducer", LogProducer), ("Reader", LogReader), ("Store", DiskStore)):
        monkeypatch.setattr(hub.lanes.lane, name, stand_in)
    return made


async def opened(machine: str) -> Lane:
    PROCESS.set(Process(machine))
    path = Path("machines") / machine
    settings = Settings(kafka_bootstrap="127.0.0.1:1", data_dir=path, directory_dir=path, files_dir=path)
    resources: Any = SimpleNamespace(restores=None)
    lane = Lane(settings, SPEC, resources, "cluster")
    await lane.open()
    return lane


async def commit(lane: Lane, *values: bytes) -> None:
    for value in values:
        await asyncio.sleep(0.01)
        await lane.commit({}, {b"state": value}, [])


def played(work: Any) -> Any:
    return clock.run(work, Random(0))


def test_a_store_that_knows_a_lost_end_is_begun_again(log: Log) -> None:
    async def work() -> None:
        first = await opened("one")
        await commit(first, b"1", b"2", b"lost")
        await first.close()
        lost = log.entries[CHANGELOG][-3:]  # the last transaction: state, position, marker
        assert [entry.value for entry in lost][:1] == [b"lost"]
        del log.entries[CHANGELOG][-3:]
        other = await opened("two")
        await commit(other, b"3", b"4")
        await other.close()
        again = await opened("one")
        assert again.get_many([b"state"]) == [b"4"]
        assert again.restored_records == 8, "restored in full"

    played(work)


def test_a_store_whose_log_is_whole_pays_for_no_restore(log: Log) -> None:
    async def work() -> None:
        first = await opened("one")
        await commit(first, b"1", b"2")
        await first.close()
        again = await opened("one")
        assert again.restored_records == 0
        await commit(again, b"3")
        await again.close()
        other = await opened("two")
        await commit(other, b"4")
        await other.close()
        back = await opened("one")
        assert back.get_many([b"state"]) == [b"4"]
        assert back.restored_records == 2, "the tail only: one state, one position"

    played(work)
