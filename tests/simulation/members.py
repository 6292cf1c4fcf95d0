"""The members of a schedule: what was written to them happens, whether or not the process that wrote it
is still alive."""

import asyncio
from collections.abc import Callable

from adapters.ports import Dispatch, Reply, ReplyKind, TooLate
from hub.directory.model import Guarantee, Member
from tests.faults.town import Effect
from tests.simulation.chaos import PROCESS, Chaos

FAILING = 0.25


class SimMember:
    """One member's business. An effect happens within the call time-out after the request was written."""

    def __init__(self, member: Member, chaos: Chaos) -> None:
        self._policy = member.delivery
        self._chaos = chaos
        self.effects: list[Effect] = []
        self.held: set[str] = set()
        self.unwell = 0  # calls still to fail

    async def deliver(self, dispatch: Dispatch, may_start: Callable[[], bool]) -> Reply:
        chance = self._chaos.chance
        process = PROCESS.get()
        await asyncio.sleep(chance.uniform(0.0, 0.05))
        await self._chaos.point("connecting to a member")
        fails = self._chaos.strikes("a member fails", 2.0)
        if fails and chance.random() < FAILING:
            return Reply(kind=ReplyKind.UNREACHABLE, code="refused")
        if not may_start():
            raise TooLate
        process.alive()
        loop = asyncio.get_running_loop()
        effect_s = chance.uniform(0.0, self._policy.call_timeout_ms / 1000 if fails else 0.05)
        happens = not fails or chance.random() < 0.5
        again = dispatch.id in self.held and self._policy.guarantee is Guarantee.IDEMPOTENT
        if happens:
            loop.call_later(effect_s, self._do, dispatch)
        await self._chaos.point("waiting for a reply")
        await asyncio.sleep(effect_s + 0.001)
        process.alive()
        if fails:
            return Reply(kind=ReplyKind.UNKNOWN, code="unanswered")
        return Reply(kind=ReplyKind.ALREADY_DONE if again else ReplyKind.DONE)

    def _do(self, dispatch: Dispatch) -> None:
        if self._policy.guarantee is Guarantee.IDEMPOTENT and dispatch.id in self.held:
            return
        self.held.add(dispatch.id)
        at = asyncio.get_running_loop().time()
        self.effects.append(Effect(dispatch.id, dispatch.message_id, dispatch.case_no, at))

    async def query(self, dispatch: Dispatch) -> Reply:
        await self._chaos.point("asking a member")
        held = dispatch.id in self.held
        return Reply(kind=ReplyKind.DONE if held else ReplyKind.ABSENT)

    async def close(self) -> None:
        return None
