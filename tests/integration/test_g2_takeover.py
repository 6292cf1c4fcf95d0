"""G2: lanes change hands. Stand-bys, zombies, commits without an answer, workers that come and go under load
(real broker)."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from test_g2_lane import SPEC, give, lane, record, settings, take, topics
from test_g2_router import _produce, a_case, committed, env, ledger, routed

from hub.config import Settings
from hub.errors import BrokerAway, Fenced, HubError, OutputRefused, UnknownOutcome
from hub.kafka import Admin, TopicPartition, open_producer
from hub.lanes import worker as worker_module
from hub.lanes.lane import Lane
from hub.lanes.standby import Home, Standbys
from hub.lanes.store import Store, StoreMeta, StoreResources
from hub.lanes.worker import Worker
from hub.provision import provision

__all__ = ["env", "settings", "topics"]  # fixtures

PLACE = TopicPartition("in", 0)


def elsewhere(settings: Settings, path: Path, **changed: str) -> Settings:
    """The same hub, another machine."""
    return Settings.from_env(
        {
            "HUB_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "HUB_TOPIC_PREFIX": settings.topic_prefix,
            "HUB_DATA_DIR": str(path),
            **changed,
        }
    )


async def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.05)


# -- stand-bys


@contextlib.asynccontextmanager
async def standby(settings: Settings) -> AsyncIterator[Standbys]:
    following = Standbys(settings, StoreResources(settings), "cluster", lambda _: SPEC)
    following.follow({PLACE}, {})
    try:
        await until(lambda: following.near() == {SPEC.name: True})
        yield following
    finally:
        await following.stop()


async def test_take_over_by_a_stand_by_replays_a_tail_only(
    settings: Settings, topics: None, tmp_path: Path
) -> None:
    await give(settings, 4)
    other = elsewhere(settings, tmp_path / "other")
    async with lane(settings) as owner:
        await owner.commit({}, {b"a": b"1"}, await take(owner, 1))
        async with standby(other) as following:
            tail = following._tails[SPEC.name]
            await owner.commit({}, {b"a": b"2", b"b": b"x"}, await take(owner, 1))
            await until(lambda: tail._store is not None and tail._store.get(b"b") == b"x")
            refused = {(settings.topic("out"), 0): [record(b"x" * 5_000)]}
            with pytest.raises(OutputRefused):
                await owner.commit(refused, {b"a": b"never"}, await take(owner, 1))
            successor = Lane(other, SPEC, StoreResources(other), "cluster", warm=following)
            try:
                await successor.open()
                assert successor.restored_records == 0, "everything was at hand"
                assert successor.get_many([b"a", b"b"]) == [b"2", b"x"]
                assert [r.value for r in await take(successor, 2)] == [b"2", b"3"]
                await successor.commit({}, {b"a": b"3"}, [])
            finally:
                await successor.close()


async def test_stand_by_whose_log_is_made_anew_begins_again(
    settings: Settings, topics: None, tmp_path: Path
) -> None:
    await give(settings, 2)
    other = elsewhere(settings, tmp_path / "other")
    async with lane(settings) as owner:
        await owner.commit({}, {b"a": b"1"}, await take(owner, 1))
        async with standby(other) as following:
            tail = following._tails[SPEC.name]
            assert tail._store is not None
            meta = tail._store.meta()
            assert meta is not None
        store = Store(SPEC.store_path(other), StoreResources(other))
        store.write({b"stale": b"1"}, StoreMeta("cluster", "another log", 0, meta.written_ms))
        store.close()
        async with standby(other) as following:
            again = following._tails[SPEC.name]._store
            assert again is not None
            assert (again.get(b"a"), again.get(b"stale")) == (b"1", None)


def test_two_processes_in_one_data_directory_never_stand_by_for_each_other(tmp_path: Path) -> None:
    """The second would hold the lock of the store that the first is about to open."""
    here = elsewhere(Settings.from_env({"HUB_KAFKA_BOOTSTRAP": "127.0.0.1:1"}), tmp_path)
    first, second = Home(here, "router"), Home(here, "router")
    first.enter()
    second.enter()
    assert first.id
    assert not second.id
    first.leave()
    again = Home(here, "router")
    again.enter()
    assert again.id == first.id, "a restarted worker is known by its stores"
    again.leave()


# -- restoring


async def test_store_that_may_have_missed_a_tombstone_is_restored_in_full(
    settings: Settings, topics: None
) -> None:
    await give(settings, 1)
    async with lane(settings) as first:
        await first.commit({}, {b"a": b"1"}, await take(first, 1))
        meta = first.follower.meta(first.follower.next)
        long_ago = meta.written_ms - settings.store_age_ms_max - 1
        first.store.write(
            {b"deleted meanwhile": b"1"},
            StoreMeta(meta.cluster_id, meta.incarnation, meta.changelog_next, long_ago),
        )
    async with lane(settings) as second:
        assert second.get_many([b"a", b"deleted meanwhile"]) == [b"1", None]


async def test_idle_store_in_step_with_its_changelog_does_not_grow_old_and_one_that_is_behind_does(
    settings: Settings, topics: None, tmp_path: Path
) -> None:
    def written_long_ago(of: Lane) -> None:
        meta = of.follower.meta(of.follower.next)
        long_ago = meta.written_ms - settings.store_age_ms_max - 1
        of.store.write({}, StoreMeta(meta.cluster_id, meta.incarnation, meta.changelog_next, long_ago))

    await give(settings, 3)
    async with lane(settings) as idle:
        await idle.commit({}, {b"a": b"1"}, await take(idle, 1))
        written_long_ago(idle)
        await idle.attest()
    async with lane(settings) as again:
        assert again.restored_records == 0, "trusted"
        async with lane(elsewhere(settings, tmp_path / "other")) as owner:
            await owner.commit({}, {b"a": None}, await take(owner, 1))
        written_long_ago(again)
        await again.attest()
        meta = again.store.meta()
        assert meta is not None
        assert time.time() * 1000 - meta.written_ms > settings.store_age_ms_max, "a zombie's store stays old"


async def test_lanes_go_on_while_another_is_restored_and_the_restore_says_how_far_it_is(
    settings: Settings, topics: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One event loop serves both: between two slices of the restore the other lane commits."""
    monkeypatch.setattr("hub.lanes.restore._REPORT_S", 0.0)
    async with Admin(settings) as admin:
        for name in ("in2", "log2"):
            await admin.create(settings.topic(name), 1, 1, {})
    other_spec = type(SPEC)("test", ("in2",), 0, "log2", 0)
    async with lane(settings) as filling:
        for n in range(60):
            await filling.commit({}, {b"%d-%d" % (n, k): b"x" * 50 for k in range(1_000)}, [])
    told: list[str] = []
    busy = Lane(settings, other_spec, StoreResources(settings), "cluster")
    new_machine = elsewhere(settings, tmp_path / "new")
    restoring = Lane(
        new_machine, SPEC, StoreResources(new_machine), "cluster", restoring=lambda p: told.append(str(p))
    )
    try:
        await busy.open()
        opening = asyncio.create_task(restoring.open())
        between = 0
        while not opening.done():
            told_before = len(told)
            await busy.commit({}, {b"n": b"%d" % between}, [])
            between += 0 < told_before < len(told)
        await opening
        assert restoring.restored_records >= 60_000
        assert between, "commits that began and ended in the middle of the restore"
        assert len(told) > 10
        assert "restoring" in told[0]
    finally:
        await restoring.close()
        await busy.close()


# -- a commit that goes wrong


@pytest.mark.parametrize("reached", [True, False], ids=["it was committed", "it was not"])
async def test_commit_whose_answer_never_came_is_settled_by_the_changelog(
    settings: Settings, topics: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached: bool
) -> None:
    await give(settings, 2)
    quick = elsewhere(settings, settings.data_dir, HUB_TRANSACTION_TIMEOUT_MS="1000")
    async with lane(quick) as first:
        producer = first._producer
        assert producer is not None
        commit = producer._producer.commit_transaction

        async def without_answer() -> None:
            if reached:
                await commit()
            await asyncio.Event().wait()

        monkeypatch.setattr(producer._producer, "commit_transaction", without_answer)
        got = await take(first, 1)
        with pytest.raises(UnknownOutcome):
            await first.commit({(settings.topic("out"), 0): [record(b"once")]}, {b"a": b"1"}, got)
        assert first.get_many([b"a"]) == [None], "the store waits for what the changelog tells"
    async with lane(settings) as second:
        assert second.get_many([b"a"]) == [b"1" if reached else None]
        got = await take(second, 1)
        assert [r.value for r in got] == [b"1" if reached else b"0"]
        if not reached:
            await second.commit({(settings.topic("out"), 0): [record(b"once")]}, {b"a": b"1"}, got)
    assert [r.value for r in await committed(settings, "out")] == [b"once"]


async def test_producer_that_gets_no_acknowledgement_does_not_hold_its_lane_for_ever(
    settings: Settings, topics: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = elsewhere(settings, settings.data_dir, HUB_TRANSACTION_TIMEOUT_MS="1000")

    async def never(*_: object) -> object:
        return await asyncio.Event().wait()

    async with lane(quick) as stuck:
        monkeypatch.setattr("hub.kafka.producers._await_all", never)
        with pytest.raises(BrokerAway):
            async with asyncio.timeout(20):
                await stuck.commit({}, {b"a": b"1"}, [])


async def test_lane_that_is_fenced_between_two_sends_is_fenced_and_not_dead(
    settings: Settings, topics: None, tmp_path: Path
) -> None:
    """aiokafka answers the second send with an error that is none of Kafka's."""
    await give(settings, 1)
    async with lane(settings) as zombie:
        got = await take(zombie, 1)
        producer = zombie._producer
        assert producer is not None
        send = producer._send

        async def slowly(*args: Any) -> Any:
            sent = await send(*args)
            await until(producer._producer._txn_manager.is_fatal_error)
            return sent

        producer._send = slowly  # type: ignore[method-assign]
        async with lane(elsewhere(settings, tmp_path / "other")):
            with pytest.raises(Fenced):
                await zombie.commit({(settings.topic("out"), 0): [record(b"zombie")]}, {}, got)
    assert await committed(settings, "out") == []


# -- who may try again


class Asked:
    """A membership whose coordinator answers as a test says."""

    id = "member"

    def __init__(self) -> None:
        self.answer = False
        self.asked = 0

    async def confirmed(self) -> bool:
        self.asked += 1
        return self.answer

    async def stop(self) -> None:
        return None


class FencedOnce:
    """A lane that is fenced the first time it is opened."""

    opened = 0

    async def run(self, opened: Callable[[], None]) -> None:
        FencedOnce.opened += 1
        if FencedOnce.opened == 1:
            raise Fenced("in-0")
        opened()
        await asyncio.Event().wait()


async def test_fenced_lane_is_not_opened_before_the_group_confirmed_its_member(settings: Settings) -> None:
    FencedOnce.opened = 0
    worker, asked = Worker(settings, "test", ["in"], lambda _: FencedOnce()), Asked()
    worker._member = asked  # type: ignore[assignment]
    await worker._assigned({PLACE}, b"", 1)
    await until(lambda: asked.asked > 2)
    assert (FencedOnce.opened, worker.lanes[PLACE].state) == (1, "waiting")
    asked.answer = True
    await until(lambda: worker.lanes[PLACE].state == "open")
    await worker._end()


class Dies:
    async def run(self, opened: Callable[[], None]) -> None:
        raise ZeroDivisionError


async def test_worker_whose_lane_has_no_task_ends_so_that_another_is_started(
    settings: Settings, topics: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_INVARIANT_S", 0.5)
    worker = Worker(settings, "test", ["in"], lambda _: Dies())
    with pytest.raises(HubError, match="without a task"):
        async with asyncio.timeout(20):
            await worker.run(asyncio.Event())


class Works:
    async def run(self, opened: Callable[[], None]) -> None:
        opened()
        await asyncio.Event().wait()


async def test_worker_that_was_killed_and_started_again_does_not_wait_for_its_own_session(
    settings: Settings, topics: None
) -> None:
    """Holding its data directory's lock it knows that its predecessor is dead, and leaves in its name. Left
    alone the session would end in five minutes."""
    patient = msgspec.structs.replace(settings, session_timeout_ms=300_000)
    killed = Worker(patient, "test", ["in"], lambda _: Works())
    running = asyncio.create_task(killed.run(asyncio.Event()))
    await until(lambda: killed.trouble() == "")
    member = killed._member
    assert member is not None
    # What SIGKILL does: no leave, no lock, no file closed in order.
    killed._home._lock.close()  # type: ignore[union-attr]
    killed._home._lock = None
    member._consumer._coordinator._group_instance_id = "leaves nothing"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    stop = asyncio.Event()
    again = Worker(patient, "test", ["in"], lambda _: Works())
    working = asyncio.create_task(again.run(stop))
    await until(lambda: again.trouble() == "")
    stop.set()
    await working
    assert not (again._home.path / ".home").read_text().splitlines()[1], (
        "who left in order needs nobody to do it"
    )


async def test_second_worker_in_one_data_directory_works(settings: Settings, topics: None) -> None:
    """Two processes of a role on one machine, the lanes divided between them; the first keeps the lock."""
    stop = asyncio.Event()
    workers = [Worker(settings, "test", ["in"], lambda _: Works()) for _ in range(2)]
    working = []
    for worker in workers:
        working.append(asyncio.create_task(worker.run(stop)))
        await until(lambda one=worker: one._home.path.is_dir() and one.trouble() == "")  # type: ignore[misc]
    assert [bool(worker._home.id) for worker in workers] == [True, False]
    stop.set()
    await asyncio.gather(*working)


# -- real processes


@contextlib.contextmanager
def router(env: dict[str, str], home: Path) -> Iterator["subprocess.Popen[bytes]"]:
    home.mkdir(exist_ok=True)
    own = {
        **env,
        "HUB_DATA_DIR": str(home),
        "HUB_SESSION_TIMEOUT_MS": "1500",
        "HUB_HEARTBEAT_INTERVAL_MS": "200",
    }
    with (home / "log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "hub", "serve", "router"], env=own, stdout=out, stderr=out
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def lanes_open(home: Path) -> int:
    return (home / "log").read_text().count('"lane.open"')


async def test_workers_come_go_and_stand_still_under_load_and_every_message_is_routed_once(
    env: dict[str, str], tmp_path: Path
) -> None:
    """1 → 2 → 1 → 2 → 1 workers: one joins, one is stopped for longer than its session and comes back a
    zombie, one leaves in order, one is killed."""
    env = {**os.environ, **env}
    settings = Settings.from_env(env)
    await provision(settings)
    cases = [a_case(number) for number in range(90)]
    expected = {one.id for case in cases for one in case}
    done = asyncio.Event()

    async def submit() -> None:
        async with open_producer(settings) as producer:
            for step in range(len(cases[0])):
                for at in range(0, len(cases), 10):
                    await asyncio.gather(*(_produce(producer, case[step]) for case in cases[at : at + 10]))
                    if not done.is_set():
                        await asyncio.sleep(0.6)  # input must not end before the workers are through

    submitting = asyncio.create_task(submit())
    first, second = tmp_path / "first", tmp_path / "second"
    with router(env, first) as one:
        await routed(settings, 20, 60)
        with router(env, second) as two:
            await until(lambda: lanes_open(second) >= 1, 30)
            had = lanes_open(first)
            two.send_signal(signal.SIGSTOP)
            await until(lambda: lanes_open(first) > had, 30)
            two.send_signal(signal.SIGCONT)
            back = lanes_open(second)
            await until(lambda: lanes_open(second) > back, 30)
            one.send_signal(signal.SIGTERM)
            one.wait()
            await routed(settings, len(await ledger(settings)) + 20, 60)
            with router(env, first) as three:
                had = lanes_open(first)
                await until(lambda: lanes_open(first) > had, 30)
                two.send_signal(signal.SIGKILL)
                done.set()
                await submitting
                lines = await routed(settings, len(expected), 90)
                three.send_signal(signal.SIGTERM)
                three.wait()
    log = (first / "log").read_text()
    assert Counter(line["messageId"] for line in lines) == dict.fromkeys(expected, 1), log[-2_000:]
    assert "Fenced" not in log, "the zombie never took a lane from its owner"
    order: dict[str, list[str]] = {}
    for event in await committed(settings, "case.events"):
        order.setdefault(event.key.decode(), []).append(dict(event.headers)["ce_id"].decode())
    assert order == {case[0].subject: [one.id for one in case] for case in cases}
