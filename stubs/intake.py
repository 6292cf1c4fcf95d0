"""What the two systems that take applications in do with a case: the provincial platform and the unified
intake S08 (统一接件受理).

Pure functions from an event to the messages they send next; no I/O.
"""

from typing import Any, Final

import msgspec

from stubs.department import CROSS_REGION, review
from stubs.forms import form_answers, remember_submission, scenario_of
from stubs.model import CaseMemory, Event, Planned, Reaction, later, newest

PLATFORM: Final = "platform"
EVALUATED_OF_TEN: Final = 7
_WINDOW_PERSON: Final = {"window-haikou": "李春梅", "window-sanya": "郑海波"}
_WINDOW_ORG: Final = {
    "window-haikou": {"code": "11460100MB1A2103XD", "name": "海口市政务服务中心"},
    "window-sanya": {"code": "11460200MB1A220401", "name": "三亚市政务服务中心"},
}
_OTHER_WINDOW: Final = {"window-haikou": "window-sanya", "window-sanya": "window-haikou"}
# Answered only by the member that opened the case; until its receipt has come it does not know that it did.
_FOR_ORIGIN: Final = frozenset({"case.correction_notified"})
_FOR_ORIGIN_WINDOW: Final = _FOR_ORIGIN | {"case.decided"}


def open_case(opening: Planned) -> tuple[Planned, ...]:
    """The opening message and what its sender says right after it, without waiting for anybody."""
    scenario = scenario_of(opening.body.get("form"))
    planned = [opening]
    if scenario == "withdrawn":
        planned.append(_withdrawn(opening))
    if opening.member != PLATFORM and scenario != "unknown_item" and not scenario.startswith("credit_"):
        planned.extend(_at_window(opening, scenario))
    return tuple(planned)


def learn(opening: Planned, case_no: str, memory: CaseMemory | None) -> Reaction:
    """The receipt of an opening message: this case number is ours. Answers what arrived before the receipt
    did.
    """
    event = Event(
        dispatch_id="",
        message_id="",
        kind=opening.type,
        case_no=case_no,
        source=opening.member,
        occurred_at=opening.occurred_at,
        body=opening.body,
    )
    known = msgspec.structs.replace(
        remember_submission(event),
        own=True,
        case_ref=opening.case_ref,
        clock=newest(opening.occurred_at, memory.clock if memory else ""),
        delivered=bool(memory and memory.delivered),
    )
    planned: list[Planned] = []
    for waiting in memory.waiting if memory else ():
        reaction = react(opening.member, waiting, known)
        known = reaction.memory
        planned.extend(reaction.planned)
    return Reaction(known, tuple(planned))


def react(member: str, event: Event, memory: CaseMemory | None) -> Reaction:
    """Next messages of the platform or of the intake system after one dispatch to `member`."""
    if memory is None:
        memory = (
            remember_submission(event)
            if event.kind == "case.submitted"
            else CaseMemory(origin="", clock=event.occurred_at)
        )
    memory = msgspec.structs.replace(memory, clock=newest(memory.clock, event.occurred_at))
    if not memory.own and event.kind in (_FOR_ORIGIN if member == PLATFORM else _FOR_ORIGIN_WINDOW):
        return Reaction(msgspec.structs.replace(memory, waiting=(*memory.waiting, event)))
    if event.kind == "credit.review":
        return review(member, _WINDOW_PERSON.get(member, "周晓明"), event, memory)
    if event.kind == "case.correction_notified":
        return _correct(memory.origin or member, event, memory)
    if event.kind == "case.decided":
        return _evaluate(event, memory) if member == PLATFORM else _hand_out(member, event, memory)
    return Reaction(memory)


def _withdrawn(opening: Planned) -> Planned:
    moment = later(opening.occurred_at, minutes=30)
    applicant = opening.body.get("applicant") or {}
    return Planned(
        member=opening.member,
        type="case.withdrawn",
        source_ref=f"{opening.case_ref}-CH",
        occurred_at=moment,
        case_ref=opening.case_ref,
        body={
            "withdrawnAt": moment,
            "reason": "申请人填报有误，撤回后重新申报",
            "by": str(applicant.get("name", "申请人"))[:100],
        },
    )


def _at_window(opening: Planned, scenario: str) -> list[Planned]:
    """At a window (F51): receipt voucher, form check, and acceptance where the item allows it."""
    body, person = opening.body, _WINDOW_PERSON[opening.member]
    answers = form_answers(body.get("form"))
    own = _WINDOW_ORG[opening.member]
    org = {
        "code": str(answers.get("departmentCode") or body["item"][:18]),
        "name": str(answers.get("department") or "实施机关"),
    }
    received = later(opening.occurred_at, minutes=5)
    examined = later(opening.occurred_at, minutes=15)
    planned = [
        _from_window(
            opening,
            "material_received",
            "SJ",
            received,
            {
                "voucherNo": f"CK{opening.case_ref[-16:]}",
                "receivedAt": received,
                "org": own,
                "handler": person,
                "window": opening.member,
            },
        ),
        _from_window(
            opening,
            "pre_examined",
            "YS",
            examined,
            {
                "result": "1",
                "org": own,
                "handler": person,
                "opinion": "申报资格确认、形式审查通过",
                "examinedAt": examined,
            },
        ),
    ]
    if scenario in CROSS_REGION:
        accepted = later(opening.occurred_at, minutes=25)
        planned.append(
            _from_window(
                opening,
                "accepted",
                "SL",
                accepted,
                {
                    "org": org,
                    "handler": person,
                    "acceptedAt": accepted,
                    "docNo": f"异地受理{opening.case_ref[-10:]}",
                    "projectType": body["projectType"],
                    "region": body["region"],
                    "window": opening.member,
                },
            )
        )
    return planned


def _from_window(opening: Planned, kind: str, tag: str, moment: str, body: dict[str, Any]) -> Planned:
    return Planned(
        member=opening.member,
        type="case." + kind,
        source_ref=f"{opening.case_ref}-{tag}",
        occurred_at=moment,
        case_ref=opening.case_ref,
        body=body,
    )


def _correct(member: str, event: Event, memory: CaseMemory) -> Reaction:
    """F11: the applicant corrects once told; the materials asked for are sent again."""
    moment = later(memory.clock, minutes=24 * 60)
    asked = {wanted["code"] for wanted in event.body.get("materials", ())}
    materials = [m for m in memory.materials if m.get("code") in asked] or list(memory.materials[:1])
    planned = Planned(
        member=member,
        type="case.corrected",
        source_ref=f"{event.case_no}-BZ{memory.corrections + 1}",
        occurred_at=moment,
        case_no=event.case_no,
        body={
            "correctedAt": moment,
            "materials": materials,
            "receiver": "网上申报" if member == PLATFORM else _WINDOW_PERSON[member],
        },
    )
    memory = msgspec.structs.replace(memory, clock=moment, corrections=memory.corrections + 1)
    return Reaction(memory, (planned,))


def _evaluate(event: Event, memory: CaseMemory) -> Reaction:
    """F21: the applicant is invited and most of them answer."""
    lot = sum(event.case_no.encode()) % 100
    if lot % 10 >= EVALUATED_OF_TEN:
        return Reaction(memory)
    moment = later(memory.clock, minutes=26 * 60)
    planned = Planned(
        member=PLATFORM,
        type="case.evaluated",
        source_ref=f"{event.case_no}-PJ1",
        occurred_at=moment,
        case_no=event.case_no,
        body={
            "channel": ("PC端", "移动服务端", "二维码", "短信")[lot % 4],
            "evaluatedAt": moment,
            "times": 1,
            "satisfaction": "1" if lot < 60 else "2" if lot < 90 else "4",
            "comment": "办理很快" if lot < 60 else "等待时间较长" if lot >= 90 else "按时办结",
        },
    )
    return Reaction(memory, (planned,))


def _hand_out(member: str, event: Event, memory: CaseMemory) -> Reaction:
    """F19, F52: the window hands the result out. In a cross-region case the window of the deciding city does,
    or sends it by mail.
    """
    wanted = bool(event.body.get("needDelivery"))
    if not wanted or memory.delivered:
        return Reaction(memory)
    speaker = memory.origin or member
    if memory.scenario in CROSS_REGION:
        speaker = _OTHER_WINDOW[speaker]
    by_mail = memory.scenario == "cross_region_mail"
    moment = later(memory.clock, minutes=180)
    body: dict[str, Any] = {
        "method": "2" if by_mail else "1",
        "receiver": {"name": memory.collector},
        "deliveredAt": moment,
        "window": speaker,
    }
    if by_mail:
        body["trackingNo"] = f"EMS{sum(event.case_no.encode()):06d}{event.case_no[-4:]}HN"
    planned = Planned(
        member=speaker,
        type="case.delivered",
        source_ref=f"{event.case_no}-SD",
        occurred_at=moment,
        case_no=event.case_no,
        body=body,
    )
    return Reaction(msgspec.structs.replace(memory, delivered=True), (planned,))
