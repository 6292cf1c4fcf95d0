"""Signals to the hub's own processes: ended in order, killed, and stopped past every time-out and let go
on."""

import asyncio
import signal
from functools import partial

from tests.faults.faults_of_brokers import projected
from tests.faults.run import BLIND_DOUBT, Cell, Check, Fault, Run, nothing_more
from tests.faults.world import Shape

ROUNDS = 2
STOPPED_S = 15.0
_NUMBERS = {"sigterm": signal.SIGTERM, "sigkill": signal.SIGKILL}


def ended(role: str, number: signal.Signals) -> Fault:
    """End processes of a role while they work, one after another; the supervisor starts them again."""

    async def fault(run: Run) -> None:
        names = run.world.names(role)
        for turn in range(ROUNDS):
            name = names[turn % len(names)]
            run.signal(name, number)
            await run.until(f"{name} started again", partial(_started_again, run, name))
            await run.ready(name)
            await run.more(60)

    return fault


def _started_again(run: Run, name: str) -> bool:
    state = run.world.supervisor.state(name)
    before = run.facts.setdefault("_restarts", {}).get(name, 0)
    if state.restarts > before and state.pid is not None:
        run.facts["_restarts"][name] = state.restarts
        return True
    return False


def stopped(role: str) -> Fault:
    """Stop a process past its session and its transaction, then let it go on while its successor works."""

    async def fault(run: Run) -> None:
        name = run.world.names(role)[0]
        run.signal(name, signal.SIGSTOP)
        try:
            await asyncio.sleep(STOPPED_S)
        finally:
            run.signal(name, signal.SIGCONT)
        await run.more(80)

    return fault


SHAPES = {
    "gateway": Shape(gateways=2),
    "router": Shape(),
    "delivery": Shape(routers=1, deliveries=2),
    "projector": Shape(routers=1, projectors=2, database=True),
}

# A projector's work is in the database, not in the topics.
CHECKS: dict[str, Check] = {"projector": projected}


def allowed(role: str, word: str) -> frozenset[str]:
    """Told to end, delivery drains: no call is cut in two, so nothing may stand still at a blind member."""
    return frozenset() if (role, word) == ("delivery", "sigterm") else BLIND_DOUBT


CELLS = tuple(
    Cell(
        f"{word}-{role}",
        f"{word.upper()} to the {role}, {ROUNDS} times",
        ended(role, number),
        SHAPES[role],
        allowed=allowed(role, word),
        through_gateway=role == "gateway",
        check=CHECKS.get(role, nothing_more),
    )
    for role in SHAPES
    for word, number in _NUMBERS.items()
) + tuple(
    Cell(
        f"sigstop-{role}",
        f"SIGSTOP {STOPPED_S:.0f} s, then SIGCONT, to one {role} of two",
        stopped(role),
        SHAPES[role],
        allowed=allowed(role, "sigstop"),
        through_gateway=role == "gateway",
        check=CHECKS.get(role, nothing_more),
        imposed_s=STOPPED_S,
    )
    for role in SHAPES
)
