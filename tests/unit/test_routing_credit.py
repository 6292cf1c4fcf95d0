"""R22, F60, F61: the credit gate before acceptance, the review by a person, and the stream of changes."""

import pytest
from routing_cases import BANNABLE, CASE, NOW, PLAIN, REVIEWABLE, Hub, message, tables, to

from hub import ids
from hub.envelope import Message
from hub.routing import credit
from hub.routing.model import Disposition, OutcomeChange
from hub.routing.tables import Standing

PARTY = "p" * 32


def bannable(**more: str) -> Message:
    return message("case.submitted", item=BANNABLE, **more)


def reviewable(source: str = "platform") -> Message:
    return message("case.submitted", source, item=REVIEWABLE, region="460200")


def answer(grade: str, *, serious: str = "0", banned: str = "", at: int = 1, ref: str = "answer") -> Message:
    return message("credit.answered", "credit", at, ref, grade=grade, serious=serious, banned=banned)


def test_r22_a_submission_waits_for_the_credit_answer_and_goes_nowhere() -> None:
    hub = Hub()
    opening = bannable()
    decision = hub.take(opening)
    verdict = hub.last(opening)
    assert (verdict.disposition, verdict.reason, verdict.dispatches) == (Disposition.HELD, "credit", ())
    assert [(t.purpose, t.due_ms) for t in decision.timers_set] == [("credit", NOW + 60_000)]


def test_r22_the_query_is_an_originated_message_with_a_derived_id_and_the_submissions_value() -> None:
    hub = Hub()
    opening = bannable(content="form")
    hub.take(opening)
    (query,) = hub.originated("credit.query")
    assert to(query) == {"credit": "credit.query"}
    assert query.message.id == ids.originated_id(opening.id, "credit.query")
    assert query.message.causation == opening.id
    assert query.message.value == opening.value
    assert query.message.attributes["party"] == PARTY


def test_r22_an_item_without_a_query_does_not_wait() -> None:
    hub = Hub()
    opening = message("case.submitted", item=PLAIN)
    hub.take(opening)
    assert hub.last(opening).disposition is Disposition.ROUTED
    assert not hub.originated("credit.query")
    assert "grade" not in hub.last(opening).message.attributes


@pytest.mark.parametrize("grade", ["red", "orange", "blue"])
def test_r22_red_orange_and_blue_pass_with_the_grade_attached(grade: str) -> None:
    hub = Hub()
    opening = bannable()
    hub.take(opening, answer(grade))
    verdict = hub.last(opening)
    assert verdict.disposition is Disposition.ROUTED
    assert verdict.message.attributes["grade"] == grade
    assert verdict.message.value == opening.value
    assert set(to(verdict)) == {"dept-a", "nation", "supervision"}
    assert not hub.timers


@pytest.mark.parametrize(
    ("grade", "flags"),
    [
        ("red", ("instant", "deferred_materials", "commitment", "fast_track")),
        ("orange", ("instant", "deferred_materials", "commitment")),
        ("blue", ()),
    ],
)
def test_f61_the_grade_opens_services_for_the_deciding_department(grade: str, flags: tuple[str, ...]) -> None:
    hub = Hub()
    opening = bannable()
    hub.take(opening, answer(grade))
    assert {out.member: out.flags for out in hub.last(opening).dispatches} == {
        "dept-a": flags,
        "nation": (),
        "supervision": (),
    }


def test_r22_black_alone_refuses_nothing() -> None:
    hub = Hub()
    opening = bannable()
    hub.take(opening, answer("black", serious="1", banned="A01,F51"))
    assert hub.last(opening).disposition is Disposition.ROUTED


@pytest.mark.parametrize("banned", ["F52", "A01,F52", "F"])
def test_r22_a_serious_ban_on_the_items_industry_with_a_decision_standard_is_refused_with_a_notice(
    banned: str,
) -> None:
    hub = Hub()
    opening = bannable()
    early = message("case.accepted", at=2)
    hub.take(opening, early)
    hub.take(answer("black", serious="1", banned=banned))
    verdict = hub.last(opening)
    assert verdict.disposition is Disposition.REFUSED
    assert verdict.refusal is not None
    assert (verdict.refusal.rule, verdict.refusal.clause[-7:]) == ("R22", "9.3.1.2")
    assert hub.last(early).disposition is Disposition.REFUSED, "nothing waits for an opening that was refused"
    assert [to(notice) for notice in hub.originated("case.refusal")] == [
        {"platform": "case.refusal"},
        {"dept-a": "case.refusal"},
    ]
    assert not hub.received("nation")
    assert not hub.case.opened
    assert not hub.timers


@pytest.mark.parametrize(
    ("opening", "serious", "banned"),
    [(bannable(), "0", "F52"), (reviewable(), "1", "L726"), (reviewable(), "0", "L72")],
)
def test_r22_a_ban_that_cannot_be_decided_by_rule_waits_for_a_window_person(
    opening: Message, serious: str, banned: str
) -> None:
    hub = Hub()
    hub.take(opening, answer("black", serious=serious, banned=banned))
    verdict = hub.last(opening)
    assert (verdict.disposition, verdict.reason) == (Disposition.HELD, "credit.reviewed")
    (request,) = hub.originated("credit.review")
    assert to(request) == {"platform": "credit.review"}
    assert request.message.id == ids.originated_id(opening.id, "credit.review")
    assert request.message.attributes["grade"] == "black"
    assert not hub.timers, "a person's decision has no time-out"


def test_r22_the_review_is_asked_of_the_window_the_case_came_in_at() -> None:
    hub = Hub()
    hub.take(reviewable("window-haikou"), answer("black", banned="L7262"))
    assert to(hub.originated("credit.review")[0]) == {"window-haikou": "credit.review"}


def test_r22_an_origin_that_takes_no_reviews_leaves_them_to_the_platform() -> None:
    hub = Hub()
    hub.take(reviewable("dept-b"), answer("black", banned="L7262"))
    assert to(hub.originated("credit.review")[0]) == {"platform": "credit.review"}


@pytest.mark.parametrize(("allow", "expected"), [("1", Disposition.ROUTED), ("0", Disposition.REFUSED)])
def test_r22_the_window_person_releases_or_refuses(allow: str, expected: Disposition) -> None:
    hub = Hub()
    opening = reviewable("window-sanya")
    reviewed = message("credit.reviewed", "window-sanya", 5, allow=allow)
    hub.take(opening, answer("black", banned="L7262"), reviewed)
    assert hub.last(opening).disposition is expected
    assert hub.last(reviewed).disposition is Disposition.ROUTED
    assert hub.case.opened is (allow == "1")


def test_r22_r11_a_stranger_may_not_review() -> None:
    hub = Hub()
    opening = reviewable()
    reviewed = message("credit.reviewed", "dept-a", 5, allow="1")
    hub.take(opening, answer("black", banned="L7262"), reviewed)
    assert hub.last(reviewed).disposition is Disposition.REFUSED
    assert hub.last(opening).disposition is Disposition.HELD


def test_r22_a_review_that_nobody_asked_for_is_refused() -> None:
    hub = Hub()
    reviewed = message("credit.reviewed", "platform", 5, allow="1")
    hub.take(message("case.submitted"), reviewed)
    verdict = hub.last(reviewed)
    assert verdict.refusal is not None
    assert verdict.refusal.code == "not_under_review"


@pytest.mark.parametrize(
    ("table", "grade", "expected"),
    [
        ({}, "blue", Disposition.ROUTED),
        ({PARTY: Standing("red")}, "red", Disposition.ROUTED),
        ({PARTY: Standing("black", True, ("F52",))}, "", Disposition.REFUSED),
    ],
)
def test_r22_without_an_answer_in_time_the_tables_grade_stands_else_blue(
    table: dict[str, Standing], grade: str, expected: Disposition
) -> None:
    hub = Hub(tables(table))
    opening = bannable()
    hub.take(opening)
    hub.fire("credit")
    verdict = hub.last(opening)
    assert verdict.disposition is expected
    assert verdict.message.attributes.get("grade", "") == grade
    assert not hub.timers


def test_r22_an_answer_after_the_fallback_is_recorded_and_changes_nothing() -> None:
    hub = Hub()
    opening = bannable()
    hub.take(opening)
    hub.fire("credit")
    late = answer("black", serious="1", banned="F52")
    hub.take(late)
    assert (hub.last(late).disposition, hub.last(late).dispatches) == (Disposition.ROUTED, ())
    assert hub.last(opening).disposition is Disposition.ROUTED
    assert hub.case.opened


@pytest.mark.parametrize("late", ["credit.answered", "dispatch.refused"])
def test_r22_an_answer_after_the_submission_was_turned_away_waits_for_nothing(late: str) -> None:
    """The library was away, the table knew of a ban; then the answer comes after all. Held, it would wait for
    a submission that never comes, and the books would not close."""
    hub = Hub(tables(credit={PARTY: Standing("black", True, ("F52",))}))
    opening = bannable()
    hub.take(opening)
    query = hub.originated("credit.query")[0].message.id
    hub.fire("credit")
    assert hub.last(opening).disposition is Disposition.REFUSED
    came = (
        answer("black", serious="1", banned="F52")
        if late == "credit.answered"
        else message("dispatch.refused", "hub", 1, message=query, member="credit", dispatch="d" * 32)
    )
    hub.take(came)
    assert (hub.last(came).disposition, hub.last(came).reason) == (Disposition.ROUTED, "recorded")
    assert not hub.case.held
    assert not hub.timers


def test_r22_a_query_that_the_library_refuses_counts_as_no_answer() -> None:
    hub = Hub()
    opening = bannable()
    hub.take(opening)
    query = hub.originated("credit.query")[0].message.id
    hub.take(message("dispatch.refused", "hub", 1, message=query, member="credit", dispatch="d" * 32))
    assert hub.last(opening).disposition is Disposition.ROUTED
    assert not hub.timers


def test_r22_an_answer_that_came_before_its_submission_waits_for_it() -> None:
    hub = Hub()
    opening = bannable()
    hub.take(answer("orange"), opening)
    assert hub.last(opening).message.attributes["grade"] == "orange"
    assert not hub.timers


def changed(at: int, grade: str, source: str = "credit", ref: str = "") -> Message:
    return message(
        "credit.changed",
        source,
        at,
        ref or f"change-{at}",
        subject="S" + PARTY,
        party=PARTY,
        grade=grade,
        serious="1",
        banned="F52,L72",
    )


def test_r22_a_change_updates_the_table_and_goes_to_its_destinations() -> None:
    hub = Hub()
    change = changed(1, "black")
    decision = hub.take(change)
    (update,) = decision.table_updates
    assert (update.table, update.key) == ("credit.subjects", PARTY)
    assert update.value is not None
    assert credit.decode_standing(update.value) == Standing("black", True, ("F52", "L72"), change.time_ms)
    assert to(hub.last(change)) == {"platform": "credit.changed"}


def test_r22_an_older_change_that_comes_later_does_not_overwrite_the_newer() -> None:
    hub = Hub()
    hub.take(changed(9, "red"))
    decision = hub.take(changed(3, "black"))
    assert decision.table_updates == ()
    assert decision.verdicts[0].reason == "superseded"


def test_r22_r11_only_the_credit_library_may_change_a_standing() -> None:
    hub = Hub()
    decision = hub.take(changed(1, "red", "platform"))
    assert decision.table_updates == ()
    assert decision.verdicts[0].disposition is Disposition.REFUSED


def test_r22_the_gate_never_answers_for_another_case() -> None:
    """What a decision changes is its own aggregate only: no outcome, no table of another."""
    hub = Hub()
    decision = hub.take(bannable(), answer("red"))
    assert decision.outcome_changes == ()
    assert not isinstance(decision.outcome_changes, OutcomeChange)
    assert {verdict.message.subject for verdict in hub.verdicts} == {CASE}
