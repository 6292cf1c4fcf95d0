"""R8: early is not illegal, late is not illegal. A case's messages in every order end the same."""

import itertools
import random

import pytest
from routing_cases import (
    ANYWHERE,
    BANNABLE,
    MINUTE,
    NOW,
    PLAIN,
    REVIEWABLE,
    TABLES,
    Hub,
    message,
    plain_case,
    submitted_case,
    tables,
    types,
)

from hub.envelope import Message
from hub.routing.model import Disposition, Stage

ORDERS_RANDOM = 1_500
SEED = 20_241_031
MEMBERS = ("platform", "dept-a", "dept-b", "window-haikou", "window-sanya", "nation", "supervision")

# a before b at every destination that gets both (the predecessor table of the life cycle).
BEFORE = {
    "case.accepted": ("case.process_step", "case.special_started", "case.special_ended", "case.decided"),
    "case.special_started": ("case.special_ended",),
    "case.correction_notified": ("case.corrected",),
    "case.decided": ("case.delivered", "case.evaluated"),
    "case.not_accepted": ("case.evaluated",),
}


def assert_all_routed_in_life_cycle_order(hub: Hub, messages: list[Message], stage: Stage) -> None:
    assert hub.case.stage == stage
    assert hub.count(Disposition.ROUTED) == len(messages)
    assert not [v.refusal for v in hub.verdicts if v.disposition is Disposition.REFUSED]
    assert not hub.timers
    assert not hub.case.held
    for member in MEMBERS:
        got = types(hub.received(member))
        assert len(got) == len({m.id for m in hub.received(member)}), "a member got one message twice"
        assert "case.submitted" not in got[1:], "the submission comes first everywhere"
        for first, later in BEFORE.items():
            if first in got:
                assert not set(later) & set(got[: got.index(first)]), (member, got)


def every_order(messages: list[Message], stage: Stage, hub_tables: object = TABLES) -> None:
    for order in itertools.permutations(messages):
        hub = Hub(hub_tables)  # type: ignore[arg-type]
        hub.take(*order)
        assert_all_routed_in_life_cycle_order(hub, messages, stage)


def test_r08_a_corrected_case_ends_the_same_in_every_order() -> None:
    wanted = ("case.submitted", "case.correction_notified", "case.corrected", "case.accepted")
    case = [one for one in plain_case() if one.type in (*wanted, "case.decided", "case.delivered")]
    every_order([*case, message("case.process_step", at=6)], Stage.DECIDED)


def test_r08_a_suspended_case_ends_the_same_in_every_order() -> None:
    wanted = {"case.submitted", "case.material_received", "case.accepted", "case.special_started"}
    wanted |= {"case.special_ended", "case.decided", "case.evaluated"}
    every_order([one for one in plain_case() if one.type in wanted], Stage.DECIDED)


def test_r08_a_withdrawn_case_ends_the_same_in_every_order() -> None:
    case = plain_case()[:3]
    every_order([*case, message("case.withdrawn", at=3)], Stage.WITHDRAWN)


def test_r08_a_case_not_accepted_ends_the_same_in_every_order() -> None:
    case = [
        *plain_case()[:5],
        message("case.not_accepted", at=5),
        message("case.evaluated", "platform", at=6),
    ]
    every_order(case, Stage.NOT_ACCEPTED)


def test_r08_r22_a_case_with_a_credit_query_ends_the_same_in_every_order() -> None:
    case = [
        message("case.submitted", item=BANNABLE),
        message("credit.answered", "credit", at=1, grade="red", serious="0"),
        message("case.accepted", at=2),
        message("case.process_step", at=3),
        message("case.decided", at=4, result="0"),
        message("case.delivered", "platform", at=5),
    ]
    every_order(case, Stage.DECIDED)


def test_r03_r08_a_case_from_the_departments_own_counter_ends_the_same_in_every_order() -> None:
    wanted = ("case.submitted", "case.accepted", "case.process_step", "case.decided")
    every_order([one for one in plain_case(source="dept-a") if one.type in wanted], Stage.DECIDED)


def test_r08_random_orders_of_a_whole_case_end_the_same() -> None:
    draw = random.Random(SEED)
    for _ in range(ORDERS_RANDOM):
        case = plain_case()
        draw.shuffle(case)
        hub = Hub()
        hub.take(*case)
        assert_all_routed_in_life_cycle_order(hub, case, Stage.DECIDED)


def test_r08_two_corrections_in_every_order_arrive_once_each() -> None:
    case = [message("case.submitted")]
    for round_ in ("1", "2"):
        case.append(message("case.correction_notified", at=int(round_) * 2, ref="n" + round_))
        case.append(message("case.corrected", at=int(round_) * 2 + 1, ref="c" + round_))
    every_order(case, Stage.SUBMITTED)


def test_r08_an_early_message_waits_inside_its_case_and_sends_nothing() -> None:
    hub = Hub()
    step = message("case.process_step")
    decision = hub.take(step)
    verdict = hub.last(step)
    assert (verdict.disposition, verdict.reason, verdict.dispatches) == (
        Disposition.HELD,
        "case.submitted",
        (),
    )
    assert "申请" in verdict.zh
    assert "submission" in verdict.en
    assert not hub.case.opened, "a non-opening message never creates a case (G8)"
    assert [timer.purpose for timer in decision.timers_set] == ["early"]


def test_r08_the_missing_step_releases_everything_in_one_decision_in_order() -> None:
    hub = Hub()
    later = [one for one in plain_case() if one.type != "case.submitted"]
    hub.take(*reversed(later))
    decision = hub.take(message("case.submitted"))
    released = types(verdict.message for verdict in decision.verdicts)
    assert released == [
        "case.submitted",
        "case.material_received",
        "case.pre_examined",
        "case.correction_notified",
        "case.corrected",
        "case.accepted",
        "case.process_step",
        "case.special_started",
        "case.special_ended",
        "case.process_step",
        "case.decided",
        "case.delivered",
        "case.evaluated",
    ]
    assert not hub.timers


def test_r08_time_is_up_per_member_and_the_refusal_names_the_missing_step() -> None:
    for source, item, region, wait_ms in (
        ("dept-a", PLAIN, "460100", 10 * MINUTE),
        ("dept-b", ANYWHERE, "460200", 24 * 60 * MINUTE),
    ):
        hub = Hub()
        hub.take(message("case.submitted", item=item, region=region))
        step = message("case.process_step", source)
        hub.take(step)
        hub.fire("early")
        assert hub.now == NOW + wait_ms
        verdict = hub.last(step)
        assert verdict.disposition is Disposition.REFUSED
        assert verdict.refusal is not None
        assert verdict.refusal.code == "missing_step"
        assert "case.accepted" in verdict.zh
        assert "受理" in verdict.zh
        assert "acceptance" in verdict.en
        (notice,) = hub.originated("case.refusal")
        assert [out.member for out in notice.dispatches] == [source]
        assert not hub.timers


def test_r08_only_what_is_overdue_is_refused_and_the_next_timer_is_set() -> None:
    hub = Hub()
    first, second = message("case.process_step", ref="1"), message("case.process_step", ref="2")
    hub.take(first)
    hub.now += MINUTE
    hub.take(second)
    assert len(hub.timers) == 1, "one timer a case and purpose"
    hub.fire("early")
    assert hub.last(first).disposition is Disposition.REFUSED
    assert hub.last(second).disposition is Disposition.HELD
    assert [timer.due_ms for timer in hub.timers] == [NOW + 11 * MINUTE]


def test_r08_what_waits_is_bounded_and_the_refusal_names_the_bound() -> None:
    hub = Hub(tables(held_max=3))
    steps = [message("case.process_step", ref=str(number)) for number in range(5)]
    hub.take(*steps)
    assert [hub.last(one).disposition.value for one in steps] == ["held"] * 3 + ["refused"] * 2
    assert "held_max=3" in hub.last(steps[4]).zh
    hub.take(message("case.submitted"), message("case.accepted", at=1))
    assert [hub.last(one).disposition.value for one in steps] == ["routed"] * 3 + ["refused"] * 2


def test_r08_a_late_message_dated_before_the_end_is_applied_without_changing_the_stage() -> None:
    hub = Hub()
    taken = submitted_case(hub, "case.decided")
    late = message("case.process_step", at=9, ref="overtaken")
    hub.take(late)
    verdict = hub.last(late)
    assert (verdict.disposition, verdict.reason) == (Disposition.ROUTED, "late")
    assert {out.member for out in verdict.dispatches} == {"platform", "nation"}
    assert hub.case.stage == Stage.DECIDED
    assert hub.case.ended_ms == taken[-1].time_ms


@pytest.mark.parametrize("result", ["6", "0"])
def test_r08_a_decision_not_to_accept_needs_no_acceptance_and_every_other_decision_does(result: str) -> None:
    hub = Hub()
    decided = message("case.decided", result=result)
    hub.take(message("case.submitted"), decided)
    expected = Disposition.ROUTED if result == "6" else Disposition.HELD
    assert hub.last(decided).disposition is expected


def test_r08_acceptance_waits_for_the_corrected_material() -> None:
    hub = Hub()
    accepted = message("case.accepted", at=3)
    hub.take(message("case.submitted"), message("case.correction_notified", at=1), accepted)
    assert hub.last(accepted).reason == "case.corrected"
    hub.take(message("case.corrected", at=2))
    assert hub.last(accepted).disposition is Disposition.ROUTED


def test_r08_a_decision_waits_for_the_end_of_every_open_special_procedure() -> None:
    hub = Hub()
    decided = message("case.decided", at=9, result="0")
    hub.take(message("case.submitted"), message("case.accepted", at=1))
    hub.take(message("case.special_started", at=2, sn="1"), message("case.special_started", at=3, sn="2"))
    hub.take(decided, message("case.special_ended", at=4, sn="2"))
    assert hub.last(decided).reason == "case.special_ended"
    hub.take(message("case.special_ended", at=5, sn="1"))
    assert hub.last(decided).disposition is Disposition.ROUTED


def test_r08_the_end_of_a_special_procedure_waits_for_its_own_start() -> None:
    hub = Hub()
    ended = message("case.special_ended", at=3, sn="2")
    hub.take(
        message("case.submitted"),
        message("case.accepted", at=1),
        message("case.special_started", at=2, sn="1"),
        ended,
    )
    assert hub.last(ended).reason == "case.special_started"


def test_r22_what_waits_for_the_credit_check_has_no_time_of_its_own_until_the_case_goes_on() -> None:
    hub = Hub()
    step = message("case.process_step", "dept-b")
    hub.take(message("case.submitted", item=REVIEWABLE, region="460200"), step)
    assert {timer.purpose for timer in hub.timers} == {"credit"}
    hub.fire("credit")
    assert hub.last(step).disposition is Disposition.HELD
    assert [timer.purpose for timer in hub.timers] == ["early"]
