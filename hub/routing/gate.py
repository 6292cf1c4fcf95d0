"""The opening of a case: who decides it and, where the item asks, the credit gate before it (R22). Works on
a Turn; no message is read
beyond its headers."""

import msgspec

from hub.directory.model import MemberKind
from hub.envelope import Message
from hub.routing import credit, destinations, refusals, speakers
from hub.routing.model import Disposition, Held, Refusal, Stage, Verdict
from hub.routing.tables import Standing
from hub.routing.turn import Park, Turn, too_full


def identify(turn: Turn, message: Message) -> Refusal | Park | None:
    """Fill in item, region, owner and origin from the opening message. Park: the directory does not know
    them (G5). Refusal: R11."""
    tables, case = turn.tables, turn.case
    item, region = tables.item(message.item), tables.region(message.region)
    park = _unknown(turn, message, item, region)
    if park is not None:
        return park
    case.item, case.region, case.origin = item, region, message.source
    case.owner = tables.owner(item, region)
    case.nation, case.supervision = tables.items[item].nation, tables.items[item].supervision
    case.party = message.attributes.get("party", "")
    refusal = speakers.refused(case, message, tables)
    if refusal is not None:
        forget(turn)
    return refusal


def _unknown(turn: Turn, message: Message, item: str, region: str) -> Park | None:
    tables = turn.tables
    if message.source not in tables.members:
        return Park(
            "unknown_member",
            f"目录中没有成员 {message.source}",
            f"the directory has no member {message.source}",
        )
    if not item:
        return Park(
            "unknown_item", f"目录中没有事项 {message.item}", f"the directory has no item {message.item}"
        )
    version = message.attributes.get("itemVersion", "")
    if version and version not in {str(known) for known in tables.items[item].versions}:
        return Park(
            "unknown_item_version", f"事项 {item} 没有版本 {version}", f"item {item} has no version {version}"
        )
    if not region:
        return Park(
            "unknown_region",
            f"目录中没有区划 {message.region}",
            f"the directory has no region {message.region}",
        )
    if not tables.owner(item, region):
        zh, en = (
            f"事项 {item} 在区划 {region} 没有属地实施机构",
            f"nobody decides item {item} in region {region}",
        )
        return Park("no_owner", zh, en)
    return None


def forget(turn: Turn) -> None:
    """The opening did not stand: the case is as if it had never been opened."""
    case = turn.case
    case.item = case.region = case.origin = case.owner = case.party = case.grade = ""
    case.gated = None


def open_case(turn: Turn, message: Message) -> None:
    """Release the submission at once, or hold it and ask the credit library. What another hub sends has
    passed its gate."""
    item = turn.tables.items[turn.case.item]
    if message.via:
        turn.case.grade = message.attributes.get("grade", "")
    if item.credit != "query" or message.via:
        release(turn, message, "")
        return
    full = too_full(turn, message)
    if full is not None:
        forget(turn)
        turn.refuse(message, full)
        return
    libraries = turn.tables.of_kind(MemberKind.CREDIT)
    query = refusals.originated(
        message, refusals.CREDIT_QUERY, libraries[0] if libraries else "", turn.tables, {}
    )
    due_ms = turn.now_ms + turn.tables.limits.credit_timeout_ms
    turn.case.gated = Held(message, credit.AWAIT_ANSWER, due_ms)
    if query.dispatches:
        turn.hold(message, credit.AWAIT_ANSWER)
        turn.verdicts.append(query)
    else:
        fall_back(turn)


def fall_back(turn: Turn) -> None:
    """No answer in time: the standing that the table knows, else blue."""
    judge(turn, credit.known(turn.case.party, turn.tables.credit), "credit_fallback")


def judge(turn: Turn, found: Standing, reason: str) -> None:
    """Release, refuse or hold for a person, by the party's standing (H 9.3.1.2). The case must be gated."""
    case = turn.case
    assert case.gated is not None
    submission, item = case.gated.message, turn.tables.items.get(case.item)
    case.grade = found.grade
    outcome = credit.verdict(found, item)
    if outcome == "pass":
        release(turn, submission, reason)
    elif outcome == "refuse":
        turn_away(turn, credit.banned_refusal(found))
    else:
        case.gated = Held(submission, credit.AWAIT_REVIEW, 0)
        turn.hold(submission, credit.AWAIT_REVIEW)
        turn.verdicts.append(_review(turn, submission, found))


def _review(turn: Turn, submission: Message, found: Standing) -> Verdict:
    """Ask the window the case came in at; where the origin does not review, the platform."""
    extra = {"grade": found.grade, "banned": ",".join(found.banned)}
    platforms = turn.tables.of_kind(MemberKind.PLATFORM)
    asked = refusals.originated(submission, refusals.CREDIT_REVIEW, turn.case.origin, turn.tables, extra)
    if not asked.dispatches and platforms:
        asked = refusals.originated(submission, refusals.CREDIT_REVIEW, platforms[0], turn.tables, extra)
    return asked


def release(turn: Turn, message: Message, reason: str) -> None:
    """The case is open; the submission goes to its destinations, with the grade when there is one."""
    case = turn.case
    case.opened, case.stage, case.gated = True, Stage.SUBMITTED, None
    if case.grade:
        message = msgspec.structs.replace(message, attributes={**message.attributes, "grade": case.grade})
    outgoing = destinations.of(case, message, turn.tables)
    outgoing = destinations.services(outgoing, case, turn.tables.items.get(case.item))
    turn.verdicts.append(Verdict(message, Disposition.ROUTED, reason, outgoing, stage=turn.case.stage))


def turn_away(turn: Turn, refusal: Refusal) -> None:
    """The gated submission is refused, and with it everything that waited for it."""
    case = turn.case
    assert case.gated is not None
    turn.refuse(case.gated.message, refusal)
    forget(turn)
    refuse_waiting(turn)


def refuse_waiting(turn: Turn) -> None:
    """What waited for an opening that was refused is refused too, each sender told."""
    waiting, turn.case.held = turn.case.held, []
    for held in waiting:
        turn.refuse(held.message, _opening_refused())


def _opening_refused() -> Refusal:
    return Refusal(
        "opening_refused",
        "caseNo",
        "R8",
        "DB46 一体化政务服务平台服务规范 8.4",
        "该办件的申请已被拒绝，等待它的消息一并拒绝",
        "the submission of this case was refused, and with it what waited for it",
        "申请被受理系统接收后再发送",
        "send it again, with a higher version, once the submission was taken",
    )
