"""What a message means for its case: `assess` finds out whether it may be applied now, `apply` changes the
case and routes it."""

from hub import ids
from hub.directory.model import MemberKind
from hub.envelope import Message
from hub.routing import credit, crossing, destinations, gate, lifecycle, refusals, speakers
from hub.routing.model import OutcomeChange, Refusal, Stage
from hub.routing.turn import Park, Turn, Wait

_WHILE_GATED = frozenset({"credit.answered", "credit.reviewed", "dispatch.refused"})
# What comes back for a dispatch of ours; it may come when nobody waits for it any more.
_ABOUT_OUR_ASKING = frozenset({"credit.answered", "dispatch.refused"})


def take(turn: Turn, message: Message) -> None:
    """One new message of a case: applied (with everything that waited for it), held, refused or parked."""
    if turn.case.parked is not None:
        turn.queue(message)
        return
    outcome = assess(turn, message)
    if outcome is None:
        apply(turn, message)
        if turn.case.held:
            drain(turn)
    elif isinstance(outcome, Wait):
        turn.wait(message, outcome)
    elif isinstance(outcome, Park):
        turn.park(message, outcome)
    else:
        turn.refuse(message, outcome)
        if message.type == "case.submitted" and not turn.case.opened and turn.case.gated is None:
            gate.refuse_waiting(turn)


def assess(turn: Turn, message: Message) -> Wait | Park | Refusal | None:
    """None: it may be applied now. Otherwise why not (R8, R9, R11, G5)."""
    case, type_ = turn.case, message.type
    step = lifecycle.STEPS.get(type_)
    if step is None:
        return Park("unknown_type", f"未知的消息类型 {type_}", f"unknown message type {type_}")
    if not case.opened:
        if case.gated is None:
            if type_ == "case.submitted":
                return gate.identify(turn, message)
            if type_ in _ABOUT_OUR_ASKING and case.saw("case.submitted"):
                # Its submission was turned away meanwhile: nothing to wait for, only to be written down.
                return None
            return Wait("case.submitted", True)
        if type_ not in _WHILE_GATED:
            return Wait(case.gated.missing, False)
    refusal = speakers.refused(case, message, turn.tables)
    if refusal is None and not crossing.judged_by_owner(case, message, turn.tables):
        refusal = lifecycle.forbidden(case, message, step)
    if refusal is not None:
        return refusal
    missing = lifecycle.missing(case, message, step)
    return Wait(missing, case.gated is None) if missing else None


def drain(turn: Turn) -> None:
    """Apply what waited and has become possible, in life-cycle order, until nothing more moves."""
    case = turn.case
    moved = True
    while moved and case.held:
        moved = False
        for held in sorted(case.held, key=lambda held: (_rank(held.message), held.message.time_ms)):
            outcome = assess(turn, held.message)
            if isinstance(outcome, Wait):
                _still_waits(turn, held.message, outcome)
                continue
            case.held = [other for other in case.held if other.message.id != held.message.id]
            if outcome is None:
                apply(turn, held.message)
            elif isinstance(outcome, Park):
                turn.park(held.message, outcome)
                return
            else:
                turn.refuse(held.message, outcome)
            moved = True
            break


def _rank(message: Message) -> int:
    return lifecycle.STEPS[message.type].rank


def _still_waits(turn: Turn, message: Message, wait: Wait) -> None:
    """Its own time stands still while the case awaits credit, and starts when the case goes on."""
    for index, held in enumerate(turn.case.held):
        if held.message.id != message.id:
            continue
        due_ms = (held.due_ms or turn.due_ms(message)) if wait.timed else 0
        if (held.missing, held.due_ms) != (wait.missing, due_ms):
            turn.case.held[index] = type(held)(message, wait.missing, due_ms)
        return


def apply(turn: Turn, message: Message) -> None:
    """Change the case and route the message. It must have been assessed."""
    type_ = message.type
    if type_ == "case.submitted" and not turn.case.opened:
        gate.open_case(turn, message)
    elif type_ == "credit.answered":
        turn.route(message, (), "recorded")
        if turn.case.gated is not None and turn.case.gated.missing == credit.AWAIT_ANSWER:
            gate.judge(turn, credit.standing(message), "")
    elif type_ == "credit.reviewed":
        _reviewed(turn, message)
    elif type_ == "nation.rejected":
        _rejected_by_nation(turn, message)
    elif type_ == "dispatch.refused":
        _refused_by_member(turn, message)
    else:
        _advance(turn, message)


def _advance(turn: Turn, message: Message) -> None:
    """A step of the life cycle: facts, stage, destinations."""
    case, type_ = turn.case, message.type
    step = lifecycle.STEPS[type_]
    outgoing = destinations.of(case, message, turn.tables)
    late = lifecycle.late(case, step)
    if type_ == "case.process_step":
        pass
    elif type_ == "case.accepted":
        case.accepted = True
        case.stage = case.stage if late else Stage.ACCEPTED
    elif type_ == "case.special_started":
        _start_special(turn, message)
    elif type_ == "case.special_ended":
        _end_special(turn, message)
    elif type_ == "case.correction_notified":
        case.notified += 0 if lifecycle.corrects(message) and case.notified else 1
        if case.notified > 1:
            outgoing = destinations.second_correction(outgoing, turn.tables)
    elif type_ == "case.corrected":
        case.corrected += 1 if case.corrected < case.notified else 0
    if step.ends is not None and (not case.ended_ms or crossing.judged_by_owner(case, message, turn.tables)):
        case.stage, case.ended_ms = step.ends, message.time_ms
    turn.route(message, outgoing, "late" if late else "")


def _start_special(turn: Turn, message: Message) -> None:
    sn = lifecycle.special_number(message)
    if sn not in turn.case.specials and sn not in turn.case.specials_done:
        turn.case.specials.append(sn)


def _end_special(turn: Turn, message: Message) -> None:
    sn = lifecycle.special_number(message)
    if sn in turn.case.specials:
        turn.case.specials.remove(sn)
        turn.case.specials_done.append(sn)


def _reviewed(turn: Turn, message: Message) -> None:
    """A window person's decision on a black case (H 9.3.1.2 d)."""
    assert turn.case.gated is not None
    turn.route(message, (), "recorded")
    if message.attributes.get("allow") == "1":
        gate.release(turn, turn.case.gated.message, "credit_reviewed")
    else:
        gate.turn_away(turn, credit.review_refusal())


def _rejected_by_nation(turn: Turn, message: Message) -> None:
    """R30: a collected row came back. The dispatch was delivered and is refused now; the department must
    correct it."""
    case, tables = turn.case, turn.tables
    cause = message.attributes.get("message", "")
    _, sender, type_ = case.find(cause) or ("", "", "")
    nations = tables.of_kind(MemberKind.NATION)
    nation = message.source if message.source in nations else nations[0] if nations else message.source
    change = OutcomeChange(
        message.attributes.get("dispatch", ""),
        cause,
        nation,
        "refused",
        "nation_rejected",
        f"nation.rejected {message.id}",
        via=tables.remote.get(sender, ""),
    )
    turn.outcome_changes = (*turn.outcome_changes, change)
    turn.route(message, (), "recorded")
    member = tables.members.get(sender)
    to = sender if member is not None and member.kind is MemberKind.DEPARTMENT else case.owner
    about = (cause, type_ or "unknown")
    turn.verdicts.append(refusals.of_dispatched(message, about, to, tables, turn.now_ms))


def _refused_by_member(turn: Turn, message: Message) -> None:
    """A member refused a dispatch: the sender of that message is told (R10). A refused credit query counts
    as no answer (R22)."""
    case = turn.case
    turn.route(message, (), "recorded")
    cause = message.attributes.get("message", "")
    gated = case.gated
    if gated is not None and gated.missing == credit.AWAIT_ANSWER:
        if cause == ids.originated_id(gated.message.id, refusals.CREDIT_QUERY):
            gate.fall_back(turn)
        return
    found = case.find(cause)
    if found is not None and found[1] in turn.tables.members and found[2] != refusals.REFUSAL:
        about = (cause, found[2] or "unknown")
        turn.verdicts.append(refusals.of_dispatched(message, about, found[1], turn.tables, turn.now_ms))
