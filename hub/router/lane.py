"""The work on one router lane: poll, decide each record over an overlay, one transaction a batch (G2). All
rules are in hub/routing.

A batch that the broker refuses is taken again one record at a time; the record that is refused alone parks
its case (G5).
"""

import asyncio
from collections.abc import Callable
from typing import Final, Literal

import msgspec
import structlog

from hub import envelope
from hub.config import Settings
from hub.errors import OutputRefused
from hub.kafka import Record
from hub.lanes.clock import ClockGuard
from hub.lanes.lane import Lane
from hub.lanes.timers import DueTimes, timer_key
from hub.router import brake as brake_state
from hub.router.brake import BrakePulled, ParkBrake
from hub.router.outbox import RouterOutbox
from hub.routing.decide import decide, decide_timer, park, redrive
from hub.routing.model import Decision, Disposition, Timer, Verdict
from hub.routing.tables import Tables
from hub.routing.turn import Park
from signing.evidence import Chain

log = structlog.get_logger()

_TIMERS_MAX: Final = 200
_CASE: Final = b"c"
_CHAIN: Final = b"e"  # the lane's hash chain over its ledger lines (G7)
Input = tuple[str, int]
Taken = tuple[Record, envelope.Message | ValueError | None]
"""An input and what it says: a message, why it cannot be read, or None for a command."""


class Command(msgspec.Struct, frozen=True):
    """A record of commands.router. command: redrive (the parked queue of the aggregate that is the key again,
    same order, same ids), release_brake (the park brake of this partition's lane off; any key),
    acknowledge_clock (the time of this lane's process is right after a jump by jump_ms; any key)."""

    command: Literal["redrive", "release_brake", "acknowledge_clock"]
    by: str
    reason: str
    jump_ms: int = 0


def release_of(record: Record) -> Command | None:
    """The command of a record of commands.router when it lets the brake off, else None."""
    try:
        command = msgspec.json.decode(record.value or b"", type=Command)
    except ValueError:
        return None  # the lane says so when it consumes it
    return command if command.command == brake_state.RELEASE else None


class RouterStats(msgspec.Struct):
    """What the console shows of a lane."""

    routed: int = 0
    parked: int = 0


class BatchRefused(OutputRefused):
    """A batch was refused; inputs are (topic, offset) of its records."""

    def __init__(self, error: OutputRefused, inputs: list[Input], timers: list[Timer]) -> None:
        super().__init__(str(error), error.place)
        self.inputs = inputs
        self.timers = timers


class Trouble(msgspec.Struct):
    """What a lane learnt from refused batches; it outlives the reopening. careful: so many inputs are taken
    one by one. park, refuse: the input that was refused alone, and refused again when its case was to be
    parked. stuck: timers that fail; they wait for a person, the others go on. brake_off: who let the park
    brake off, why and when; until a commit."""

    careful: int = 0
    park: Input | None = None
    refuse: Input | None = None
    stuck: set[Timer] = msgspec.field(default_factory=set)
    brake_off: tuple[str, str, int] | None = None

    def learn(self, error: BatchRefused) -> bool:
        """What to do otherwise next time; False when nothing is left to try."""
        count = len(error.inputs) + len(error.timers)
        self.careful = max(self.careful, count, 1)
        if count != 1:
            return count > 1
        if error.timers:
            self.stuck.add(error.timers[0])
        elif self.park != error.inputs[0]:
            self.park = error.inputs[0]
        elif self.refuse != error.inputs[0]:
            self.refuse = error.inputs[0]
        else:
            return False
        return True


class RouterLane:
    """Decides the records of one open lane. Opened and closed by its owner (hub/router/role.py)."""

    def __init__(
        self,
        settings: Settings,
        lane: Lane,
        tables: Callable[[], Tables],
        stats: RouterStats,
        trouble: Trouble,
        clock: ClockGuard,
    ) -> None:
        self._settings = settings
        self._lane = lane
        self._tables = tables
        self._stats = stats
        self._commands = settings.topic("commands.router")
        (brake,) = lane.get_many([brake_state.KEY])
        self._brake = ParkBrake(settings.park_brake_percent, settings.park_brake_window, brake)
        self._brake_stored = brake
        if trouble.brake_off is not None:
            self._brake.release(*trouble.brake_off)
        self._trouble = trouble
        self._chain = _chain_of(lane)
        self._clock = clock
        self._timers = DueTimes(lane.range)
        self._ahead: asyncio.Task[list[Taken]] | None = None

    async def run(self) -> None:
        """Work until cancelled. Raises what Lane.commit raises."""
        try:
            while True:
                taken = await (self._ahead or self._read())
                self._ahead = None
                await self._turn(taken)
        finally:
            if self._ahead is not None:
                self._ahead.cancel()
                await asyncio.gather(self._ahead, return_exceptions=True)

    async def _turn(self, taken: list[Taken]) -> None:
        trouble, now_ms = self._trouble, self._clock.now_ms()
        # A clock that jumped fires nothing: what is due by it may be due in a year, or not any more.
        timers = [] if self._clock.alarm else self._due(now_ms)
        if trouble.careful:
            timers = [] if taken else timers[:1]
        if taken or timers:
            await self._batch(taken, timers, now_ms)
            trouble.careful = max(0, trouble.careful - 1)

    async def _read(self) -> list[Taken]:
        """The next inputs, decoded. While a batch is committed the next one is read: a batch grows to what
        came meanwhile, and waits for nothing when nothing came."""
        settings, careful = self._settings, self._trouble.careful
        records = await self._lane.poll(settings.poll_wait_ms, 1 if careful else settings.batch_records_max)
        return [(record, None if record.topic == self._commands else _decoded(record)) for record in records]

    def _due(self, now_ms: int) -> list[Timer]:
        stuck = {_timer_key(timer) for timer in self._trouble.stuck}
        due = self._timers.due(now_ms, _TIMERS_MAX, stuck)
        return [msgspec.msgpack.decode(raw, type=Timer) for raw in due]

    async def _batch(self, taken: list[Taken], timers: list[Timer], now_ms: int) -> None:
        records = [record for record, _ in taken]
        tables = self._tables()
        overlay = _Overlay(self._lane, records, timers)
        out = RouterOutbox(self._settings, self._lane.spec.partition, tables.version, now_ms)
        decisions: list[tuple[str, Decision]] = []
        for timer in timers:
            try:
                fired = decide_timer(timer, overlay[timer.subject], tables, now_ms)
            except Exception as error:
                # A defect of ours in one case: its timer waits for a person, the others go on.
                log.error("timer.failed", purpose=timer.purpose, case_no=timer.subject, exc_info=error)
                self._trouble.stuck.add(timer)
                continue
            overlay.cleared(timer)
            decisions.append((timer.subject, overlay.apply(timer.subject, fired)))
        decisions.extend(self._one(one, overlay, out, tables, now_ms) for one in taken)
        self._check_brake(decisions, overlay)
        for subject, decision in decisions:
            out.add(subject, decision)
        chain = out.link(self._chain)
        if chain is not self._chain:
            overlay.changes[_CHAIN] = chain.to_bytes()
        for due_ms in overlay.timers_due_ms:
            self._timers.set(due_ms)
        if not self._trouble.careful:
            self._ahead = asyncio.create_task(self._read(), name="read ahead")
        try:
            await self._lane.commit(out.outputs, overlay.changes, records)
        except OutputRefused as error:
            raise BatchRefused(error, [(r.topic, r.offset) for r in records], timers) from error
        self._chain = chain
        self._trouble.brake_off = None
        self._count(decisions)

    def _check_brake(self, decisions: list[tuple[str, Decision]], overlay: "_Overlay") -> None:
        try:
            self._brake.check(decisions)
        except BrakePulled as error:
            error.commands_from = self._lane.position("commands.router")
            raise
        stored = self._brake.to_bytes()
        if stored != self._brake_stored:
            overlay.changes[brake_state.KEY] = self._brake_stored = stored

    def _one(
        self, taken: Taken, overlay: "_Overlay", out: RouterOutbox, tables: Tables, now_ms: int
    ) -> tuple[str, Decision]:
        record, message = taken
        if message is None:
            return self._command(record, overlay, tables, now_ms)
        if isinstance(message, ValueError):
            return "", _unreadable(record, str(message))
        out.came(message, record.headers)
        state = overlay[message.subject]
        trouble = self._trouble
        if trouble.refuse is not None and (record.topic, record.offset) == trouble.refuse:
            reason, zh, en = _TOO_LARGE
            decision = Decision(None, (Verdict(message, Disposition.REFUSED, reason, zh=zh, en=en),))
        elif trouble.park is not None and (record.topic, record.offset) == trouble.park:
            decision = park(message, state, *_TOO_LARGE, tables, now_ms)
        else:
            try:
                decision = decide(message, state, tables, now_ms)
            except Exception as error:
                # A defect of ours in one case must not stop the others: the case is parked, the trace is
                # logged.
                log.error("decide.failed", message_id=message.id, case_no=message.subject, exc_info=error)
                decision = park(message, state, *_DEFECT, tables, now_ms)
        return message.subject, overlay.apply(message.subject, decision)

    def _command(
        self, record: Record, overlay: "_Overlay", tables: Tables, now_ms: int
    ) -> tuple[str, Decision]:
        """An operator's command, consumed in the lane's own transaction: nothing else writes its state."""
        subject = (record.key or b"").decode(errors="replace")
        if (record.topic, record.offset) == self._trouble.park:
            log.error("command.output_refused", case_no=subject)
            return subject, Decision(None)
        try:
            command = msgspec.json.decode(record.value or b"", type=Command)
        except ValueError as error:
            log.error("command.unreadable", case_no=subject, reason=str(error))
            return subject, Decision(None)
        log.info("command", command=command.command, case_no=subject, by=command.by, reason=command.reason)
        if command.command == brake_state.RELEASE:
            self._brake.release(command.by, command.reason, record.timestamp)
            return subject, Decision(None)
        if command.command == "acknowledge_clock":
            self._clock.acknowledge(command.jump_ms, command.by, command.reason)
            return subject, Decision(None)
        try:
            decision = redrive(overlay[subject], tables, now_ms)
        except Exception as error:
            # The case stays parked as it was; the command is used up.
            log.error("command.failed", command=command.command, case_no=subject, exc_info=error)
            return subject, Decision(None)
        return subject, overlay.apply(subject, decision)

    def _count(self, decisions: list[tuple[str, Decision]]) -> None:
        for _, decision in decisions:
            for verdict in decision.verdicts:
                if verdict.disposition is Disposition.PARKED:
                    self._stats.parked += 1
                elif not verdict.originated:
                    self._stats.routed += 1


_TOO_LARGE: Final = Park("output_refused", "输出超过主题上限", "an output of it is over the topic's limit")
_DEFECT: Final = Park("decide_failed", "枢纽处理此办件时出错", "the hub failed on this case")


class _Overlay:
    """The batch's view of the state: store values read in one multi-get, changes kept here until the
    transaction is committed."""

    def __init__(self, lane: Lane, records: list[Record], timers: list[Timer]) -> None:
        subjects = {r.key.decode(errors="replace"): None for r in records if r.key} | {
            t.subject: None for t in timers
        }
        keys = [_CASE + subject.encode() for subject in subjects]
        self._lane = lane
        self._states = dict(zip(subjects, lane.get_many(keys), strict=True)) if keys else {}
        self.changes: dict[bytes, bytes | None] = {}
        self.timers_due_ms: list[int] = []

    def __getitem__(self, subject: str) -> bytes | None:
        if subject not in self._states:
            self._states[subject] = self._lane.get_many([_CASE + subject.encode()])[0]
        state: bytes | None = self._states[subject]
        return state

    def apply(self, subject: str, decision: Decision) -> Decision:
        """Take a decision's changes into the overlay."""
        if decision.forget:
            self._states[subject] = None
            self.changes[_CASE + subject.encode()] = None
        elif decision.state is not None:
            self._states[subject] = decision.state
            self.changes[_CASE + subject.encode()] = decision.state
        for timer in decision.timers_cleared:
            self.cleared(timer)
        for timer in decision.timers_set:
            self.timers_due_ms.append(timer.due_ms)
            self.changes[_timer_key(timer)] = msgspec.msgpack.encode(timer)
        return decision

    def cleared(self, timer: Timer) -> None:
        """A timer that fired or is no longer needed."""
        self.changes[_timer_key(timer)] = None


def _chain_of(lane: Lane) -> Chain:
    """The chain as the lane's last transaction left it."""
    (raw,) = lane.get_many([_CHAIN])
    return Chain() if raw is None else Chain.from_bytes(raw)


def _timer_key(timer: Timer) -> bytes:
    return timer_key(timer.due_ms, timer.subject, timer.purpose)


def _decoded(record: Record) -> envelope.Message | ValueError:
    try:
        message = envelope.from_record(record.headers, record.value)
    except ValueError as error:
        return error
    if record.key != message.subject.encode():
        return ValueError("记录的键与信封不符 / the record's key is not the envelope's subject")
    return message


def _unreadable(record: Record, text: str) -> Decision:
    """A record without the hub's envelope: in the ledger as parked, under an id derived from its place; the
    log keeps the record."""
    headers = dict(record.headers)
    id_ = headers.get("ce_id", b"").decode(errors="replace") or f"{record.partition:08x}{record.offset:024x}"
    message = envelope.Message(
        id=id_,
        source="",
        type="",
        subject=(record.key or b"").decode(errors="replace"),
        time_ms=record.timestamp,
        value=b"",
    )
    verdict = Verdict(message, Disposition.PARKED, "envelope", zh=text, en=text)
    return Decision(None, (verdict,))
