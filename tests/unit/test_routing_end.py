"""R9: what stays legal after the end of a case, what contradicts it, and corrections by version."""

import pytest
from routing_cases import Hub, message, submitted_case, to

from hub.routing.model import Disposition, Stage


def ended_hub() -> Hub:
    hub = Hub()
    submitted_case(hub, "case.decided")
    return hub


@pytest.mark.parametrize(
    ("type_", "source"),
    [("case.delivered", "window-haikou"), ("case.evaluated", "platform"), ("credit.answered", "credit")],
)
def test_r09_delivery_evaluation_and_credit_stay_legal_after_the_end(type_: str, source: str) -> None:
    hub = ended_hub()
    after = message(type_, source, at=500)
    hub.take(after)
    assert hub.last(after).disposition is Disposition.ROUTED
    assert hub.case.stage == Stage.DECIDED


@pytest.mark.parametrize("type_", ["case.process_step", "case.special_started", "case.material_received"])
def test_r09_all_else_dated_after_the_end_is_refused(type_: str) -> None:
    hub = ended_hub()
    after = message(type_, at=500, ref="after", sn="9")
    hub.take(after)
    verdict = hub.last(after)
    assert verdict.disposition is Disposition.REFUSED
    assert verdict.refusal is not None
    assert (verdict.refusal.code, verdict.refusal.rule) == ("after_end", "R9")
    assert verdict.dispatches == ()


def test_r09_a_correction_by_version_is_legal_after_the_end_and_goes_everywhere_again() -> None:
    hub = ended_hub()
    corrected = message("case.decided", at=600, result="0", version="2", content="corrected")
    hub.take(corrected)
    verdict = hub.last(corrected)
    assert verdict.disposition is Disposition.ROUTED
    assert set(to(verdict)) == {"platform", "nation", "supervision"}
    end = hub.case.ended_ms
    assert end == message("case.decided", at=10).time_ms, "the end of the case is not moved by a correction"


@pytest.mark.parametrize("type_", ["case.accepted", "case.decided", "case.submitted"])
def test_r09_a_second_one_without_a_higher_version_is_refused(type_: str) -> None:
    hub = ended_hub()
    again = message(type_, at=5, ref="another", result="0")
    hub.take(again)
    verdict = hub.last(again)
    assert verdict.refusal is not None
    assert verdict.refusal.code == "already"


def test_f08_withdrawal_is_only_possible_before_acceptance() -> None:
    hub = Hub()
    submitted_case(hub, "case.accepted")
    withdrawn = message("case.withdrawn", at=1)
    hub.take(withdrawn)
    verdict = hub.last(withdrawn)
    assert verdict.refusal is not None
    assert verdict.refusal.clause == "DB37/T 3448.1-2019 4.5.2.4 d"
    assert hub.case.stage == Stage.ACCEPTED


def test_r09_a_withdrawn_case_cannot_be_accepted_or_decided_whatever_the_date() -> None:
    hub = Hub()
    hub.take(message("case.submitted"), message("case.withdrawn", at=9))
    accepted, decided = message("case.accepted", at=1), message("case.decided", at=2, result="0")
    hub.take(accepted, decided)
    assert [hub.last(one).disposition for one in (accepted, decided)] == [Disposition.REFUSED] * 2
    assert hub.case.stage == Stage.WITHDRAWN


def test_r09_an_early_acceptance_is_refused_when_the_case_is_withdrawn_meanwhile() -> None:
    hub = Hub()
    accepted = message("case.accepted", at=4)
    hub.take(message("case.submitted"), message("case.correction_notified", at=1), accepted)
    hub.take(message("case.withdrawn", at=3))
    verdict = hub.last(accepted)
    assert verdict.refusal is not None
    assert verdict.refusal.code == "contradiction"
    assert not hub.timers
