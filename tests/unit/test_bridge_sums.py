"""What another region is told of its message: the worst of what was said here, an end only when all have
answered. And what is counted when two regions are compared."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.books.regions import compare
from hub.bridge import sums
from hub.bridge.model import Sum, Told

OUTCOMES = ("delivered", "refused", "parked", "in_doubt", "cancelled")


def routed(*said: str, dispatches: int | None = None, disposition: str = "routed") -> Sum:
    """A message with so many dispatches, and what the first of them came to."""
    count = len(said) if dispatches is None else dispatches
    known = sums.with_line(
        Sum("m", "case", "case.submitted"), disposition, "", "", tuple(f"d{n}" for n in range(count))
    )
    for number, outcome in enumerate(said):
        known = sums.with_outcome(known, f"d{number}", Told(f"member-{number}", outcome, "", ""))
    return known


def outcome_of(known: Sum) -> str:
    verdict = sums.verdict(known)
    return verdict.outcome if verdict else ""


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (routed("delivered"), "delivered"),
        (routed("delivered", "delivered"), "delivered"),
        (routed("delivered", dispatches=2), ""),
        (routed("parked", dispatches=2), "parked"),
        (routed("parked", "in_doubt"), "in_doubt"),
        (routed("refused", dispatches=2), ""),
        (routed("refused", "delivered"), "refused"),
        (routed("cancelled", "delivered"), "delivered"),
        (routed("cancelled"), "cancelled"),
        (routed(), "delivered"),
        (routed(disposition="held"), ""),
        (routed(disposition="parked"), "parked"),
        (routed(disposition="refused"), "refused"),
    ],
)
def test_what_is_told(known: Sum, told: str) -> None:
    assert outcome_of(known) == told


@given(st.lists(st.sampled_from(OUTCOMES), max_size=4), st.permutations(range(4)))
def test_the_order_in_which_outcomes_are_read_does_not_matter(said: list[str], order: list[int]) -> None:
    known = routed(dispatches=len(said))
    for number in order:
        if number < len(said):
            told = Told(f"member-{number}", said[number], "", "")
            known = sums.with_outcome(known, f"d{number}", told)
    assert outcome_of(known) == outcome_of(routed(*said))
    assert sums.is_closed(known) is (not {"parked", "in_doubt"} & set(said))


def test_a_release_is_told_after_the_standstill_it_ends() -> None:
    known = msgspec.structs.replace(routed("parked"), acknowledged="parked")
    released = sums.with_outcome(known, "d0", Told("member-0", "in_flight", "released", ""))
    assert outcome_of(released) == "in_flight"
    assert not sums.is_closed(released)
    done = sums.with_outcome(released, "d0", Told("member-0", "delivered", "", ""))
    assert outcome_of(done) == "delivered"
    redriven = msgspec.structs.replace(routed(dispatches=1), acknowledged="parked")
    assert outcome_of(redriven) == "in_flight", "parked at the router, decided again, not yet handed over"


def test_what_still_waits_is_not_closed() -> None:
    assert not sums.is_closed(routed("delivered", dispatches=2))
    assert not sums.is_closed(routed(disposition="held"))
    assert not sums.is_closed(routed(disposition="parked"))
    assert sums.is_closed(routed(disposition="refused"))


def test_two_regions_are_compared_by_id() -> None:
    even = compare("a", "b", ["1", "2", "2"], ["2", "1"])
    assert (even.crossed, even.balanced) == (2, True)
    odd = compare("a", "b", ["1", "2", "3"], ["2", "2", "4", "3"])
    assert (odd.lost, odd.duplicated, odd.strange) == (("1",), ("2",), ("4",))
    assert not odd.balanced
