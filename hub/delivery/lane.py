"""A delivery lane: takes dispatches in, writes an intent, calls the member, records the outcome (G4, G5).
Never holds a transaction across a call.

One rolling transaction commits whatever happened since the last: records taken in, intents of calls about to
start, outcomes of calls
that came back. The committed position means taken in, not delivered.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Final

import msgspec
import structlog

from adapters.ports import Dispatch, FormatError, MemberPort, Reply, ReplyKind, TooLate
from hub.config import Settings
from hub.delivery.book import Book, Case
from hub.delivery.breaker import Breaker
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
from hub.delivery.records import Outbox, dispatch_of, entry_of, lapsed
from hub.delivery.resolve import recovery_wait_ms, resolve, resolve_query
from hub.directory.model import Guarantee, Member
from hub.kafka import Record
from hub.lanes.lane import Lane

log = structlog.get_logger()

_POLL_RECORDS_MAX: Final = 500
_TICK_S: Final = 0.2
# Answers that show the member is there; two codes of MALFORMED are our own findings before any call.
_ANSWERED: Final = frozenset({ReplyKind.DONE, ReplyKind.ALREADY_DONE, ReplyKind.REFUSED, ReplyKind.MALFORMED})
_OURS: Final = frozenset({"undecodable", "not_expressible"})


class _Done(msgspec.Struct):
    """A call that came back. replied None = the query said the member does not hold it; the call comes
    next."""

    case: Case
    entry: Entry
    reply: Reply
    queried: bool
    too_late: bool = False


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
    ) -> None:
        self._settings = settings
        self._lane = lane
        self._member = member
        self._policy = member.delivery
        self._port = port
        self._partitions = partitions
        self._stats = stats
        self._book = Book()
        self._breaker = Breaker(self._policy.retry_delay_ms_min, self._policy.retry_delay_ms_max)
        self._done: list[_Done] = []
        self._wake = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        self._poll: asyncio.Task[list[Record]] | None = None

    async def run(self) -> None:
        """Work until cancelled. Raises what Lane.commit raises; a call under way is then cancelled and counts
        as unknown."""
        try:
            self._recover()
            while True:
                records = await self._next_records()
                await self._turn(records)
        finally:
            tasks = [*self._calls, *([self._poll] if self._poll else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _recover(self) -> None:
        """Calls whose intent is committed and whose outcome is not: they may have happened, or may still be
        happening elsewhere."""
        wait_s = recovery_wait_ms(self._policy) / 1000
        for case, intent in self._book.load(self._lane):
            if not case.queue or case.queue[0].seq != intent.seq:
                continue
            match self._policy.guarantee:
                case Guarantee.IDEMPOTENT:
                    pass
                case Guarantee.QUERYABLE:
                    case.query_first, case.not_before = True, time.monotonic() + wait_s
                case Guarantee.BLIND:
                    # Settled as in doubt once the predecessor's call can no longer be running.
                    self._spawn(self._settle_blind(case, case.queue[0], wait_s))
                    self._book.started(case)

    async def _settle_blind(self, case: Case, entry: Entry, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        self._finish(_Done(case, entry, Reply(kind=ReplyKind.UNKNOWN, code="restarted"), queried=False))

    # -- one turn of the rolling transaction

    async def _next_records(self) -> list[Record]:
        """Wait for input, for a call that came back, or for a case that becomes ready."""
        book, now = self._book, time.monotonic()
        intake = book.taken_in < self._policy.taken_in_max and not self._breaker.is_open
        if self._poll is None and intake:
            self._poll = asyncio.create_task(self._lane.poll(self._settings.poll_wait_ms, _POLL_RECORDS_MAX))
        due = book.next_due()
        wait_s = min(_TICK_S, max(0.0, due - now)) if due is not None else _TICK_S
        waking = asyncio.create_task(self._wake.wait())
        await asyncio.wait(
            {waking, *([self._poll] if self._poll else [])},
            timeout=wait_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        waking.cancel()
        self._wake.clear()
        if self._poll is not None and self._poll.done():
            poll, self._poll = self._poll, None
            return poll.result()
        return []

    async def _turn(self, records: list[Record]) -> None:
        changes: dict[bytes, bytes | None] = {}
        out = Outbox(self._settings, self._member, self._partitions)
        for record in records:
            self._take_in(entry_of(record), changes, out)
        done, self._done = self._done, []
        for call in done:
            self._settle(call, changes, out)
        starting = self._choose(changes)
        if changes or records or out.outputs:
            await self._lane.commit(out.outputs, changes, records)
            committed = time.monotonic()
            for case, entry in starting:
                self._spawn(self._call(case, entry, committed))
        self._report()

    def _take_in(self, entry: Entry, changes: dict[bytes, bytes | None], out: Outbox) -> None:
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

    def _settle(self, call: _Done, changes: dict[bytes, bytes | None], out: Outbox) -> None:
        case, entry, now = call.case, call.entry, time.monotonic()
        if call.too_late:
            self._book.back(case, now)
            return
        if call.queried:
            verdict = resolve_query(call.reply, self._policy, failures=case.failures)
            if verdict is None:
                case.query_first = False
                self._book.back(case, now)
                return
        else:
            others = case.failures > 0 and self._breaker.successes > case.successes_before
            verdict = resolve(
                call.reply,
                self._policy,
                attempts=entry.attempts,
                failures=case.failures,
                others_succeed=others,
            )
        if isinstance(verdict, Again):
            if not lapsed(entry, int(time.time() * 1000)):
                self._try_again(case, verdict, now)
                return
            verdict = Settled(Outcome.CANCELLED, "lapsed", verdict.reason)
        elif call.reply.kind in _ANSWERED and call.reply.code not in _OURS:
            self._breaker.success()
        changes[queue_key(entry.subject, entry.seq)] = None
        changes[intent_key(entry.subject)] = None
        out.outcome(entry, verdict)
        if call.reply.answer is not None:
            out.answer(entry, call.reply.answer)
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
        room = self._breaker.allowed(now, self._book.calling, self._policy.calls_in_flight_max)
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

    # -- calls

    def _spawn(self, call: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def _finish(self, done: _Done) -> None:
        self._done.append(done)
        self._wake.set()

    async def _call(self, case: Case, entry: Entry, committed: float) -> None:
        queried = case.query_first
        try:
            dispatch = dispatch_of(entry, self._member.id)
        except Exception as error:  # noqa: BLE001 - whatever a body does to its decoder, the case is parked, not the lane stopped
            self._finish(
                _Done(
                    case,
                    entry,
                    Reply(kind=ReplyKind.MALFORMED, code="undecodable", detail=repr(error)),
                    False,
                )
            )
            return
        if queried:
            self._finish(_Done(case, entry, await self._query(dispatch), True))
            return
        deadline = committed + self._policy.start_within_ms / 1000
        try:
            reply = await self._deliver(dispatch, lambda: time.monotonic() < deadline)
        except TooLate:
            self._finish(
                _Done(case, entry, Reply(kind=ReplyKind.UNREACHABLE, code="too_late"), False, too_late=True)
            )
            return
        self._finish(_Done(case, entry, reply, False))

    async def _deliver(self, dispatch: Dispatch, may_start: Callable[[], bool]) -> Reply:
        try:
            async with asyncio.timeout(self._policy.call_timeout_ms / 1000):
                return await self._port.deliver(dispatch, may_start)
        except TimeoutError:
            return Reply(kind=ReplyKind.UNKNOWN, code="timeout")
        except FormatError as error:
            return Reply(
                kind=ReplyKind.MALFORMED,
                code="not_expressible",
                detail=f"{error.field} [{error.rule}; {error.standard}]: {error}",
            )
        except TooLate:
            raise
        except Exception as error:
            log.error("port.error", member=self._member.id, dispatch=dispatch.id, exc_info=error)
            return Reply(kind=ReplyKind.UNKNOWN, code="port_error", detail=repr(error))

    async def _query(self, dispatch: Dispatch) -> Reply:
        try:
            async with asyncio.timeout(self._policy.call_timeout_ms / 1000):
                return await self._port.query(dispatch)
        except TimeoutError:
            return Reply(kind=ReplyKind.UNKNOWN, code="timeout")
        except Exception as error:
            log.error("port.error", member=self._member.id, dispatch=dispatch.id, exc_info=error)
            return Reply(kind=ReplyKind.UNKNOWN, code="port_error", detail=repr(error))

    def _report(self) -> None:
        stats = self._stats
        stats.taken_in, stats.calling = self._book.taken_in, self._book.calling
        stats.holds = sum(1 for case in self._book.cases.values() if case.hold is not None)
        stats.breaker = self._breaker.state(time.monotonic())
