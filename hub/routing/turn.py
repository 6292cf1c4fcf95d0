"""One decision in the making: the working copy of a case and what is collected for the Decision. Holds,
parks and refuses; knows no step."""

from typing import Final, NamedTuple

import msgspec

from hub.envelope import Message
from hub.routing import lifecycle, refusals
from hub.routing.model import (
    Decision,
    Disposition,
    Held,
    OutcomeChange,
    Outgoing,
    Parked,
    Refusal,
    TableUpdate,
    Timer,
    Verdict,
)
from hub.routing.state import Case, encode, message_bytes
from hub.routing.tables import Tables

EARLY: Final = "early"
CREDIT: Final = "credit"
ARCHIVE: Final = "archive"


class Wait(NamedTuple):
    """missing: what the message waits for. timed: its own time runs (not while the case awaits credit or a
    person)."""

    missing: str
    timed: bool


class Park(NamedTuple):
    """Why a case cannot go on without an operator (G5)."""

    reason: str
    zh: str
    en: str


class Turn:
    """Collects one Decision. Not a value: made, used and dropped inside one call."""

    __slots__ = (
        "case",
        "now_ms",
        "outcome_changes",
        "subject",
        "table_updates",
        "tables",
        "verdicts",
    )

    def __init__(self, case: Case, subject: str, tables: Tables, now_ms: int) -> None:
        self.case, self.subject, self.tables, self.now_ms = case, subject, tables, now_ms
        self.verdicts: list[Verdict] = []
        self.outcome_changes: tuple[OutcomeChange, ...] = ()
        self.table_updates: tuple[TableUpdate, ...] = ()

    def route(self, message: Message, dispatches: tuple[Outgoing, ...], reason: str = "") -> None:
        stage = self.case.stage
        self.verdicts.append(Verdict(message, Disposition.ROUTED, reason, dispatches, stage=stage))

    def refuse(self, message: Message, refusal: Refusal) -> None:
        self.verdicts.extend(refusals.verdicts(message, refusal, self.tables, self.now_ms))

    def hold(self, message: Message, missing: str) -> None:
        """The ledger line of a message that waits."""
        zh, en = lifecycle.NAMES[missing]
        verdict = Verdict(message, Disposition.HELD, missing, zh=f"等待“{zh}”", en=f"waits for the {en}")
        self.verdicts.append(verdict)

    def due_ms(self, message: Message) -> int:
        """When the wait of an early message ends (R8): per member."""
        member = self.tables.members.get(message.source)
        wait_ms = self.tables.limits.hold_early_ms if member is None else member.hold_early_ms
        return self.now_ms + wait_ms

    def wait(self, message: Message, wait: Wait) -> None:
        """Keep an early message inside its case, within the bounds (R8)."""
        full = too_full(self, message)
        if full is not None:
            self.refuse(message, full)
            return
        due_ms = self.due_ms(message) if wait.timed else 0
        self.case.held.append(Held(message, wait.missing, due_ms))
        self.hold(message, wait.missing)

    def park(self, message: Message, why: Park) -> None:
        """Stop this case, and only this one, with this message first in its queue (G5)."""
        self.case.parked = Parked(why.reason, why.zh, why.en, self.now_ms, (message,))
        self.verdicts.append(Verdict(message, Disposition.PARKED, why.reason, zh=why.zh, en=why.en))

    def queue(self, message: Message) -> None:
        """Behind the parked message, in order, within the bounds."""
        parked = self.case.parked
        assert parked is not None
        limits = self.tables.limits
        if len(parked.queue) >= limits.parked_max:
            self.refuse(message, _queue_full("parked_max", limits.parked_max))
            return
        full = too_full(self, message, counted=False)
        if full is not None:
            self.refuse(message, full)
            return
        self.case.parked = msgspec.structs.replace(parked, queue=(*parked.queue, message))
        zh, en = f"排在滞留办件之后：{parked.zh}", f"behind a parked case: {parked.en}"
        self.verdicts.append(Verdict(message, Disposition.PARKED, "behind", zh=zh, en=en))

    def decision(self, fired: Timer | None = None) -> Decision:
        """What was collected. Timers that differ from those set before are set and cleared; one that fired
        counts as gone."""
        case, running = self.case, self.case.parked is None
        early = (
            min((held.due_ms for held in case.held if held.due_ms), default=0) if running and case.held else 0
        )
        gate = case.gated.due_ms if case.gated is not None and running else 0
        cleared = [fired] if fired is not None else []
        set_: list[Timer] = []
        if early != case.timer_early_ms:
            self._change(EARLY, case.timer_early_ms, early, set_, cleared)
            case.timer_early_ms = early
        if gate != case.timer_credit_ms:
            self._change(CREDIT, case.timer_credit_ms, gate, set_, cleared)
            case.timer_credit_ms = gate
        archive = self._archive_ms()
        if archive != case.timer_archive_ms:
            self._change(ARCHIVE, case.timer_archive_ms, archive, set_, cleared)
            case.timer_archive_ms = archive
        return Decision(
            encode(case),
            tuple(self.verdicts),
            tuple(set_),
            tuple(cleared),
            self.outcome_changes,
            self.table_updates,
        )

    def _archive_ms(self) -> int:
        """When this case may be forgotten (G8): `keep_closed_ms` after its end, or after the first word of a
        case that never opened. 0 while it lives or anything waits in it. Once set it stays."""
        case = self.case
        waits = case.held or case.gated is not None or case.parked is not None
        if waits or case.changed_ms or (case.opened and not case.ended_ms):
            return 0
        return case.timer_archive_ms or max(self.now_ms, case.ended_ms) + self.tables.limits.keep_closed_ms

    def _change(self, purpose: str, old: int, new: int, set_: list[Timer], cleared: list[Timer]) -> None:
        if old:
            timer = Timer(old, self.subject, purpose)
            if timer not in cleared:
                cleared.append(timer)
        if new:
            set_.append(Timer(new, self.subject, purpose))


def too_full(turn: Turn, message: Message, *, counted: bool = True) -> Refusal | None:
    """Why a case cannot take one more waiting message; None when it can. counted: against the number of
    early messages."""
    limits = turn.tables.limits
    if counted and len(turn.case.held) >= limits.held_max:
        return _queue_full("held_max", limits.held_max)
    if turn.case.waiting_bytes() + message_bytes(message.value) > limits.state_bytes_max:
        return _queue_full("state_bytes_max", limits.state_bytes_max)
    return None


def _queue_full(bound: str, value: int) -> Refusal:
    return Refusal(
        "case_full",
        "caseNo",
        "R8",
        f"{bound}={value}",
        f"该办件等待中的消息已达上限（{bound}={value}）",
        f"the messages waiting in this case reached a bound ({bound}={value})",
        "办件恢复后用更高的版本号重报",
        "report it again with a higher version once the case goes on",
    )
