"""What a department does with a case: pure functions from an event to the messages it sends next. Dialect and
transport live elsewhere.

Which way a case goes is written in the case itself (`form.content` JSON, key `scenario`), so that members
need no coordination.
"""

from typing import Any, Final

import msgspec

from stubs.forms import remember_submission, scenario_of
from stubs.model import CaseMemory, Event, Planned, Reaction, later, newest

CROSS_REGION: Final = frozenset({"cross_region_counter", "cross_region_mail"})
_SILENT: Final = frozenset({"withdrawn"})  # the applicant withdraws before anybody at the counter looked
_VALID_YEARS: Final = 5


class Office(msgspec.Struct, frozen=True):
    """One department's counter: its member id, its name on documents and the people who work there.

    vouchers: whether it reports the receipt of materials (收件) apart from acceptance; the old system cannot.
    """

    member: str
    org_code: str
    name: str
    acceptor: str
    examiner: str
    approver: str
    vouchers: bool = True


OFFICES: Final = {
    "dept-a": Office("dept-a", "11460100MB1A21013T", "海口市市场监督管理局", "陈海燕", "符永强", "林志远"),
    "dept-b": Office(
        "dept-b",
        "11460200MB1A22024B",
        "三亚市人力资源和社会保障局",
        "王秀英",
        "黎国栋",
        "林喆",
        vouchers=False,
    ),
}


def react(office: Office, event: Event, memory: CaseMemory | None) -> Reaction:
    """The department's next messages after one dispatch. `memory` None = a case it has not seen."""
    if event.kind == "case.submitted":
        memory = remember_submission(event)
        if memory.scenario in _SILENT or (memory.window and memory.scenario in CROSS_REGION):
            return Reaction(memory)  # the window accepts (H 9.2.2.3), or nobody will
        return _open(office, event.case_no, memory)
    if memory is None:
        return Reaction(CaseMemory(clock=event.occurred_at, origin=event.source))
    memory = msgspec.structs.replace(memory, clock=newest(memory.clock, event.occurred_at))
    if memory.ended:
        return Reaction(memory)
    match event.kind:
        case "case.accepted":
            return _examine(_Counter(office, event.case_no, memory), memory)
        case "case.corrected":
            if memory.scenario == "corrected_twice" and memory.corrections == 1:
                return _ask_again(office, event.case_no, memory)
            return _accept(_Counter(office, event.case_no, memory), memory)
        case "credit.review":  # a case of its own counter
            return review(office.member, office.acceptor, event, memory)
        case "case.withdrawn":
            return Reaction(msgspec.structs.replace(memory, ended=True))
        case _:
            return Reaction(memory)


def refusal_of(event: Event) -> str:
    """Why this department does not take a dispatch at all; empty when it does."""
    if event.kind == "case.submitted" and scenario_of(event.body.get("form")) == "dispatch_refused":
        return "申请事项不属于本部门办理范围"
    return ""


def own_case(office: Office, opening: Planned) -> tuple[Planned, ...]:
    """Every step of a case begun at the department's own counter (R3), in order, under its own reference."""
    event = Event(
        dispatch_id="",
        message_id="",
        kind=opening.type,
        case_no="",
        source=office.member,
        occurred_at=opening.occurred_at,
        body=opening.body,
    )
    memory = msgspec.structs.replace(remember_submission(event), own=True, case_ref=opening.case_ref)
    return (opening, *_accept(_Counter(office, "", memory), memory).planned)


def review(member: str, person: str, event: Event, memory: CaseMemory) -> Reaction:
    """H 9.3.1.2 d: a person at the window decides about a held black-listed case."""
    scenario = scenario_of(event.body.get("form")) if "form" in event.body else memory.scenario
    allow = scenario != "credit_review_deny"
    moment = later(newest(memory.clock, event.occurred_at), minutes=20)
    planned = Planned(
        member=member,
        type="credit.reviewed",
        source_ref=f"{event.case_no}-XY",
        occurred_at=moment,
        case_no=event.case_no,
        body={
            "allow": allow,
            "reviewer": person,
            "reason": "经人工核验，禁入范围不含本事项" if allow else "经人工核验，属于行业禁入情形",
            "reviewedAt": moment,
        },
    )
    return Reaction(memory, (planned,))


class _Counter:
    """Collects one department's messages about one case; each later than the one before."""

    def __init__(self, office: Office, case_no: str, memory: CaseMemory) -> None:
        self.office, self.case_no, self.case_ref = office, case_no, memory.case_ref
        self.clock = memory.clock
        self.org = {"code": office.org_code, "name": office.name}
        self.planned: list[Planned] = []

    def say(self, kind: str, tag: str, minutes: int, time_field: str, body: dict[str, Any]) -> None:
        """One more message, `minutes` after the last; its business time goes into `time_field`. Empty fields
        are left out.
        """
        self.clock = later(self.clock, minutes=minutes)
        filled = {name: value for name, value in body.items() if value not in ("", None)}
        self.planned.append(
            Planned(
                member=self.office.member,
                type="case." + kind,
                source_ref=f"{self.case_ref or self.case_no}-{tag}",
                occurred_at=self.clock,
                body={**filled, time_field: self.clock},
                case_no=self.case_no,
                case_ref=self.case_ref,
            )
        )


def _open(office: Office, case_no: str, memory: CaseMemory) -> Reaction:
    counter = _Counter(office, case_no, memory)
    if not memory.window:
        _receive(counter, memory)
    if memory.scenario == "not_accepted":
        counter.say(
            "not_accepted",
            "BYSL",
            50,
            "decidedAt",
            {
                "org": counter.org,
                "handler": office.acceptor,
                "docNo": f"不予受理〔{counter.clock[:4]}〕{case_no[-6:]}号",
                "reason": "申请事项不属于本机关职权范围（行政许可法第三十二条第一款第二项）",
            },
        )
        return Reaction(
            msgspec.structs.replace(memory, ended=True, clock=counter.clock), tuple(counter.planned)
        )
    if memory.scenario in ("corrected", "corrected_twice"):
        _ask_correction(counter, memory, "BZ1")
        return Reaction(
            msgspec.structs.replace(memory, corrections=1, clock=counter.clock), tuple(counter.planned)
        )
    return _accept(counter, memory)


def _receive(counter: _Counter, memory: CaseMemory) -> None:
    if counter.office.vouchers:
        counter.say(
            "material_received",
            "SJ",
            10,
            "receivedAt",
            {
                "voucherNo": f"SJ{counter.clock[:10].replace('-', '')}{counter.case_no[-6:]}",
                "org": counter.org,
                "handler": counter.office.acceptor,
            },
        )
    counter.say(
        "pre_examined",
        "YS",
        20,
        "examinedAt",
        {
            "result": "1",
            "org": counter.org,
            "handler": counter.office.acceptor,
            "opinion": "材料齐全，形式审查通过",
        },
    )


def _ask_correction(counter: _Counter, memory: CaseMemory, tag: str) -> None:
    wanted = memory.materials[-1] if memory.materials else {"code": "CL01", "name": "申请书"}
    counter.say(
        "correction_notified",
        tag,
        60,
        "notifiedAt",
        {
            "org": counter.org,
            "handler": counter.office.acceptor,
            "reason": "所附材料不清晰，请一次性补正（行政许可法第三十二条第一款第四项）",
            "materials": [
                {
                    "code": wanted["code"],
                    "name": wanted["name"],
                    "requirement": "重新扫描，分辨率不低于 300 dpi，加盖申请人印章",
                }
            ],
            "deadline": later(counter.clock, minutes=60 + 5 * 24 * 60),
        },
    )


def _ask_again(office: Office, case_no: str, memory: CaseMemory) -> Reaction:
    counter = _Counter(office, case_no, memory)
    _ask_correction(counter, memory, "BZ2")
    return Reaction(
        msgspec.structs.replace(memory, corrections=2, clock=counter.clock), tuple(counter.planned)
    )


def _accept(counter: _Counter, memory: CaseMemory) -> Reaction:
    days = 1 if memory.project_type == "1" else 7
    counter.say(
        "accepted",
        "SL",
        30,
        "acceptedAt",
        {
            "org": counter.org,
            "handler": counter.office.acceptor,
            "docNo": f"受理{(counter.case_ref or counter.case_no)[-12:]}",
            "promiseDate": later(counter.clock, minutes=days * 24 * 60),
            "projectType": memory.project_type,
            "region": memory.region,
            "window": memory.window,
        },
    )
    return _examine(counter, memory)


def _examine(counter: _Counter, memory: CaseMemory) -> Reaction:
    office = counter.office
    if memory.project_type != "1":  # 即办件 is decided at the counter
        _step(counter, "1", "承办", office.examiner, "经审查，材料真实、合法、有效，拟同意")
    if memory.scenario == "suspended":
        _suspend(counter)
    _step(counter, "2", "审核", office.approver, "同意")
    refused = memory.scenario == "not_permitted"
    by_window = memory.origin.startswith("window-")
    counter.say(
        "decided",
        "BJ",
        45,
        "decidedAt",
        {
            "result": "1" if refused else "0",
            "org": counter.org,
            "handler": office.approver,
            "explanation": "不符合法定条件，不予行政许可" if refused else "符合法定条件，准予行政许可",
            "licence": None if refused else _licence(counter, memory),
            "needDelivery": not refused,
        },
    )
    if not refused and not by_window:
        counter.say(
            "delivered",
            "SD",
            120,
            "deliveredAt",
            {"method": "1", "receiver": {"name": memory.collector}, "org": counter.org},
        )
    return Reaction(
        msgspec.structs.replace(memory, accepted=True, ended=True, clock=counter.clock),
        tuple(counter.planned),
    )


def _step(counter: _Counter, number: str, name: str, person: str, opinion: str) -> None:
    counter.say(
        "process_step",
        "HJ" + number,
        90,
        "endedAt",
        {
            "stepCode": number,
            "stepName": name,
            "action": "1",
            "org": counter.org,
            "handler": person,
            "opinion": opinion,
            "startedAt": later(counter.clock, minutes=5),
            "status": "2",
        },
    )


def _suspend(counter: _Counter) -> None:
    counter.say(
        "special_started",
        "TB1",
        30,
        "startedAt",
        {
            "sn": 1,
            "kind": "2",
            "name": "现场踏勘",
            "reason": "依法需要现场核查经营场所（行政许可法第三十四条第三款）",
            "approver": counter.office.approver,
            "limitDays": 3,
            "org": counter.org,
        },
    )
    counter.say(
        "special_ended",
        "TJ1",
        2 * 24 * 60,
        "endedAt",
        {
            "sn": 1,
            "result": "现场核查合格",
            "opinion": "恢复审批",
            "org": counter.org,
            "handler": counter.office.examiner,
        },
    )


def _licence(counter: _Counter, memory: CaseMemory) -> dict[str, str]:
    year = int(counter.clock[:4])
    return {
        "name": (memory.item_name.split("（")[0] or "行政许可") + "决定书",
        "number": f"琼许{year}{(counter.case_ref or counter.case_no)[-10:]}",
        "validUntil": f"{year + _VALID_YEARS}{counter.clock[4:10]}",
        "issuer": counter.office.name,
    }
