"""One cell: an installation under load, a fault, the load's end, the verdict."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas import codec
from tests.faults.load import Direct, Load, ThroughGateway
from tests.faults.town import BLIND, Town
from tests.faults.verdict import Verdict, judge, ledgers_of
from tests.faults.witness import Seen, Witness, caught_up, longest_gap_s, longest_pause_s
from tests.faults.world import Servers, Shape, World, restarts

RATE = 30.0
WARM_S = 3.0
AFTER_S = 4.0
DRAIN_S_MAX = 75.0

# What a blind member may show after a fault that cut a call in two: in doubt, and what waits behind.
BLIND_DOUBT = frozenset(f"{member} {how}" for member in BLIND for how in ("in_doubt", "behind"))


@dataclass
class Run:
    """A cell while it runs: what a fault may take hold of."""

    world: World
    town: Town
    load: Load
    witness: Witness
    facts: dict[str, Any] = field(default_factory=dict)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one of the hub's processes."""
        self.world.supervisor.kill(name, number)

    async def until(self, what: str, true: Callable[[], bool], wait_s: float = 60.0) -> None:
        """Wait for something to become true. Raises TimeoutError naming it."""
        ends = time.monotonic() + wait_s
        while not true():
            if time.monotonic() > ends:
                raise TimeoutError(what)
            await asyncio.sleep(0.05)

    async def more(self, records: int, topic: str = "case.routed", wait_s: float = 60.0) -> None:
        """Until the witness saw so many further records of a topic: work goes on."""
        wanted = self.seen(topic) + records
        await self.until(f"{records} more records on {topic}", lambda: self.seen(topic) >= wanted, wait_s)

    def seen(self, topic: str) -> int:
        """Records of a topic that the witness saw."""
        return sum(1 for one in list(self.witness.seen) if one.topic == topic)

    async def ready(self, *names: str) -> None:
        """Until these processes are ready again."""
        await asyncio.to_thread(self.world.supervisor.wait_ready, names)


DEFAULT_SHAPE = Shape()
Fault = Callable[[Run], Awaitable[None]]
Check = Callable[[Run, list[Seen]], Awaitable[list[str]]]


async def nothing_more(run: Run, seen: list[Seen]) -> list[str]:
    """A cell without a finding of its own."""
    return []


@dataclass(frozen=True)
class Cell:
    """One fault. allowed: what may stand still afterwards (verdict.py). through_gateway: the load is
    signed requests. check: findings beyond the verdict, as sentences. imposed_s: how long the fault
    itself lasts, for the reader of the gap."""

    name: str
    about: str
    fault: Fault
    shape: Shape = DEFAULT_SHAPE
    allowed: frozenset[str] = BLIND_DOUBT
    through_gateway: bool = False
    check: Check = nothing_more
    imposed_s: float = 0.0
    rate: float = RATE
    drain_s: float = DRAIN_S_MAX
    skip: Callable[[], str] = lambda: ""
    play: "Callable[[Cell, Path, Servers], Awaitable[Outcome]] | None" = None


@dataclass(frozen=True)
class Outcome:
    """A cell's result as it is kept. gap_s: longest time without a new line on a partition of
    case.routed while load came; effect_gap_s: the same for effects at all members together."""

    cell: str
    about: str
    verdict: Verdict
    gap_s: float
    effect_gap_s: float
    imposed_s: float
    seconds: float
    facts: dict[str, Any]


async def run_cell(cell: Cell, base: Path, servers: Servers) -> Outcome:
    """Run one cell. Raises what a broken installation raises; a finding is no exception but a figure."""
    if cell.play is not None:
        return await cell.play(cell, base, servers)
    began = time.monotonic()
    async with Town() as town:
        world = World(base, f"f-{cell.name}", cell.shape, servers, town.env())
        try:
            await world.start()
            settings = world.outside
            witness = Witness(settings)
            sender = ThroughGateway(world.gateway_urls) if cell.through_gateway else Direct(settings)
            load = Load(sender.send, cell.rate, cell.name)
            run = Run(world, town, load, witness)
            witness.start()
            load.start()
            try:
                if cell.shape.routers:
                    await run.more(5)
                await asyncio.sleep(WARM_S)
                await cell.fault(run)
                await asyncio.sleep(AFTER_S)
                await load.stop()
                await _drained(run, cell)
                # What is committed while the topics are read again is younger than that reading: no loss.
                before = list(witness.seen)
                seen = await caught_up(witness, settings, 10)
            finally:
                await run.stack.aclose()
                await sender.close()
                witness.stop()
            verdict = await _verdict(cell, run, before, seen)
            run.facts |= {"restarts": restarts(world), "sent_again": load.sent_again}
            return Outcome(
                cell.name,
                cell.about,
                verdict,
                round(longest_gap_s(witness.seen, "case.routed", load.began, load.ended), 1),
                round(_effect_gap_s(run), 1),
                cell.imposed_s,
                round(time.monotonic() - began, 1),
                run.facts,
            )
        finally:
            await world.stop()


async def _drained(run: Run, cell: Cell) -> None:
    """Until nothing is in flight any more, or drain_s is over: then the verdict shows what is missing."""
    until = time.monotonic() + cell.drain_s
    in_flight = _InFlight()
    while time.monotonic() < until:
        in_flight.learn(run.witness.seen)
        if set(run.load.acknowledged) <= in_flight.routed and in_flight.listed <= in_flight.ended:
            return
        await asyncio.sleep(0.5)


class _InFlight:
    """What the witness saw begin and end, record by record. To decode all of it again every time would keep
    this process from what else it does: it is the members too, and their answers would come too late."""

    def __init__(self) -> None:
        self._known = 0
        self.routed: set[str] = set()
        self.listed: set[str] = set()
        self.ended: set[str] = set()

    def learn(self, seen: list[Seen]) -> None:
        """Take in what came since the last time."""
        for one in seen[self._known :]:
            self._known += 1
            if one.topic == "case.routed":
                line = codec.decode(one.value)[1]
                self.routed.add(line["messageId"])
                self.listed.update(entry["id"] for entry in line["dispatches"])
            elif one.topic == "case.outcomes":
                self.ended.add(codec.decode(one.value)[1]["dispatchId"])


async def _verdict(cell: Cell, run: Run, before: list[Seen], seen: list[Seen]) -> Verdict:
    books = {name: receiver.effects for name, receiver in run.town.receivers.items()}
    verdict = judge(run.load.acknowledged, ledgers_of(seen), books, cell.allowed)
    earlier = {(one.topic, one.partition, one.offset) for one in before}
    witnessed = {(one.topic, one.partition, one.offset) for one in run.witness.seen}
    found = {(one.topic, one.partition, one.offset) for one in seen}
    verdict.lost += verdict.note("seen committed and gone later", map(str, earlier - found))
    verdict.lost += verdict.note("committed and never seen by the witness", map(str, found - witnessed))
    if run.witness.trouble:
        verdict.notes.append(f"witness: {run.witness.trouble}")
    for finding in await cell.check(run, seen):
        verdict.unexpected += 1
        verdict.notes.append(finding)
    return verdict


def _effect_gap_s(run: Run) -> float:
    at = sorted(effect.at for receiver in run.town.receivers.values() for effect in receiver.effects)
    inside = [moment for moment in at if run.load.began <= moment <= run.load.ended]
    return longest_pause_s(inside, run.load.began, run.load.ended)
