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
from hub.delivery import commands
from hub.delivery.book import CASE_ENTRIES_MAX, Book, Case
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
    intent_key,
    place_only,
    queue_key,
)
from hub.delivery.records import Outbox, entry_of, lapsed
from hub.delivery.recovery import recover
from hub.delivery.repair import Repair
from hub.delivery.resolve import resolve, resolve_query
from hub.delivery.stats import DeliveryStats
from hub.delivery.trouble import Answer, Trouble, TurnRefused
from hub.delivery.turn import Log, Turn, next_page
from hub.delivery.window import StartWindow
from hub.directory.model import Guarantee, Member
from hub.errors import HubError, LaneStopped, OutputRefused
from hub.kafka import Record, TopicPartition
from hub.lanes.clock import ClockGuard
from hub.lanes.lane import Lane

log = structlog.get_logger()

_POLL_RECORDS_MAX: Final = 500
_TICK_S: Final = 0.2
# Answers that show the member is there.
_ANSWERED: Final = frozenset({ReplyKind.DONE, ReplyKind.ALREADY_DONE, ReplyKind.REFUSED, ReplyKind.MALFORMED})
# Answers that show the call had no effect: its intent is no open question to a successor.
_NOT_DONE: Final = frozenset({ReplyKind.UNREACHABLE, ReplyKind.TRY_LATER})
_TOO_LARGE: Final = Settled(
    Outcome.PARKED,
    "output_refused",
    "消息总线不接受这次呼叫的结果：超过主题上限 / the broker refuses what this call came back with: over a "
    "topic's limit",
    hold=True,
)


class DeliveryLane:
    """The work on one open lane. The owner opens and closes the lane and keeps `trouble` across reopenings
    (hub/delivery/role.py)."""

    def __init__(
        self,
        settings: Settings,
        lane: Lane,
        member: Member,
        port: MemberPort,
        partitions: int,
        stats: DeliveryStats,
        clock: ClockGuard,
        trouble: Trouble | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._lane = lane
        self._member = member
        self._policy = member.delivery
        self._partitions = partitions
        self._stats = stats
        self._trouble = trouble or Trouble()
        self._book = Book()
        self._breaker = Breaker(self._policy.retry_delay_ms_min, self._policy.retry_delay_ms_max)
        self._calls = Calls(member.id, self._policy, port)
        self._window = StartWindow(member.id, self._policy.start_within_ms, settings.transaction_timeout_ms)
        self._inbox = TopicPartition(settings.topic(f"deliver.{member.id}"), lane.spec.partition)
        self._contents = Log(settings, self._inbox)
        self._repair = Repair(lane, self._book, self._contents, member, clock)
        self._commands = settings.topic(commands.TOPIC + member.id)
        self._poll: asyncio.Task[list[Record]] | None = None
        self._taking: bool | None = None
        self._uncommitted: list[Done] = []
        self._resting = False
        self._rested = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled. Raises what Lane.commit raises, TurnRefused, and LaneStopped for
        a state that cannot be read. Answers that come while the lane fails are kept in `trouble`."""
        try:
            await self._open_up()
            while True:
                records = await self._next_records()
                await self._turn(records)
        except HubError:
            await self._keep_answers()
            raise
        finally:
            self._rested.set()
            if self._poll is not None:
                self._poll.cancel()
                await asyncio.gather(self._poll, return_exceptions=True)
            await self._calls.stop()
            await self._contents.close()

    @property
    def is_blind(self) -> bool:
        """Whether an unknown outcome at this member stays unknown."""
        return self._policy.guarantee is Guarantee.BLIND

    async def rest(self, seconds_max: float) -> None:
        """Call nobody any more, wait for the calls under way and commit what they brought, never longer than
        the member's call_timeout_ms: the next owner finds no open question (G4)."""
        self._resting = True
        self._rested.clear()
        self._calls.wake.set()
        try:
            async with asyncio.timeout(min(seconds_max, self._policy.call_timeout_ms / 1000)):
                await self._rested.wait()
        except TimeoutError:
            log.warning("lane.drain_ended", member=self._member.id, under_way=self._calls.under_way)

    def go_on(self) -> None:
        """After a rebalance in which the lane stayed here."""
        self._resting = False
        self._calls.wake.set()

    async def _keep_answers(self) -> None:
        """Nothing can be committed now, but the calls under way bring answers: the next opening uses them
        instead of guessing."""
        await self._calls.drained(min(self._settings.drain_ms_max, self._policy.call_timeout_ms) / 1000)
        for done in (*self._uncommitted, *self._calls.take()):
            if not done.queried:
                key = (done.entry.dispatch_id, done.entry.attempts)
                self._trouble.answers[key] = Answer(done.reply, done.too_late)

    async def _open_up(self) -> None:
        answers, self._trouble.answers = self._trouble.answers, {}
        try:
            await recover(self._lane, self._book, self._contents, self._calls, self._policy, answers)
            self._repair.load()
        except ValueError as error:
            raise LaneStopped(str(error)) from error

    # -- one turn of the rolling transaction

    async def _next_records(self) -> list[Record]:
        """Wait for input, for a call that came back, or for a case that becomes ready."""
        if self._trouble.careful and self._calls.came_back:
            return []
        now = time.monotonic()
        self._regulate_intake()
        if self._poll is None and not self._resting:
            most = 1 if self._trouble.careful else _POLL_RECORDS_MAX
            self._poll = asyncio.create_task(self._lane.poll(self._settings.poll_wait_ms, most))
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

    def _regulate_intake(self) -> None:
        """Dispatches wait in the log while enough is taken in; commands always come through."""
        book = self._book
        # An open breaker over an empty queue has nothing to probe with: then intake goes on.
        taking = book.taken_in < self._policy.taken_in_max and (
            not self._breaker.is_open or book.taken_in == 0
        )
        if taking is not self._taking:
            self._taking = taking
            (self._lane.reader.resume if taking else self._lane.reader.pause)([self._inbox])

    def _room(self, now: float) -> int:
        """How many calls may start now."""
        if self._resting or self._repair.suspended is not None:
            return 0
        return self._breaker.allowed(now, self._book.calling, self._policy.calls_in_flight_max)

    def _idle_s(self, now: float) -> float:
        """Seconds until a delayed case becomes ready. Without room for a call there is nothing to hurry
        for."""
        if self._book.is_hungry:
            return 0.0
        due = self._book.next_due() if self._room(now) > 0 else None
        return min(_TICK_S, max(0.0, due - now)) if due is not None else _TICK_S

    async def _turn(self, records: list[Record]) -> None:
        careful = self._trouble.careful > 0
        turn = Turn(
            self._lane, self._book, Outbox(self._settings, self._member, self._partitions), self._trouble
        )
        await self._fill(turn)
        for record in records:
            if record.topic == self._commands:
                await self._repair.command(record, turn)
        for record in records:
            if record.topic != self._commands:
                self._take_in(record, turn)
        self._uncommitted = self._calls.take((0 if records else 1) if careful else None)
        for call in self._uncommitted:
            self._settle(call, turn)
        # From before the commit: see Calls.start.
        began = time.monotonic()
        starting = self._choose(turn, (0 if turn.units else 1) if careful else None)
        if turn.changes or records or turn.out.outputs:
            try:
                await self._lane.commit(turn.out.outputs, turn.changes, records)
            except OutputRefused as error:
                raise TurnRefused(error, turn.units) from error
            for case, entry in starting:
                self._calls.start(case, entry, began, self._window.ms)
            self._window.committed(time.monotonic() - began)
        self._uncommitted = []
        if careful and turn.units:
            self._trouble.committed(turn.units)
        if self._resting and not (self._calls.under_way or self._calls.came_back):
            self._rested.set()
        self._report()

    async def _fill(self, turn: Turn) -> None:
        """Bring what waits in the store of released and of long queues into memory."""
        for case in self._book.hungry():
            for entry in await next_page(self._lane, self._book, self._contents, case, CASE_ENTRIES_MAX):
                # It stood in the ledger as parked behind another.
                turn.out.outcome(entry, Settled(Outcome.IN_FLIGHT, "released", ""))
            self._book.ready(case)

    def _take_in(self, record: Record, turn: Turn) -> None:
        try:
            entry = entry_of(record)
        except ValueError as error:
            # The router did not write it: it stands in no ledger, and the log keeps it.
            log.error("dispatch.unreadable", member=self._member.id, reason=str(error))
            self._stats.last_error = str(error)[:200]
            return
        hold = turn.hold(entry.subject)
        if self._book.holds(entry) or (hold is not None and hold.dispatch_id == entry.dispatch_id):
            log.error("dispatch.repeated", member=self._member.id, dispatch=entry.dispatch_id, seq=entry.seq)
            return
        turn.units.append(("take", entry.dispatch_id))
        if hold is None:
            turn.keep(entry)
            self._book.take_in(entry)
            return
        hold = msgspec.structs.replace(hold, behind=hold.behind + 1)
        turn.stand_still(hold)
        # Beyond the bound only the place in the log is kept; the log itself keeps everything that is
        # unfinished (G1).
        turn.keep(entry if hold.behind <= self._policy.parked_max else place_only(entry))
        turn.behind(entry, hold)

    def _settle(self, call: Done, turn: Turn) -> None:
        case, entry, now = call.case, call.entry, time.monotonic()
        refused = turn.refused_alone("settle", entry.dispatch_id)
        if not call.queried and call.reply.kind in _NOT_DONE:
            turn.changes[intent_key(entry.subject)] = None
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
        verdict = _TOO_LARGE if refused else self._answer(call, verdict, turn.out)
        turn.changes[intent_key(entry.subject)] = None
        turn.out.outcome(entry, verdict, receipt=call.reply.receipt)
        if verdict.inform:
            turn.out.refused(entry, verdict)
        if verdict.hold:
            self._hold(case, entry, verdict, turn)
        else:
            turn.changes[queue_key(entry.subject, entry.seq)] = None
            self._book.finished(case)
        if verdict.outcome is Outcome.DELIVERED:
            self._stats.delivered += 1
            self._stats.last_delivery_ms = int(time.time() * 1000)

    def _hold(self, case: Case, entry: Entry, verdict: Settled, turn: Turn) -> None:
        """The case stands still at this entry, which stays in the store: a command needs it."""
        behind = self._book.stands_still(case)
        hold = Hold(
            entry.subject,
            entry.dispatch_id,
            verdict.outcome,
            verdict.code,
            verdict.detail,
            int(time.time() * 1000),
            len(behind) + case.rest,
        )
        turn.stand_still(hold)
        turn.keep(entry)
        for waiting in behind:
            turn.behind(waiting, hold)
        log.warning(
            "dispatch.held",
            member=self._member.id,
            case_no=entry.subject,
            outcome=verdict.outcome,
            code=verdict.code,
        )

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

    def _choose(self, turn: Turn, most: int | None) -> list[tuple[Case, Entry]]:
        """Calls to start after this commit; each has its intent in it. One per case, calls_in_flight_max per
        member."""
        starting = []
        now = time.monotonic()
        room = self._room(now) if most is None else min(self._room(now), most)
        while room > 0 and (case := self._book.next_ready(now)) is not None:
            entry = case.queue[0]
            if not case.query_first:
                entry = msgspec.structs.replace(entry, attempts=entry.attempts + 1)
                case.queue[0] = entry
                turn.keep(entry)
            turn.units.append(("start", entry.dispatch_id))
            at_ms, window_ms = int(time.time() * 1000), self._window.ms
            intent = Intent(entry.subject, entry.dispatch_id, entry.seq, entry.attempts, at_ms, window_ms)
            turn.changes[intent_key(entry.subject)] = encode(intent)
            self._book.started(case)
            starting.append((case, entry))
            room -= 1
        return starting

    def _report(self) -> None:
        stats = self._stats
        stats.taken_in, stats.calling = self._book.taken_in, self._book.calling
        stats.holds = self._book.held
        suspended = self._repair.suspended
        stats.suspended = f"{suspended.by}: {suspended.reason}" if suspended else ""
        stats.breaker = self._breaker.state(time.monotonic())
