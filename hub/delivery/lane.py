"""A delivery lane: takes dispatches in, writes an intent, calls the member, records the outcome (G4, G5).
Never holds a transaction across a call.

One rolling transaction commits whatever happened since the last: records taken in, intents of calls about to
start, outcomes of calls
that came back. The committed position means taken in, not delivered.
"""

import asyncio
import time
from typing import Final

import msgspec
import structlog

from adapters.ports import MemberPort, ReplyKind
from hub.config import Settings
from hub.delivery.book import Book, Case
from hub.delivery.breaker import Breaker
from hub.delivery.calls import OURS, Calls, Done
from hub.delivery.model import (
    Again,
    Entry,
    Hold,
    Intent,
    Outcome,
    Settled,
    encode,
    hold_key,
    intent_key,
    queue_key,
)
from hub.delivery.records import Outbox, entry_of, lapsed
from hub.delivery.resolve import recovery_wait_ms, resolve, resolve_query
from hub.directory.model import Guarantee, Member
from hub.errors import LaneStopped
from hub.kafka import Record
from hub.lanes.clock import ClockGuard
from hub.lanes.lane import Lane

log = structlog.get_logger()

_POLL_RECORDS_MAX: Final = 500
_TICK_S: Final = 0.2
# Answers that show the member is there.
_ANSWERED: Final = frozenset({ReplyKind.DONE, ReplyKind.ALREADY_DONE, ReplyKind.REFUSED, ReplyKind.MALFORMED})
# Answers that show the call had no effect: its intent is no open question to a successor.
_NOT_DONE: Final = frozenset({ReplyKind.UNREACHABLE, ReplyKind.TRY_LATER})


class DeliveryStats(msgspec.Struct):
    """What the console shows of a lane."""

    taken_in: int = 0
    calling: int = 0
    delivered: int = 0
    holds: int = 0
    breaker: str = "closed"
    last_delivery_ms: int = 0
    last_error: str = ""


class DeliveryLane:
    """The work on one open lane. The owner opens and closes the lane (hub/delivery/role.py)."""

    def __init__(
        self,
        settings: Settings,
        lane: Lane,
        member: Member,
        port: MemberPort,
        partitions: int,
        stats: DeliveryStats,
        clock: ClockGuard,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._lane = lane
        self._member = member
        self._policy = member.delivery
        self._partitions = partitions
        self._stats = stats
        self._book = Book()
        self._breaker = Breaker(self._policy.retry_delay_ms_min, self._policy.retry_delay_ms_max)
        self._calls = Calls(member.id, self._policy, port)
        self._poll: asyncio.Task[list[Record]] | None = None

    async def run(self) -> None:
        """Work until cancelled. Raises what Lane.commit raises, and LaneStopped for a state that cannot be
        read; a call under way is then cancelled and counts as unknown."""
        try:
            await self._recover()
            while True:
                records = await self._next_records()
                await self._turn(records)
        finally:
            if self._poll is not None:
                self._poll.cancel()
                await asyncio.gather(self._poll, return_exceptions=True)
            await self._calls.stop()

    async def _recover(self) -> None:
        """Calls whose intent is committed and whose outcome is not: they may have happened, or may still be
        happening elsewhere."""
        try:
            recovered = await self._book.load(self._lane)
        except ValueError as error:
            raise LaneStopped(str(error)) from error
        wait_s = recovery_wait_ms(self._policy) / 1000
        for case, intent in recovered:
            if not case.queue or case.queue[0].seq != intent.seq:
                continue
            match self._policy.guarantee:
                case Guarantee.IDEMPOTENT:
                    pass
                case Guarantee.QUERYABLE:
                    case.query_first, case.not_before = True, time.monotonic() + wait_s
                case Guarantee.BLIND:
                    # Settled as in doubt once the predecessor's call can no longer be running.
                    self._calls.settle_blind(case, case.queue[0], wait_s)
                    self._book.started(case)

    # -- one turn of the rolling transaction

    async def _next_records(self) -> list[Record]:
        """Wait for input, for a call that came back, or for a case that becomes ready."""
        book, now = self._book, time.monotonic()
        # An open breaker over an empty queue has nothing to probe with: then intake goes on.
        intake = book.taken_in < self._policy.taken_in_max and (
            not self._breaker.is_open or book.taken_in == 0
        )
        if self._poll is None and intake:
            self._poll = asyncio.create_task(self._lane.poll(self._settings.poll_wait_ms, _POLL_RECORDS_MAX))
        waking = asyncio.create_task(self._calls.wake.wait())
        try:
            await asyncio.wait(
                {waking, *([self._poll] if self._poll else [])},
                timeout=self._idle_s(now),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            waking.cancel()
        self._calls.wake.clear()
        if self._poll is not None and self._poll.done():
            poll, self._poll = self._poll, None
            return poll.result()
        return []

    def _room(self, now: float) -> int:
        """How many calls may start now."""
        return self._breaker.allowed(now, self._book.calling, self._policy.calls_in_flight_max)

    def _idle_s(self, now: float) -> float:
        """Seconds until a delayed case becomes ready. Without room for a call there is nothing to hurry
        for."""
        due = self._book.next_due() if self._room(now) > 0 else None
        return min(_TICK_S, max(0.0, due - now)) if due is not None else _TICK_S

    async def _turn(self, records: list[Record]) -> None:
        changes: dict[bytes, bytes | None] = {}
        out = Outbox(self._settings, self._member, self._partitions)
        for record in records:
            try:
                entry = entry_of(record)
            except ValueError as error:
                # The router did not write it: it stands in no ledger, and the log keeps it.
                log.error("dispatch.unreadable", member=self._member.id, reason=str(error))
                self._stats.last_error = str(error)[:200]
                continue
            self._take_in(entry, changes, out)
        for call in self._calls.take():
            self._settle(call, changes, out)
        # From before the commit: see Calls.start.
        began = time.monotonic()
        starting = self._choose(changes)
        if changes or records or out.outputs:
            await self._lane.commit(out.outputs, changes, records)
            for case, entry in starting:
                self._calls.start(case, entry, began)
        self._report()

    def _take_in(self, entry: Entry, changes: dict[bytes, bytes | None], out: Outbox) -> None:
        if self._book.holds(entry):
            log.error("dispatch.repeated", member=self._member.id, dispatch=entry.dispatch_id, seq=entry.seq)
            return
        case = self._book.case(entry.subject)
        if case.hold is None:
            changes[queue_key(entry.subject, entry.seq)] = encode(entry)
            self._book.take_in(entry)
            return
        case.behind += 1
        # Beyond the bound only the place in the log is kept; the log itself keeps everything that is
        # unfinished (G1).
        kept = (
            entry
            if case.behind <= self._policy.parked_max
            else msgspec.structs.replace(entry, headers=[], value=b"")
        )
        changes[queue_key(entry.subject, entry.seq)] = encode(kept)
        out.outcome(entry, Settled(Outcome.PARKED, "behind", case.hold.code), behind=case.hold.dispatch_id)

    def _settle(self, call: Done, changes: dict[bytes, bytes | None], out: Outbox) -> None:
        case, entry, now = call.case, call.entry, time.monotonic()
        if not call.queried and call.reply.kind in _NOT_DONE:
            changes[intent_key(entry.subject)] = None
        if call.too_late:
            self._book.back(case, now)
            return
        verdict = self._verdict(call)
        if verdict is None:
            case.query_first = False
            self._book.back(case, now)
            return
        if isinstance(verdict, Again):
            # By a clock that jumped nothing lapses: the call is repeated, which is always safe here.
            now_ms = self._clock.now_ms()
            if self._clock.alarm or not lapsed(entry, now_ms):
                self._try_again(case, verdict, now)
                return
            verdict = Settled(Outcome.CANCELLED, "lapsed", verdict.reason)
        elif call.reply.kind in _ANSWERED and call.reply.code not in OURS:
            self._breaker.success()
        elif call.reply.kind is ReplyKind.UNKNOWN and call.reply.code != "restarted":
            # In doubt at once (blind): without the breaker a silent member would get every case in doubt.
            self._breaker.failure(case.subject, now)
        verdict = self._answer(call, verdict, out)
        changes[queue_key(entry.subject, entry.seq)] = None
        changes[intent_key(entry.subject)] = None
        out.outcome(entry, verdict, receipt=call.reply.receipt)
        if verdict.inform:
            out.refused(entry, verdict)
        hold = None
        if verdict.hold:
            hold = Hold(
                entry.subject,
                entry.dispatch_id,
                verdict.outcome,
                verdict.code,
                verdict.detail,
                int(time.time() * 1000),
            )
            changes[hold_key(entry.subject)] = encode(hold)
            # The held entry itself stays in the store: a redrive or a settlement needs it.
            changes[queue_key(entry.subject, entry.seq)] = encode(entry)
            log.warning(
                "dispatch.held",
                member=self._member.id,
                case_no=entry.subject,
                outcome=verdict.outcome,
                code=verdict.code,
            )
        for waiting in self._book.finished(case, hold):
            out.outcome(waiting, Settled(Outcome.PARKED, "behind", verdict.code), behind=entry.dispatch_id)
        if verdict.outcome is Outcome.DELIVERED:
            self._stats.delivered += 1
            self._stats.last_delivery_ms = int(time.time() * 1000)

    def _verdict(self, call: Done) -> Settled | Again | None:
        """None: the query said that the member does not hold it; the call comes next."""
        case = call.case
        if call.queried:
            return resolve_query(call.reply, self._policy, failures=case.failures)
        return resolve(
            call.reply,
            self._policy,
            attempts=call.entry.attempts,
            failures=case.failures,
            others_succeed=case.failures > 0 and self._breaker.successes > case.successes_before,
        )

    def _answer(self, call: Done, verdict: Settled, out: Outbox) -> Settled:
        """Take the message that came back in the answer in; one that breaks its contract parks the case."""
        if call.reply.answer is None:
            return verdict
        try:
            out.answer(call.entry, call.reply.answer)
        except Exception as error:  # noqa: BLE001 - a member's words must not stop the lane of all its cases
            return Settled(Outcome.PARKED, "answer_invalid", str(error)[:1_000], hold=True)
        return verdict

    def _try_again(self, case: Case, again: Again, now: float) -> None:
        if case.failures == 0:
            case.successes_before = self._breaker.successes
        case.failures += 1
        case.query_first = case.query_first or again.query_first
        self._stats.last_error = again.reason[:200]
        if again.member_failed:
            self._breaker.failure(case.subject, now)
        self._book.back(case, now + again.delay_ms / 1000)

    def _choose(self, changes: dict[bytes, bytes | None]) -> list[tuple[Case, Entry]]:
        """Calls to start after this commit; each has its intent in it. One per case, calls_in_flight_max per
        member."""
        starting = []
        now = time.monotonic()
        room = self._room(now)
        while room > 0 and (case := self._book.next_ready(now)) is not None:
            entry = case.queue[0]
            if not case.query_first:
                entry = msgspec.structs.replace(entry, attempts=entry.attempts + 1)
                case.queue[0] = entry
                changes[queue_key(entry.subject, entry.seq)] = encode(entry)
            intent = Intent(
                entry.subject, entry.dispatch_id, entry.seq, entry.attempts, int(time.time() * 1000)
            )
            changes[intent_key(entry.subject)] = encode(intent)
            self._book.started(case)
            starting.append((case, entry))
            room -= 1
        return starting

    def _report(self) -> None:
        stats = self._stats
        stats.taken_in, stats.calling = self._book.taken_in, self._book.calling
        stats.holds = self._book.held
        stats.breaker = self._breaker.state(time.monotonic())
