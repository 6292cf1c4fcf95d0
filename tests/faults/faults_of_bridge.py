"""Signals to the bridge between two clusters while dispatches to the other hub keep coming: what arrives
there is judged by id.

The router before it and the hub behind it are not part of these cells: what they do is judged by the
others.
"""

import asyncio
import signal
import time
from collections import defaultdict
from pathlib import Path

from hub.embedded.kafka import EmbeddedKafka
from hub.embedded.process import free_port
from hub.kafka import IntakeProducer, Record
from hub.local.regions import SOUTH
from hub.supervisor import ProcessSpec, Supervisor
from tests.faults.run import Cell, Outcome
from tests.faults.verdict import Verdict
from tests.faults.witness import longest_pause_s
from tests.faults.world import Servers, serve
from tests.integration.bridge_harness import Regions, Registry, committed, dispatched, id_of, message
from tests.servers import Kafka

RATE = 60.0
CASES = 20
ROUNDS = 2
STOPPED_S = 15.0
WAIT_S_MAX = 90.0
DELIVER = "deliver." + SOUTH


class Flow:
    """Dispatches to the other hub, acknowledged by the near cluster, in order per case."""

    def __init__(self, regions: Regions) -> None:
        self._regions = regions
        self.sent: list[tuple[str, str]] = []
        self.over = False

    async def run(self) -> None:
        producer = IntakeProducer(self._regions.near)
        await producer.start()
        try:
            while not self.over:
                number = len(self.sent)
                one = message(number, case=number % CASES)
                key, value, headers, _ = dispatched(one)
                await producer.send(DELIVER, key or b"", value or b"", headers)
                self.sent.append((one.id, one.subject))
                await asyncio.sleep(1 / RATE)
        finally:
            await producer.stop()


class Arrivals:
    """When how many records had arrived: looked at twice a second."""

    def __init__(self, regions: Regions) -> None:
        self._regions = regions
        self.at: list[float] = []
        self.records: list[Record] = []

    async def look(self) -> int:
        self.records = await committed(self._regions.far, "case.inbound")
        self.at += [time.monotonic()] * (len(self.records) > len(self.at))
        return len(self.records)

    async def more(self, count: int) -> None:
        wanted, until = await self.look() + count, time.monotonic() + WAIT_S_MAX
        while await self.look() < wanted:
            if time.monotonic() > until:
                raise TimeoutError(f"{count} more copies")
            await asyncio.sleep(0.5)


async def play(cell: Cell, base: Path, servers: Servers) -> Outcome:
    """Two clusters, two bridge processes, one of them signalled."""
    began = time.monotonic()
    path = base / cell.name
    path.mkdir(parents=True)
    near = await asyncio.to_thread(servers.shared)
    far = EmbeddedKafka(path / "far-kafka")
    await asyncio.to_thread(far.start)
    try:
        async with Registry().serving() as registry:
            regions = Regions(Kafka(near), Kafka(far.bootstrap), f"{cell.name}.", path, registry.url)
            await regions.make_topics()
            names = ("bridge-1", "bridge-2")
            supervisor = Supervisor([_spec(regions, name) for name in names], path / "logs")
            try:
                await asyncio.to_thread(supervisor.start)
                flow, arrivals = Flow(regions), Arrivals(regions)
                flowing = asyncio.create_task(flow.run())
                await arrivals.more(50)
                load_began = time.monotonic()
                await _strike(cell.name, supervisor, arrivals)
                load_ended = time.monotonic()
                flow.over = True
                await flowing
                until = time.monotonic() + WAIT_S_MAX
                while await arrivals.look() < len(flow.sent) and time.monotonic() < until:
                    await asyncio.sleep(0.5)
                facts = {"restarts": {s.name: s.restarts for s in supervisor.states() if s.restarts}}
            finally:
                await asyncio.to_thread(supervisor.stop)
            await arrivals.look()
        inside = [at for at in arrivals.at if load_began <= at <= load_ended]
        gap = round(longest_pause_s(inside, load_began, load_ended), 1)
        verdict = judge(flow.sent, arrivals.records)
        seconds = round(time.monotonic() - began, 1)
        return Outcome(cell.name, cell.about, verdict, gap, gap, cell.imposed_s, seconds, facts)
    finally:
        await asyncio.to_thread(far.stop)


def _spec(regions: Regions, name: str) -> ProcessSpec:
    listen = f"127.0.0.1:{free_port()}"
    env = {
        **regions.env,
        "HUB_WORKER_ID": name,
        "HUB_METRICS_LISTEN": listen,
        "HUB_TRANSACTION_TIMEOUT_MS": "15000",
    }
    return ProcessSpec(name, serve("bridge"), env, f"http://{listen}/healthz")


async def _strike(cell: str, supervisor: Supervisor, arrivals: Arrivals) -> None:
    if cell.startswith("sigstop"):
        for name in supervisor.pids:
            supervisor.kill(name, signal.SIGSTOP)
            try:
                await asyncio.sleep(STOPPED_S)
            finally:
                supervisor.kill(name, signal.SIGCONT)
            await arrivals.more(100)
        return
    number = signal.SIGTERM if cell.startswith("sigterm") else signal.SIGKILL
    for _ in range(ROUNDS):
        for name in list(supervisor.pids):  # whoever has the lane is among them
            supervisor.kill(name, number)
            await arrivals.more(100)


def judge(sent: list[tuple[str, str]], arrived: list[Record]) -> Verdict:
    """Everything that was to cross is there once and in order."""
    ids = [id_of(record) for record in arrived]
    verdict = Verdict(accepted=len(sent), dispatches=len(sent), effects=len(ids))
    verdict.lost = verdict.note("not copied", {id_ for id_, _ in sent} - set(ids))
    seen: set[str] = set()
    twice = {id_ for id_ in ids if id_ in seen or seen.add(id_)}  # type: ignore[func-returns-value]
    verdict.duplicated = verdict.note("copied twice", twice)
    verdict.torn = verdict.note("copied and never sent", set(ids) - {id_ for id_, _ in sent})
    wanted: dict[str, list[str]] = defaultdict(list)
    for id_, case in sent:
        wanted[case].append(id_)
    got: dict[str, list[str]] = defaultdict(list)
    for record, id_ in zip(arrived, ids, strict=True):
        got[(record.key or b"").decode()].append(id_)
    wrong = [case for case in wanted if got[case] != [id_ for id_ in wanted[case] if id_ in set(got[case])]]
    verdict.order_violations = verdict.note("out of order", wrong)
    return verdict


async def _no_fault(run: object) -> None:
    """These cells are played by `play`."""


CELLS = tuple(
    Cell(f"{word}-bridge", about, _no_fault, play=play, allowed=frozenset(), imposed_s=imposed)
    for word, about, imposed in (
        ("sigterm", f"SIGTERM to both bridge processes in turn, {ROUNDS} times", 0.0),
        ("sigkill", f"SIGKILL to both bridge processes in turn, {ROUNDS} times", 0.0),
        ("sigstop", f"SIGSTOP {STOPPED_S:.0f} s, then SIGCONT, to each of two bridge processes", STOPPED_S),
    )
)
