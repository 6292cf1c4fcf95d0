"""R23: nothing unfinished expires. What may go is what every reader has and a closed book covers; each thing
that keeps the rest is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.books.checkpoint import Checkpoint
from hub.books.closing import closing_of
from hub.books.model import (
    Lane,
    MessageTotals,
    OpenDispatch,
    OpenMessage,
    Positions,
    Report,
)
from hub.books.trim import Bound, measured_by, of_closing, of_lanes, of_open_ids, plan

DAY = 86_400_000


def checkpoint(**changes: object) -> Checkpoint:
    whole = {
        "at_ms": 0, "offsets": {"case.inbound-0": 100, "deliver.dept-a-0": 50}, "messages": MessageTotals(),
        "members": {}, "closed_digest": "00", "open_messages": {}, "open_dispatches": {}, "booked_ahead": {},
        "duplicated": {}, "own_books": {}, "with_book": [], "problems": [], "problems_seen": 0,
    }  # fmt: skip
    return Checkpoint(**(whole | changes))  # type: ignore[arg-type]


def closing(number: int, at_ms: int):  # type: ignore[no-untyped-def]
    report = Report(messages=MessageTotals(), members={}, duplicated=0)
    made = closing_of(report, checkpoint(at_ms=at_ms), "0" * 64, None)
    return type(made)(**{name: getattr(made, name) for name in made.__struct_fields__} | {"number": number})


def test_r23_nothing_goes_that_no_closed_book_covers() -> None:
    (cut,) = plan({("case.inbound", 0): 10}, {})
    assert (cut.before, cut.records) == (10, 0)
    assert "nothing covers it" in cut.held_by


def test_r23_the_slowest_reader_decides() -> None:
    bounds = {("case.inbound", 0): [Bound(100, "closing"), Bound(70, "projector"), Bound(90, "router")]}
    (cut,) = plan({("case.inbound", 0): 10}, bounds)
    assert (cut.before, cut.records, cut.held_by) == (70, 60, "projector")


def test_r23_what_is_already_gone_is_not_counted() -> None:
    (cut,) = plan({("case.inbound", 0): 80}, {("case.inbound", 0): [Bound(70, "projector")]})
    assert (cut.before, cut.records) == (80, 0)


def test_r23_unfinished_messages_and_dispatches_keep_their_records() -> None:
    kept = of_open_ids(
        checkpoint(
            open_messages={
                "held": OpenMessage(accepted=(0, 7), disposition="held", verdict_at=(0, 3)),
                "later": OpenMessage(accepted=(0, 9)),
                "closed again": OpenMessage(accepted=(-1, -1)),
            },
            open_dispatches={
                "parked": OpenDispatch(
                    "dept-a", listed=(0, 4), sent=(0, 2), outcome="parked", outcome_at=(1, 5)
                )
            },
        )
    )
    assert {place: bound.offset for place, bound in kept.items()} == {
        ("case.inbound", 0): 7,
        ("case.routed", 0): 3,
        ("deliver.dept-a", 0): 2,
        ("case.outcomes", 1): 5,
    }
    assert "held" in kept["case.inbound", 0].why


def test_r23_a_member_that_is_away_keeps_its_dispatches() -> None:
    """Taken in is not delivered: what waits in the lane's store may be kept by its place in the log alone."""
    positions = Positions({0: 40}, {("dept-a", 0): Lane(30, frozenset({12, 25})), ("nation", 0): Lane(8)})
    assert {place: bound.offset for place, bound in of_lanes(positions).items()} == {
        ("case.inbound", 0): 40,
        ("deliver.dept-a", 0): 12,
        ("deliver.nation", 0): 8,
    }


def test_r23_age_is_measured_by_closings_and_not_by_clocks_of_records() -> None:
    chain = [closing(number, number * DAY) for number in range(10)]
    found = measured_by(chain, 3, 9 * DAY)
    assert found is not None
    assert found.number == 6
    assert measured_by(chain, 30, 9 * DAY) is None
    assert of_closing(found)["case.inbound", 0].offset == 100


@pytest.mark.parametrize("start", [0, 50])
@given(offsets=st.lists(st.integers(0, 1_000), min_size=1, max_size=6))
def test_r23_nothing_at_or_above_any_bound_ever_goes(start: int, offsets: list[int]) -> None:
    (cut,) = plan({("case.routed", 1): start}, {("case.routed", 1): [Bound(n, str(n)) for n in offsets]})
    assert all(cut.before <= max(start, offset) for offset in offsets)
