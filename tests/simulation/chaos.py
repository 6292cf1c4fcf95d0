"""What goes wrong in a schedule, drawn from its seed: at every place where a process waits it may die,
stand still or lose its broker.

A process that died does nothing more: whatever its tasks still hold is inert. The number of faults is
bounded, so that a schedule ends.
"""

import asyncio
from contextvars import ContextVar
from random import Random

from hub.errors import BrokerAway

PAUSE_S_MAX = 12.0  # beyond the take-over and a successor's wait


class Process:
    """One process of the hub on a machine of its own. main: the task that dies with it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.stopped_since = self.stopped_until = 0.0
        self.main: asyncio.Task[None] | None = None

    def kill(self) -> None:
        """SIGKILL: nothing of it has an effect from now on."""
        self.dead = True
        if self.main is not None:
            self.main.cancel()

    def alive(self) -> None:
        """Raises CancelledError in a dead process."""
        if self.dead:
            raise asyncio.CancelledError


PROCESS: ContextVar[Process] = ContextVar("process")


class Chaos:
    """Draws faults. `likely`: the chance of one at a place; `left`: how many there still are."""

    def __init__(self, chance: Random, likely: float, faults: int) -> None:
        self.chance = chance
        self._likely = likely
        self.left = faults
        self.happened: list[str] = []

    def strikes(self, what: str, likely: float = 1.0) -> bool:
        """Whether a fault of this kind happens here and now."""
        if self.left <= 0 or self.chance.random() >= self._likely * likely:
            return False
        self.left -= 1
        process = PROCESS.get(None)
        self.happened.append(f"{what} {process.name if process else ''}".strip())
        return True

    async def point(self, where: str) -> None:
        """A place where a process waits. Raises CancelledError (it died), BrokerAway."""
        process = PROCESS.get()
        process.alive()
        if self.strikes(f"killed at {where}"):
            process.kill()
            process.alive()
        loop = asyncio.get_running_loop()
        if self.strikes(f"stopped at {where}", 0.5):
            process.stopped_since = loop.time()
            process.stopped_until = loop.time() + self.chance.uniform(0.1, PAUSE_S_MAX)
        while loop.time() < process.stopped_until:
            await asyncio.sleep(process.stopped_until - loop.time())
            process.alive()
        if self.strikes(f"broker away at {where}", 0.5):
            raise BrokerAway(f"simulated at {where}")
