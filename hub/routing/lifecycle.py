"""The life of a case as data: what each step needs, what ends it, what stays legal afterwards (R8, R9).
Asks questions, changes nothing."""

from typing import Final, NamedTuple

from hub.envelope import Message
from hub.routing.model import Refusal, Stage
from hub.routing.state import Case


class Step(NamedTuple):
    """rank: place in the life cycle. needs: conditions, in the order they are asked. once: a second one is
    refused unless it is a
    correction by version. ends: the stage it ends the case with. excluded_by: what makes it impossible for
    ever."""

    rank: int
    needs: tuple[str, ...] = ()
    once: bool = False
    ends: Stage | None = None
    excluded_by: tuple[str, ...] = ()
    after_end: bool = False


STEPS: Final = {
    "case.submitted": Step(0, once=True),
    "case.material_received": Step(1, ("submitted",)),
    "case.pre_examined": Step(2, ("submitted",)),
    "case.correction_notified": Step(3, ("submitted",)),
    "case.corrected": Step(3, ("submitted", "open_correction")),
    "case.withdrawn": Step(
        4, ("submitted",), once=True, ends=Stage.WITHDRAWN,
        excluded_by=("accepted", "not_accepted", "decided"),
    ),
    "case.accepted": Step(
        5, ("submitted", "no_open_correction"), once=True,
        excluded_by=("withdrawn", "not_accepted", "decided"),
    ),
    "case.not_accepted": Step(
        5, ("submitted", "no_open_correction"), once=True, ends=Stage.NOT_ACCEPTED,
        excluded_by=("accepted", "withdrawn", "decided"),
    ),
    "case.process_step": Step(6, ("submitted", "accepted")),
    "case.special_started": Step(6, ("submitted", "accepted"), once=True),
    "case.special_ended": Step(6, ("submitted", "special_started"), once=True),
    "case.decided": Step(
        7, ("submitted", "accepted_or_turned_away", "no_open_special"), once=True, ends=Stage.DECIDED,
        excluded_by=("withdrawn", "not_accepted"),
    ),
    "case.delivered": Step(8, ("submitted", "decided"), after_end=True),
    "case.evaluated": Step(9, ("submitted", "ended"), after_end=True),
    "credit.answered": Step(0, ("submitted_or_gated",), after_end=True),
    "credit.reviewed": Step(0, ("review",), after_end=True),
    "nation.rejected": Step(10, ("submitted",), after_end=True),
    "dispatch.refused": Step(10, ("submitted_or_gated",), after_end=True),
}  # fmt: skip

# What a refusal or a waiting list names: the step's name, Chinese and English.
NAMES: Final = {
    "case.submitted": ("申请", "submission"),
    "case.material_received": ("收件", "receipt of materials"),
    "case.pre_examined": ("预审", "pre-examination"),
    "case.correction_notified": ("补正告知", "correction notice"),
    "case.corrected": ("补正", "corrected material"),
    "case.withdrawn": ("撤回", "withdrawal"),
    "case.accepted": ("受理", "acceptance"),
    "case.not_accepted": ("不予受理", "non-acceptance"),
    "case.process_step": ("过程环节", "process step"),
    "case.special_started": ("特别程序开始", "start of a special procedure"),
    "case.special_ended": ("特别程序结束", "end of a special procedure"),
    "case.decided": ("办结", "decision"),
    "case.delivered": ("送达", "delivery"),
    "case.evaluated": ("评价", "evaluation"),
    "credit.answered": ("信用核验结果", "credit answer"),
    "credit.reviewed": ("窗口人工确认", "review by a window person"),
    "credit.review": ("待窗口人工确认", "a pending review"),
    "nation.rejected": ("国家平台退回", "rejection by the nation"),
    "dispatch.refused": ("成员拒收", "refusal by a member"),
    "credit": ("信用核验", "credit check"),
}

_DIGITS_MAX: Final = 9
TURNED_AWAY: Final = "6"  # EA_JC doneresult 6 不予受理: a decision that needs no acceptance


def corrects(message: Message) -> bool:
    """更正: a re-report with a version above 1 (EA_JC dataver, SP* VERSION)."""
    version = message.attributes.get("version")
    return version is not None and _number(version) > 1


def missing(case: Case, message: Message, step: Step) -> str:
    """The step that this message waits for ("" = nothing): the message type an operator should look for, or
    `credit`."""
    for need in step.needs:
        lacking = _lacking(need, case, message)
        if lacking:
            return lacking
    return ""


def _lacking(need: str, case: Case, message: Message) -> str:
    if need == "submitted":
        if case.opened:
            return ""
        return "case.submitted" if case.gated is None else case.gated.missing
    if need == "accepted":
        return "" if case.accepted else "case.accepted"
    if need == "no_open_correction":
        return "" if case.corrected >= case.notified else "case.corrected"
    if need == "open_correction":
        return "" if case.corrected < case.notified or corrects(message) else "case.correction_notified"
    if need == "special_started":
        sn = special_number(message)
        return "" if sn in case.specials or sn in case.specials_done else "case.special_started"
    if need == "no_open_special":
        return "" if not case.specials else "case.special_ended"
    if need == "accepted_or_turned_away":
        turned_away = message.attributes.get("result") == TURNED_AWAY
        return "" if case.accepted or turned_away else "case.accepted"
    if need == "decided":
        return "" if case.stage == Stage.DECIDED else "case.decided"
    if need == "ended":
        return "" if case.stage in (Stage.DECIDED, Stage.NOT_ACCEPTED) else "case.decided"
    if need == "submitted_or_gated":
        return "" if case.opened or case.gated is not None else "case.submitted"
    assert need == "review", need
    if case.gated is not None:
        return "" if case.gated.missing == "credit.reviewed" else "credit"
    return "case.submitted"


def forbidden(case: Case, message: Message, step: Step) -> Refusal | None:
    """Why this message can never be applied to this case, whatever still comes; None when it can (R8, R9)."""
    if not case.opened:
        return None
    if step.once and _happened(case, message) and not corrects(message):
        return _already(message)
    for exclusion in step.excluded_by:
        if _is(exclusion, case):
            return _contradicts(case, message, exclusion)
    if message.type == "credit.reviewed":
        return Refusal(
            "not_under_review", "caseNo", "R22", "DB46 一体化政务服务平台服务规范 9.3.1.2",
            "该办件不在待人工确认状态", "this case does not await a review",
        )  # fmt: skip
    if case.ended_ms and not step.after_end and message.time_ms > case.ended_ms and not corrects(message):
        return _after_end(case, message)
    return None


def late(case: Case, step: Step) -> bool:
    """The case has ended: the message is applied without changing its stage (retries overtake, R8)."""
    return bool(case.ended_ms) and not step.after_end


def special_number(message: Message) -> int:
    """序号 of a special procedure; 0 when the sender gave none."""
    return _number(message.attributes.get("sn", "0"))


def _number(text: str) -> int:
    """A small number in a header; 0 for anything else."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS_MAX else 0


def _happened(case: Case, message: Message) -> bool:
    type_ = message.type
    if type_ == "case.special_started":
        sn = special_number(message)
        return sn in case.specials or sn in case.specials_done
    if type_ == "case.special_ended":
        return special_number(message) in case.specials_done
    if type_ == "case.submitted":
        return case.opened
    if type_ == "case.accepted":
        return case.accepted
    ends = STEPS[type_].ends
    return ends is not None and case.stage == ends


def _is(exclusion: str, case: Case) -> bool:
    return case.accepted if exclusion == "accepted" else case.stage == exclusion


def _already(message: Message) -> Refusal:
    zh, en = NAMES[message.type]
    return Refusal(
        "already", "type", "R8", "GB/T 39046-2020",
        f"该办件已有“{zh}”，不能再报一次", f"this case already has its {en}",
        "如需更正，请用更高的版本号重报", "to correct it, report it again with a higher version",
    )  # fmt: skip


def _contradicts(case: Case, message: Message, exclusion: str) -> Refusal:
    zh, en = NAMES[message.type]
    other_zh, other_en = NAMES["case." + exclusion]
    clause = (
        "DB37/T 3448.1-2019 4.5.2.4 d"
        if message.type == "case.withdrawn"
        else "DB46 一体化政务服务平台服务规范 8.4"
    )
    return Refusal(
        "contradiction", "type", "R9", clause,
        f"该办件已“{other_zh}”，不能再“{zh}”", f"after the {other_en} of this case its {en} is not possible",
        "请核对办件状态后联系受理机构", "check the state of the case and contact the deciding department",
    )  # fmt: skip


def _after_end(case: Case, message: Message) -> Refusal:
    zh, en = NAMES[message.type]
    return Refusal(
        "after_end", "occurredAt", "R9", "DB46 一体化政务服务平台服务规范 8.6",
        f"办件已结束，“{zh}”的业务时间晚于结束时间",
        f"the case has ended and this {en} is dated after its end",
        "结束后只接收送达、评价、信用和更正（更高版本号）消息",
        "after the end only delivery, evaluation, credit and corrections are taken",
    )  # fmt: skip
