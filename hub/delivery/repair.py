"""Carries an operator's command out on one delivery lane, within the lane's turn (G5, R27). What a command
means for a standstill is in commands.py."""

import time
from typing import Final

import structlog

from hub.delivery import commands
from hub.delivery.book import Book
from hub.delivery.commands import Command, Next
from hub.delivery.model import (
    SUSPENDED_KEY,
    Settled,
    Suspended,
    case_range,
    decode_suspended,
    encode,
    hold_key,
    queue_key,
)
from hub.delivery.turn import Log, Turn
from hub.directory.model import Guarantee, Member
from hub.kafka import Record
from hub.lanes.clock import ClockGuard
from hub.lanes.lane import Lane

log = structlog.get_logger()

_COUNT_MAX: Final = 10_000_000


class Repair:
    """Commands of one member's lane. suspended: set while nobody may be called."""

    def __init__(self, lane: Lane, book: Book, contents: Log, member: Member, clock: ClockGuard) -> None:
        self._lane = lane
        self._book = book
        self._contents = contents
        self._member = member
        self._clock = clock
        self.suspended: Suspended | None = None

    def load(self) -> None:
        """After opening. Raises ValueError for an unknown format."""
        raw = self._lane.get_many([SUSPENDED_KEY])[0]
        self.suspended = decode_suspended(raw) if raw is not None else None

    async def command(self, record: Record, turn: Turn) -> None:
        """One record of commands.delivery.<member>. What cannot be read or fits no standstill is used up and
        logged."""
        subject = (record.key or b"").decode(errors="replace")
        if turn.refused_alone("command", str(record.offset)):
            log.error("command.output_refused", member=self._member.id, case_no=subject)
            return
        try:
            command = commands.decode(record.value or b"")
        except ValueError as error:
            log.error("command.unreadable", member=self._member.id, case_no=subject, reason=str(error))
            return
        words = {"command": command.command, "by": command.by, "reason": command.reason, "act": command.act}
        if command.command in ("suspend", "resume"):
            self._whole_member(command, turn)
            log.warning("command", member=self._member.id, **words)
            return
        if command.command == "acknowledge_clock":
            self._clock.acknowledge(command.jump_ms, command.by, command.reason)
            return
        refusal = await self._case(subject, command, turn)
        done = "command" if not refusal else "command.without_effect"
        log.info(done, member=self._member.id, case_no=subject, why=refusal, **words)

    def _whole_member(self, command: Command, turn: Turn) -> None:
        suspended = command.command == "suspend"
        self.suspended = Suspended(command.by, command.reason, int(time.time() * 1000)) if suspended else None
        turn.changes[SUSPENDED_KEY] = encode(self.suspended) if self.suspended else None

    async def _case(self, subject: str, command: Command, turn: Turn) -> str:
        """Let the case go on; "" when done, otherwise why not."""
        hold = turn.hold(subject)
        head = turn.head(subject) if hold is not None else None
        step = commands.step_for(command, hold, head.attempts if head else 0)
        if isinstance(step, str):
            return step
        assert hold is not None
        if head is None or head.dispatch_id != hold.dispatch_id:
            return "head_missing"
        waiting = sum(1 for _ in self._lane.range(*case_range(subject), _COUNT_MAX))
        turn.changes[hold_key(subject)] = None
        if step.next is Next.AGAIN:
            case = self._book.released(subject, waiting)
            # A queryable member may hold it by now: it is asked before it is called again.
            case.query_first = self._member.delivery.guarantee is Guarantee.QUERYABLE and head.attempts > 0
            return ""
        turn.changes[queue_key(subject, head.seq)] = None
        if step.outcome is not None:
            settled = Settled(step.outcome, step.code, commands.detail_of(command))
            turn.out.outcome(await self._contents.filled(head), settled)
        case = self._book.released(subject, waiting - 1)
        case.last_seq = head.seq
        return ""
