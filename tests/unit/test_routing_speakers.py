"""R11: who may say what is data per item and route; R3: a department's own cases."""

import pytest
from routing_cases import ANYWHERE, DEPARTMENT_ONLY, PLAIN, Hub, message, org, submitted_case, to

from hub.routing.model import Disposition, Refusal


def refusal(hub: Hub, one: object) -> Refusal:
    verdict = hub.last(one)  # type: ignore[arg-type]
    assert verdict.disposition is Disposition.REFUSED, verdict
    assert verdict.refusal is not None
    return verdict.refusal


@pytest.mark.parametrize("source", ["dept-b", "window-sanya", "credit", "supervision", "nation", "stranger"])
def test_r11_a_member_that_is_neither_origin_owner_nor_a_permitted_window_is_refused(source: str) -> None:
    hub = Hub()
    submitted_case(hub)
    accepted = message("case.accepted", source, at=1)
    hub.take(accepted)
    assert (refusal(hub, accepted).code, refusal(hub, accepted).rule) == ("not_allowed", "R11")
    assert not hub.case.accepted


def test_r11_the_origin_may_not_decide() -> None:
    hub = Hub()
    submitted_case(hub, "case.accepted")
    decided = message("case.decided", "platform", at=8, result="0", org=org("dept-a"))
    hub.take(decided)
    assert refusal(hub, decided).code == "not_allowed"


@pytest.mark.parametrize(
    ("item", "region", "source", "allowed"),
    [
        (PLAIN, "460105", "dept-a", True),
        (PLAIN, "460105", "window-haikou", True),
        (DEPARTMENT_ONLY, "460105", "dept-a", True),
        (DEPARTMENT_ONLY, "460105", "window-haikou", False),
        (ANYWHERE, "460202", "window-sanya", True),
    ],
)
def test_r11_who_may_accept_is_data_of_the_item(item: str, region: str, source: str, allowed: bool) -> None:
    hub = Hub()
    hub.take(message("case.submitted", item=item, region=region))
    accepted = message("case.accepted", source, at=1)
    hub.take(accepted)
    assert (hub.last(accepted).disposition is Disposition.ROUTED) is allowed


@pytest.mark.parametrize(("item", "allowed"), [(ANYWHERE, True), ("11460200MB1A22024B3460114001000", False)])
def test_r11_a_cross_region_window_accepts_only_where_the_item_allows_it(item: str, allowed: bool) -> None:
    hub = Hub()
    hub.take(message("case.submitted", "window-haikou", item=item, region="460203"))
    if hub.timers:
        hub.fire("credit")
    accepted = message("case.accepted", "window-haikou", at=1, org=org("dept-b"))
    hub.take(accepted)
    assert (hub.last(accepted).disposition is Disposition.ROUTED) is allowed


def test_r11_a_cross_region_window_that_is_not_the_origin_may_not_accept() -> None:
    hub = Hub()
    hub.take(message("case.submitted", "platform", item=ANYWHERE, region="460203"))
    accepted = message("case.accepted", "window-haikou", at=1)
    hub.take(accepted)
    assert refusal(hub, accepted).code == "not_allowed"


def test_r11_a_department_that_does_not_own_the_item_there_may_not_open_a_case() -> None:
    hub = Hub()
    opening = message("case.submitted", "dept-b")
    hub.take(opening)
    assert refusal(hub, opening).code == "not_allowed"
    assert not hub.case.opened
    assert hub.case.origin == ""


def test_r11_the_named_organisation_must_be_the_speakers_own() -> None:
    hub = Hub()
    submitted_case(hub)
    accepted = message("case.accepted", "dept-a", at=1, org=org("dept-b"))
    hub.take(accepted)
    assert (refusal(hub, accepted).code, refusal(hub, accepted).field) == ("other_organisation", "org.code")


@pytest.mark.parametrize("acting_for", ["window-haikou", "dept-a"])
def test_r11_a_window_that_accepts_names_itself_or_the_deciding_department(acting_for: str) -> None:
    hub = Hub()
    submitted_case(hub)
    accepted = message("case.accepted", "window-haikou", at=1, org=org(acting_for))
    hub.take(accepted)
    assert hub.last(accepted).disposition is Disposition.ROUTED


def test_r11_material_received_is_not_accepted() -> None:
    hub = Hub()
    submitted_case(hub, "case.material_received")
    step = message("case.process_step", at=2)
    hub.take(step)
    assert not hub.case.accepted
    assert hub.last(step).reason == "case.accepted"


def test_r11_an_early_message_of_a_stranger_is_refused_when_the_case_opens() -> None:
    hub = Hub()
    accepted = message("case.accepted", "dept-b", at=1)
    hub.take(accepted)
    assert hub.last(accepted).disposition is Disposition.HELD
    hub.take(message("case.submitted"))
    assert refusal(hub, accepted).code == "not_allowed"


def test_r03_a_case_of_the_departments_own_counter_is_told_step_by_step_without_echo() -> None:
    hub = Hub()
    steps = [one for one in submitted_case(hub, "case.decided", source="dept-a") if one.source == "dept-a"]
    assert to(hub.last(steps[0])) == {
        "platform": "case.submitted",
        "nation": "case.submitted",
        "supervision": "case.supervision_copy",
    }
    assert hub.received("dept-a") == [m for m in hub.received("dept-a") if m.source == "platform"]
    accepted = next(one for one in steps if one.type == "case.accepted")
    assert set(to(hub.last(accepted))) == {"platform", "nation", "supervision"}
    assert all(hub.last(one).disposition is Disposition.ROUTED for one in steps)
