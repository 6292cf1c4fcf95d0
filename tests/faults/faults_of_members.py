"""What members do: away, slow, out of order, talking nonsense, closing connections before or after the
work."""

import asyncio

from tests.faults.run import BLIND_DOUBT, Cell, Fault, Run
from tests.faults.town import MEMBERS, Mood
from tests.faults.world import Shape

AWAY_S = 12.0
MOOD_S = 10.0
_SHAPE = Shape(routers=1, deliveries=1)


def away(*names: str) -> Fault:
    """These members' ports are closed for AWAY_S."""

    async def fault(run: Run) -> None:
        for name in names:
            await run.town.close(name)
        await asyncio.sleep(AWAY_S)
        for name in names:
            await run.town.open(name)

    return fault


def in_mood(mood: Mood) -> Fault:
    """All members answer so for MOOD_S."""

    async def fault(run: Run) -> None:
        run.town.all_moods(mood)
        await asyncio.sleep(MOOD_S)
        run.town.all_moods(Mood.WELL)
        run.facts["calls"] = {name: receiver.calls for name, receiver in run.town.receivers.items()}
        run.facts["queries"] = {name: receiver.queries for name, receiver in run.town.receivers.items()}

    return fault


_ABOUT = {
    Mood.SLOW: "members do the work and answer after 10 s (half of the calls)",
    Mood.ERROR: "members answer 500, half of these after doing the work",
    Mood.GARBAGE: "members answer garbage, half of these after doing the work",
    Mood.CUT: "members close the connection after reading the request, nothing done",
    Mood.LOST_REPLY: "members do the work and close the connection without a reply",
}

CELLS = (
    Cell(
        "member-down",
        f"all members refuse connections for {AWAY_S:.0f} s",
        away(*MEMBERS),
        _SHAPE,
        allowed=frozenset(),
        imposed_s=AWAY_S,
    ),
    *(
        Cell(
            f"member-{mood.value.replace('_', '-')}",
            about,
            in_mood(mood),
            _SHAPE,
            allowed=BLIND_DOUBT,
            imposed_s=MOOD_S,
        )
        for mood, about in _ABOUT.items()
    ),
)
