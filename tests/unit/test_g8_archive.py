"""G8: the ids of an ended case are remembered for a time; what is older than that and unknown is refused as
archived, and only an opening message opens a case."""

from routing_cases import MINUTE, NOW, TABLES, Hub, message, tables

from hub.routing.model import Disposition

DAY = 86_400_000
KEEP = TABLES.limits.keep_closed_ms


def ended() -> Hub:
    hub = Hub()
    hub.take(message("case.submitted"), message("case.withdrawn", at=5))
    return hub


def test_g8_an_ended_case_is_remembered_until_its_time_is_over() -> None:
    hub = ended()
    assert {(t.purpose, t.due_ms) for t in hub.all_timers} == {("archive", NOW + 5 * MINUTE + KEEP)}
    hub.now += KEEP - DAY
    assert hub.take(message("case.submitted")).duplicate, "a repeat is still recognised"


def test_g8_then_it_is_forgotten_and_its_repeat_is_refused_as_archived() -> None:
    hub = ended()
    assert hub.fire("archive").forget
    assert hub.state is None
    hub.now += DAY
    opening = message("case.submitted")
    hub.take(opening)
    assert hub.last(opening).disposition is Disposition.REFUSED
    assert hub.last(opening).reason == "archived"
    assert hub.take(opening).duplicate, "and told once"
    assert not hub.case.opened


def test_g8_any_old_message_of_a_case_nobody_remembers_is_refused_as_archived() -> None:
    hub = Hub()
    hub.now = NOW + KEEP + DAY
    step = message("case.process_step")
    hub.take(step)
    assert (hub.last(step).reason, hub.case.opened, hub.timers) == ("archived", False, set())


def test_g8_an_old_message_of_a_case_that_lives_is_taken() -> None:
    hub = Hub()
    hub.take(message("case.submitted"), message("case.accepted", at=1))
    hub.now = NOW + KEEP + DAY
    step = message("case.process_step", at=2)
    hub.take(step)
    assert hub.last(step).disposition is Disposition.ROUTED


def test_g8_a_message_that_opens_nothing_never_makes_a_case() -> None:
    """It waits for its opening (R8), is refused when that does not come, and even its memory ends."""
    hub = Hub()
    step = message("case.process_step")
    hub.take(step)
    hub.fire("early")
    assert hub.last(step).disposition is Disposition.REFUSED
    assert not hub.case.opened
    assert hub.fire("archive").forget


def test_g8_a_case_that_opens_after_all_is_not_forgotten() -> None:
    hub = Hub()
    hub.take(message("case.process_step"))
    hub.fire("early")
    assert [timer.purpose for timer in hub.all_timers] == ["archive"]
    hub.take(message("case.submitted"))
    assert hub.case.opened
    assert not hub.all_timers


def test_g8_an_old_credit_standing_is_no_archived_case() -> None:
    hub = Hub()
    hub.now = NOW + KEEP + DAY
    change = message("credit.changed", source="credit", grade="blue", party="p" * 32)
    hub.take(change)
    assert hub.last(change).reason != "archived"
    assert not hub.all_timers


def test_g8_how_long_is_a_setting() -> None:
    hub = Hub(tables(keep_closed_ms=3 * DAY))
    hub.take(message("case.submitted"), message("case.withdrawn", at=5))
    assert [timer.due_ms for timer in hub.all_timers] == [NOW + 5 * MINUTE + 3 * DAY]
