"""What a delivery lane learnt before it had to be reopened, kept by its owner across the reopening.

A transaction that the broker refused is taken again in the smallest steps; the step that is refused alone is
done otherwise (G5). Answers that came while nothing could be committed are not forgotten (G4).
"""

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
import structlog

from adapters.ports import Reply
from hub.errors import OutputRefused

log = structlog.get_logger()

Kind = Literal["take", "start", "settle", "command"]
Unit = tuple[Kind, str]
"""One step of a turn: its kind, and the dispatch id (the offset of a command)."""


class TurnRefused(OutputRefused):
    """A transaction of a delivery lane was refused; units: what it did."""

    def __init__(self, error: OutputRefused, units: list[Unit]) -> None:
        super().__init__(str(error), error.place)
        self.units = units


class Answer(msgspec.Struct, frozen=True):
    """What came back for a call whose outcome could not be committed."""

    reply: Reply
    too_late: bool


class Trouble(msgspec.Struct):
    """careful: so many steps are committed one by one. otherwise: steps that were refused alone.
    answers: (dispatch id, attempt) -> what came back; only for the next opening."""

    careful: int = 0
    otherwise: set[Unit] = msgspec.field(default_factory=set)
    answers: dict[tuple[str, int], Answer] = msgspec.field(default_factory=dict)

    def learn(self, error: TurnRefused) -> bool:
        """What to do otherwise next time; False when nothing is left to try."""
        self.careful = max(self.careful, len(error.units), 1)
        if len(error.units) != 1:
            return len(error.units) > 1
        if error.units[0] in self.otherwise:
            return False
        self.otherwise.add(error.units[0])
        return True

    def committed(self, units: list[Unit]) -> None:
        """These steps went through. What was learnt about a dispatch is forgotten when it is settled."""
        self.careful = max(0, self.careful - 1)
        for kind, what in units:
            if kind in ("settle", "command"):
                self.otherwise.discard((kind, what))
            if kind == "settle":
                self.otherwise -= {("take", what), ("start", what)}


async def taken_again(work: Callable[[], Awaitable[None]], trouble: Trouble, lane: str) -> None:
    """Run a lane's openings until one ends otherwise than by a refused transaction: first step by step, then
    the refused step is done otherwise. Raises what `work` raises; TurnRefused when nothing is left to try."""
    while True:
        try:
            await work()
        except TurnRefused as error:
            log.warning("turn.refused", lane=lane, steps=error.units[:5], reason=str(error))
            if not trouble.learn(error):
                raise
