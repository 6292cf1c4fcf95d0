"""What a member's answer means for a dispatch (G4, G5, R19): a table, read from the member's side."""

import pytest

from adapters.ports import Reply, ReplyKind
from hub.delivery.breaker import Breaker
from hub.delivery.model import Again, Outcome, Settled
from hub.delivery.resolve import recovery_wait_ms, resolve, resolve_query
from hub.delivery.window import StartWindow
from hub.directory.model import Delivery, Guarantee

IDEMPOTENT = Delivery(guarantee=Guarantee.IDEMPOTENT, attempts_max=3)
QUERYABLE = Delivery(guarantee=Guarantee.QUERYABLE, query_after_ms=700, attempts_max=3)
BLIND = Delivery(guarantee=Guarantee.BLIND, attempts_max=3)


def answer(
    kind: ReplyKind, policy: Delivery, *, attempts: int = 1, failures: int = 0, others: bool = False
) -> Settled | Again:
    return resolve(Reply(kind=kind), policy, attempts=attempts, failures=failures, others_succeed=others)


@pytest.mark.parametrize("policy", [IDEMPOTENT, QUERYABLE, BLIND])
@pytest.mark.parametrize(
    ("kind", "outcome", "hold", "inform"),
    [
        (ReplyKind.DONE, Outcome.DELIVERED, False, False),
        (ReplyKind.REFUSED, Outcome.REFUSED, True, True),
        (ReplyKind.MALFORMED, Outcome.PARKED, True, False),
    ],
)
def test_clear_answers_settle_whatever_the_member_promises(
    policy: Delivery, kind: ReplyKind, outcome: Outcome, hold: bool, inform: bool
) -> None:
    settled = answer(kind, policy)
    assert isinstance(settled, Settled)
    assert (settled.outcome, settled.hold, settled.inform) == (outcome, hold, inform)


def test_r19_already_done_is_delivered_only_after_an_attempt_of_ours() -> None:
    after = answer(ReplyKind.ALREADY_DONE, IDEMPOTENT, attempts=2)
    first = answer(ReplyKind.ALREADY_DONE, IDEMPOTENT, attempts=1)
    assert isinstance(after, Settled)
    assert isinstance(first, Settled)
    assert after.outcome is Outcome.DELIVERED
    assert (first.outcome, first.hold) == (Outcome.IN_DOUBT, True)


def test_blind_call_with_unknown_outcome_is_never_repeated() -> None:
    settled = answer(ReplyKind.UNKNOWN, BLIND)
    assert isinstance(settled, Settled)
    assert (settled.outcome, settled.hold) == (Outcome.IN_DOUBT, True)


def test_queryable_member_is_asked_before_it_is_called_again() -> None:
    again = answer(ReplyKind.UNKNOWN, QUERYABLE)
    assert isinstance(again, Again)
    assert again.query_first
    assert again.delay_ms >= 700


def test_idempotent_member_is_simply_called_again() -> None:
    again = answer(ReplyKind.UNKNOWN, IDEMPOTENT)
    assert isinstance(again, Again)
    assert not again.query_first


@pytest.mark.parametrize("policy", [IDEMPOTENT, QUERYABLE, BLIND])
def test_call_that_never_left_is_tried_again_even_at_a_blind_member(policy: Delivery) -> None:
    assert isinstance(answer(ReplyKind.UNREACHABLE, policy), Again)


def test_failures_are_the_members_while_nobody_else_succeeds_and_the_cases_when_others_do() -> None:
    assert isinstance(answer(ReplyKind.TRY_LATER, IDEMPOTENT, failures=50, others=False), Again)
    settled = answer(ReplyKind.TRY_LATER, IDEMPOTENT, failures=2, others=True)
    assert isinstance(settled, Settled)
    assert (settled.outcome, settled.code) == (Outcome.PARKED, "attempts_exhausted")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ReplyKind.DONE, Outcome.DELIVERED),
        (ReplyKind.REFUSED, Outcome.REFUSED),
    ],
)
def test_query_that_finds_the_dispatch_settles_it(kind: ReplyKind, expected: Outcome) -> None:
    settled = resolve_query(Reply(kind=kind), QUERYABLE, failures=0)
    assert isinstance(settled, Settled)
    assert settled.outcome is expected


def test_query_that_finds_nothing_allows_the_call_and_an_unclear_one_asks_again() -> None:
    assert resolve_query(Reply(kind=ReplyKind.ABSENT), QUERYABLE, failures=0) is None
    again = resolve_query(Reply(kind=ReplyKind.UNKNOWN), QUERYABLE, failures=0)
    assert isinstance(again, Again)
    assert again.query_first


def test_successor_waits_for_start_call_and_visibility() -> None:
    policy = Delivery(
        guarantee=Guarantee.BLIND, start_within_ms=2_000, call_timeout_ms=5_000, query_after_ms=300
    )
    assert recovery_wait_ms(policy, 0) == 7_300
    assert recovery_wait_ms(policy, 500) == 7_300
    assert recovery_wait_ms(policy, 9_000) == 14_300, "the intent's own window, where it was wider"


def test_window_of_a_call_widens_at_once_with_slow_commits_and_narrows_by_and_by() -> None:
    window = StartWindow("m", 1_000, 60_000)
    for took_s, ms in ((0.1, 1_000), (3.0, 6_000), (0.1, 5_400), (100.0, 60_000)):
        window.committed(took_s)
        assert window.ms == ms
    for _ in range(60):
        window.committed(0.01)
    assert window.ms == 1_000


def test_breaker_opens_over_different_cases_only_and_closes_on_the_first_success() -> None:
    breaker = Breaker(100, 1_000)
    for _ in range(10):
        breaker.failure("one case", now=0.0)
    assert breaker.state(0.0) == "closed"
    breaker.failure("another", now=0.0)
    breaker.failure("a third", now=0.0)
    assert breaker.state(0.0) == "open"
    assert breaker.allowed(0.0, in_flight=0, most=8) == 0
    assert breaker.allowed(5.0, in_flight=0, most=8) == 1, "half open: one probe"
    assert breaker.allowed(5.0, in_flight=1, most=8) == 0
    breaker.success()
    assert breaker.allowed(5.0, in_flight=1, most=8) == 7


def test_breaker_counts_failed_probes_and_not_the_calls_from_before_it_opened() -> None:
    breaker = Breaker(100, 60_000)
    for case in range(64):
        breaker.failure(f"case {case}", now=0.0)
    assert breaker.allowed(0.5, in_flight=0, most=64) == 1, "64 calls under way are one outage"
    breaker.failure("probe", now=0.5)
    assert breaker.allowed(0.6, in_flight=0, most=64) == 0
