"""One schedule: cases come in, two processes try for every lane, faults happen, and the books are judged
when all is quiet."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import hub.delivery.lane
import hub.delivery.role
import hub.delivery.turn
import hub.lanes.lane
import hub.lanes.restore
import hub.router.role
from hub import directory, envelope
from hub.config import Settings
from hub.errors import HubError, LaneStopped
from hub.kafka import TopicPartition
from hub.lanes.clock import ClockGuard
from hub.routing.tables import Limits, Tables
from tests.faults.load import DIRECTORY, Sent, a_case, message_of
from tests.faults.town import BLIND, MEMBERS
from tests.faults.verdict import Verdict, judge, ledgers_of
from tests.faults.witness import Seen
from tests.simulation import clock
from tests.simulation.chaos import PROCESS, Chaos, Process
from tests.simulation.log import Log, LogProducer, LogReader
from tests.simulation.members import SimMember
from tests.simulation.stores import Disks, DiskStore

CASES = 3
STEPS = 3
FAULTS = 6
LIKELY = 0.02
TICK_S = 1.0
POLL_WAIT_MS = 2_000
QUIET_S_MAX = 400.0
TAKE_OVER_S = 6.0
ALLOWED = frozenset(f"{member} {how}" for member in BLIND for how in ("in_doubt", "behind"))
_ENV = {f"HUB_MEMBER_{name.upper()}_{what}": "http://127.0.0.1:1" for name in MEMBERS for what in
        ("URL", "OUTBOUND_KEY", "INBOUND_KEY")}  # fmt: skip


@cache
def _tables() -> tuple[Tables, dict[str, Any]]:
    known = directory.load(DIRECTORY, _ENV)
    return Tables(known, {}, Limits()), dict(known.members)


@cache
def _case(number: int) -> tuple[tuple[Sent, envelope.Message], ...]:
    return tuple((one, message_of(one)) for one in a_case(f"simulated {number}", STEPS))


def _steady_ms() -> int:
    return int(time.monotonic() * 1000)


class Schedule:
    """Everything of one seed. `verdict` and `chaos.happened` tell how it went."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = Random(seed)
        self.chaos = Chaos(self.chance, LIKELY, self.chance.randint(1, FAULTS))
        self.sent: dict[str, Sent] = {}
        self.owner: dict[str, int] = {}
        self.working: dict[str, Process] = {}
        self.members: dict[str, SimMember] = {}
        self.over = False
        self.stopped: list[str] = []
        self.defects: list[Exception] = []

    # -- the world

    async def run(self) -> Verdict:
        """Play it. Returns the verdict."""
        self.log = LogProducer.log = LogReader.log = Log(self.chaos)
        self.disks = DiskStore.disks = Disks()
        _, known = _tables()
        self.members = {name: SimMember(known[name], self.chaos) for name in MEMBERS}
        lanes = ["router", *MEMBERS]
        self.owner = {lane: self.chance.randrange(2) for lane in lanes}
        self.changed = {lane: asyncio.Event() for lane in lanes}
        workers = [asyncio.create_task(self._worker(lane, number)) for lane in lanes for number in range(2)]
        feeding = asyncio.create_task(self._feed())
        moving = asyncio.create_task(self._rebalance())
        await feeding
        quiet = await self._until_quiet()
        self.over = True
        for task in (*workers, moving):
            task.cancel()
        await asyncio.gather(*workers, moving, return_exceptions=True)
        books = {name: member.effects for name, member in self.members.items()}
        # What is refused alone parks its case: by design, and only then.
        allowed = ALLOWED | {
            f"{lane} {how}"
            for lane in lanes
            for how in ("parked", "behind")
            if any(what.startswith(f"output refused {lane}") for what in self.chaos.happened)
        }
        verdict = judge(self.sent, ledgers_of(self._seen()), books, allowed)
        verdict.notes += self.stopped
        if not quiet:
            verdict.notes.append("not quiet in time")
        return verdict

    async def _feed(self) -> None:
        """Cases side by side, in order per case; some messages are handed in again."""
        left = [list(_case(number)) for number in range(CASES)]
        handed: list[envelope.Message] = []
        while any(left):
            case = self.chance.choice([one for one in left if one])
            early = self.chance.random() < 0.1  # a step overtakes the one before it
            one, message = case.pop(1 if early and len(case) > 1 else 0)
            self._hand_in(message)
            self.sent[one.id] = one
            handed.append(message)
            if self.chance.random() < 0.15:
                self._hand_in(self.chance.choice(handed))
            if self.chance.random() < 0.7:
                await asyncio.sleep(self.chance.choice((0.01, 0.3, 2.0)))

    def _hand_in(self, message: envelope.Message) -> None:
        record = (message.subject.encode(), message.value, envelope.to_headers(message), message.time_ms)
        self.log.append(("case.inbound", 0), [record])

    def _seen(self) -> list[Seen]:
        return [
            Seen(topic, partition, entry.offset, entry.key or b"", dict(entry.headers), entry.value or b"")
            for (topic, partition) in list(self.log.entries)
            if not topic.endswith(".changelog")
            for entry in self.log.committed((topic, partition))
        ]

    def _finished(self) -> bool:
        ledgers = ledgers_of(self._seen())
        listed = {
            entry["id"]
            for lines in ledgers.lines.values()
            for line in lines
            for entry in line["dispatches"]  # type: ignore[attr-defined]
        }
        return set(self.sent) <= set(ledgers.lines) and listed <= set(ledgers.outcome)

    async def _until_quiet(self) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + QUIET_S_MAX
        while loop.time() < until:
            if self.defects:
                raise AssertionError(f"seed {self.seed}: a lane died") from self.defects[0]
            if self._finished():
                await asyncio.sleep(6)  # what is still on its way shows itself now
                return True
            await asyncio.sleep(2)
        return False

    # -- who tries

    async def _rebalance(self) -> None:
        """Lanes change hands now and then, whatever their owners are doing."""
        while True:
            await asyncio.sleep(self.chance.uniform(0.5, 8.0))
            self._expel_the_stopped()
            lane = self.chance.choice(list(self.owner))
            if self.chaos.strikes(f"rebalance of {lane}", 10.0):
                self._give(lane, 1 - self.owner[lane])

    def _expel_the_stopped(self) -> None:
        """Who gave no sign for a session time-out loses its lane to the other."""
        now = asyncio.get_running_loop().time()
        for lane, process in self.working.items():
            if process.stopped_until > now and process.stopped_since + TAKE_OVER_S < now:
                number = int(process.name[-1])
                if self.owner[lane] == number:
                    self._give(lane, 1 - number)

    def _give(self, lane: str, number: int) -> None:
        self.owner[lane] = number
        self.changed[lane].set()
        self.changed[lane] = asyncio.Event()

    async def _changed(self, lane: str, wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.changed[lane].wait(), wait_s)

    async def _worker(self, lane: str, number: int) -> None:
        """One of a lane's two candidates: it works while it believes to be the owner, and learns late
        that it is not."""
        while not self.over:
            if self.owner[lane] != number:
                await self._changed(lane, 60.0)
                continue
            process = Process(f"{lane}/{number}")
            PROCESS.set(process)
            self.working[lane] = process
            process.main = asyncio.create_task(self._keep(lane, process))
            until_told = self.chance.uniform(0.0, 3.0)
            told = asyncio.create_task(self._changed(lane, 1_000.0))
            await asyncio.wait({process.main, told}, return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            if not process.main.done():
                # A stopped process learns nothing before it goes on.
                left_s = max(0.0, process.stopped_until - asyncio.get_running_loop().time())
                await asyncio.wait({process.main}, timeout=left_s + until_told)
            process.main.cancel()
            await asyncio.gather(process.main, return_exceptions=True)
            if self.defects:
                return
            if process.dead:
                await self._take_over(lane, number, process)

    async def _take_over(self, lane: str, number: int, process: Process) -> None:
        """The other one notices after its session time-out, unless this one is back before."""
        if self.chance.random() < 0.3:
            self.disks.lose(process.name.replace("/", "-"))
        if self.chance.random() < 0.5:
            await asyncio.sleep(TAKE_OVER_S)
            self._give(lane, 1 - number)
        else:
            await asyncio.sleep(self.chance.uniform(0.2, 3.0))

    async def _keep(self, lane: str, process: Process) -> None:
        """What hub.lanes.worker does: reopen after what reopening cures."""
        runner = self._runner(lane, process)
        while True:
            try:
                await runner.run(lambda: None)
            except LaneStopped as error:
                self.stopped.append(f"{lane} stopped: {error}")
                return
            except HubError:
                await asyncio.sleep(0.5)
            except Exception as error:
                self.defects.append(error)
                raise

    def _runner(self, lane: str, process: Process) -> Any:
        settings = Settings(
            kafka_bootstrap="127.0.0.1:1",
            data_dir=Path("machines") / process.name.replace("/", "-"),
            directory_dir=DIRECTORY,
            files_dir=Path("files"),
            pseudonym_key=b"0123456789abcdef",
            poll_wait_ms=POLL_WAIT_MS,
        )
        tables, known = _tables()
        role: Any = SimpleNamespace(
            settings=settings,
            tables=SimpleNamespace(current=tables),
            members=known,
            cluster_id="simulated",
            partitions=1,
            resources=SimpleNamespace(restores=asyncio.Semaphore(4)),
            standbys=None,
            clock=ClockGuard(settings, wall=lambda: int(time.time() * 1000), steady=_steady_ms),
            stats={},
            troubles={},
            unusable={},
            working={},
            worker=SimpleNamespace(restoring=lambda place: lambda progress: None),
        )
        if lane == "router":
            return hub.router.role._Runner(role, TopicPartition("case.inbound", 0))
        return hub.delivery.role._Runner(role, TopicPartition(f"deliver.{lane}", 0))

    async def port(self, config: Any) -> SimMember:
        """Stands in for adapters.factory.open_port."""
        name = next(n for n in MEMBERS if _tables()[1][n].id == config.member)
        return self.members[name]


@contextlib.contextmanager
def stand_ins(schedule: Schedule) -> Iterator[None]:
    """The hub's lanes get the simulated log, store and members."""
    wanted: list[tuple[Any, str, Any]] = [
        (hub.lanes.lane, "LaneProducer", LogProducer),
        (hub.lanes.lane, "Reader", LogReader),
        (hub.delivery.turn, "Reader", LogReader),
        (hub.lanes.lane, "Store", DiskStore),
        (hub.delivery.role, "open_port", schedule.port),
        (hub.delivery.lane, "_TICK_S", TICK_S),  # an idle lane looks less often: a schedule is mostly idle
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in wanted]
    for owner, name, new in wanted:
        setattr(owner, name, new)
    try:
        yield
    finally:
        for owner, name, old in before:
            setattr(owner, name, old)


def play(seed: int) -> tuple[Verdict, Schedule]:
    """Run one schedule."""
    schedule = Schedule(seed)
    with stand_ins(schedule):
        return clock.run(schedule.run, schedule.chance), schedule
