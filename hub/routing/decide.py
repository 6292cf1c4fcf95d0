"""The routing decision: decide(message, state, tables, now) -> Decision. Pure: no I/O, no clock, no
randomness, nothing kept between calls."""

import msgspec

from hub.envelope import Message
from hub.routing import credit, crossing, destinations, gate, handing, refusals, speakers, steps
from hub.routing.lifecycle import NAMES
from hub.routing.model import Decision, Disposition, Parked, Refusal, Timer, Verdict
from hub.routing.state import (
    Case,
    Quarantine,
    UnknownFormat,
    decode,
    decode_quarantine,
    encode,
    encode_quarantine,
    message_bytes,
    same_digest,
)
from hub.routing.tables import Tables
from hub.routing.turn import ARCHIVE, CREDIT, EARLY, Park, Turn, too_full

__all__ = ["decide", "decide_timer", "park", "redrive"]


def decide(message: Message, state: bytes | None, tables: Tables, now_ms: int) -> Decision:
    """What one message of case.inbound changes (G2, G6, G8). state: the aggregate's state, None for a new
    one; now_ms: ms since 1970.

    Never raises for anything a message can contain: what cannot be decided is parked with its reason (G5).
    """
    try:
        case = decode(state)
    except UnknownFormat as error:
        assert state is not None
        return _quarantined(message, state, str(error), tables, now_ms)
    found = case.find(message.id)
    if found is not None:
        return _seen_before(case, message, found[0], tables, now_ms)
    turn = Turn(case, message.subject, tables, now_ms)
    limits = tables.limits
    if case.seen_count >= limits.seen_max + limits.parked_max:
        # Its id is not kept any more, so no notice is made: a repeat could not be told from the first.
        reason, zh, en = _too_many(limits.seen_max)
        return Decision(None, (Verdict(message, Disposition.REFUSED, reason, zh=zh, en=en),))
    case.remember(message.id, message.digest, message.source, message.type)
    if case.seen_count > limits.seen_max and case.parked is None:
        turn.park(message, _too_many(limits.seen_max))
    elif not state and _older_than_memory(message, limits.keep_closed_ms, now_ms):
        turn.refuse(message, _archived(limits.keep_closed_ms))
    else:
        _take(turn, message)
    return turn.decision()


def decide_timer(timer: Timer, state: bytes | None, tables: Tables, now_ms: int) -> Decision:
    """What a due timer changes: early messages whose time is up are refused (R8), an unanswered credit
    query falls back (R22), a case whose time is over is forgotten (G8).

    A timer that is not the one the case has set changes nothing and is cleared.
    """
    try:
        case = decode(state)
    except UnknownFormat:
        return Decision(None)
    timers = {EARLY: case.timer_early_ms, CREDIT: case.timer_credit_ms, ARCHIVE: case.timer_archive_ms}
    set_ms = timers.get(timer.purpose, 0)
    if not state or set_ms != timer.due_ms:
        return Decision(None, timers_cleared=(timer,))
    if timer.purpose == ARCHIVE:
        return Decision(None, timers_cleared=(timer,), forget=True)
    turn = Turn(case, timer.subject, tables, now_ms)
    if timer.purpose == CREDIT:
        if case.gated is not None and case.gated.missing == credit.AWAIT_ANSWER:
            gate.fall_back(turn)
        steps.drain(turn)
    else:
        _refuse_overdue(turn, max(now_ms, timer.due_ms))
    return turn.decision(fired=timer)


def park(
    message: Message, state: bytes | None, reason: str, zh: str, en: str, tables: Tables, now_ms: int
) -> Decision:
    """Park the case with this message, for a cause outside the rules: an output the broker refuses, a
    defect of ours (G5).

    A message already remembered changes nothing; one that no longer fits is refused, its sender told.
    """
    try:
        case = decode(state)
    except UnknownFormat as error:
        assert state is not None
        return _quarantined(message, state, str(error), tables, now_ms)
    if case.find(message.id) is not None:
        return Decision(None, duplicate=True)
    case.remember(message.id, message.digest, message.source, message.type)
    turn = Turn(case, message.subject, tables, now_ms)
    full = too_full(turn, message, counted=False)
    if case.parked is not None:
        turn.queue(message)
    elif full is not None:
        turn.refuse(message, full)
    else:
        turn.park(message, Park(reason, zh, en))
    return turn.decision()


def redrive(state: bytes | None, tables: Tables, now_ms: int) -> Decision:
    """Decide a parked case's queue again, in order and with the same ids. What parks again keeps everything
    behind it (G5)."""
    parked, case = None, Case()
    try:
        case = decode(state)
        parked = case.parked
    except UnknownFormat:
        assert state is not None
        quarantine = decode_quarantine(state)
        if quarantine is not None:
            try:
                case, parked = decode(quarantine.original), quarantine.parked
            except UnknownFormat:
                return Decision(None)  # still unreadable: this release cannot help
    if parked is None:
        return Decision(None)
    case.parked = None
    turn = Turn(case, parked.queue[0].subject, tables, now_ms)
    for index, held in enumerate(case.held):
        if held.due_ms:
            case.held[index] = msgspec.structs.replace(held, due_ms=turn.due_ms(held.message))
    for message in parked.queue:
        if case.find(message.id) is None:
            case.remember(message.id, message.digest, message.source, message.type)
        _take(turn, message)
    return turn.decision()


def _seen_before(case: Case, message: Message, digest: str, tables: Tables, now_ms: int) -> Decision:
    """Same content: nothing at all (G8). Other content: the original stands and the sender is told, once
    per content (R2)."""
    if same_digest(digest, message.digest):
        return Decision(None, duplicate=True)
    notice = refusals.conflict_id(message)
    if case.find(notice) is not None:
        return Decision(None, duplicate=True)
    case.remember(notice, message.digest, speakers.HUB, refusals.REFUSAL)
    return Decision(encode(case), (refusals.conflict(message, digest, tables, now_ms),))


def _take(turn: Turn, message: Message) -> None:
    if message.type == "credit.changed":
        _credit_changed(turn, message)
    elif not handing.take(turn, message):
        steps.take(turn, message)


def _credit_changed(turn: Turn, message: Message) -> None:
    """The stream of changes beside the query (R22): the table's record and the route's destinations. An
    older change updates nothing."""
    case = turn.case
    if case.parked is not None:
        turn.queue(message)
        return
    refusal = speakers.refused(case, message, turn.tables)
    if refusal is not None:
        turn.refuse(message, refusal)
        return
    newest = message.time_ms >= case.changed_ms
    if newest:
        case.changed_ms = message.time_ms
        turn.table_updates = (*turn.table_updates, *credit.update(message))
    # Every hub keeps the standings.
    outgoing = (
        *destinations.of(case, message, turn.tables),
        *crossing.hubs_of(turn.tables.remote, message, turn.tables),
    )
    turn.route(message, tuple(dict.fromkeys(outgoing)), "" if newest else "superseded")


def _refuse_overdue(turn: Turn, now_ms: int) -> None:
    """R8: the time is up; the refusal names the step that never came."""
    overdue = [held for held in turn.case.held if held.due_ms and held.due_ms <= now_ms]
    turn.case.held = [held for held in turn.case.held if not held.due_ms or held.due_ms > now_ms]
    for held in overdue:
        zh, en = NAMES[held.missing]
        turn.refuse(
            held.message,
            Refusal(
                "missing_step",
                "type",
                "R8",
                "GB/T 39046-2020",
                f"等待超时：该办件一直没有收到“{zh}”（{held.missing}）",
                f"time is up: the {en} ({held.missing}) of this case never came",
                f"先发送 {held.missing}，再用更高的版本号重报本消息",
                f"send {held.missing} first, then report this message again with a higher version",
            ),
        )


def _older_than_memory(message: Message, keep_closed_ms: int, now_ms: int) -> bool:
    """Whether a message of a case nobody remembers may be the repeat of one that was forgotten (G8). A
    credit standing is no case and may be old."""
    return message.time_ms < now_ms - keep_closed_ms and message.type != "credit.changed"


def _archived(keep_closed_ms: int) -> Refusal:
    days = keep_closed_ms // 86_400_000
    return Refusal(
        "archived",
        "occurredAt",
        "G8",
        "HUB_CLOSED_CASE_KEEP_DAYS",
        f"业务时间早于 {days} 天前，枢纽已无此办件的记录（可能已归档），不能再接收",
        f"dated more than {days} days ago and the hub remembers no such case: it may be archived",
        "确为新办件时，请按实际收件时间重报，或联系枢纽运维",
        "if the case is new, report it with the time it was received, or ask the hub's operators",
    )


def _too_many(bound: int) -> Park:
    return Park(
        "seen_limit",
        f"该办件的消息数达到上限（seen_max={bound}）",
        f"the number of messages of this case reached its bound (seen_max={bound})",
    )


def _quarantined(message: Message, state: bytes, format_id: str, tables: Tables, now_ms: int) -> Decision:
    """A state of another release is kept as it is; what comes meanwhile is parked behind it, each id once,
    within the bounds."""
    quarantine = decode_quarantine(state)
    if quarantine is None:
        zh, en = f"办件状态的格式 {format_id} 未知", f"the case's state has the unknown format {format_id}"
        quarantine = Quarantine(state, Parked("state_format", zh, en, now_ms, ()))
    parked = quarantine.parked
    for earlier in parked.queue:
        if earlier.id == message.id:
            return Decision(None, duplicate=True)
    limits, size = tables.limits, len(state) + message_bytes(message.value)
    if len(parked.queue) >= limits.parked_max or size > limits.state_bytes_max:
        zh, en = f"{parked.zh}；队列已满", f"{parked.en}; its queue is full"
        return Decision(None, (Verdict(message, Disposition.REFUSED, "case_full", zh=zh, en=en),))
    kept = msgspec.structs.replace(parked, queue=(*parked.queue, message))
    verdict = Verdict(message, Disposition.PARKED, parked.reason, zh=parked.zh, en=parked.en)
    return Decision(encode_quarantine(Quarantine(quarantine.original, kept)), (verdict,))
