"""`Books` in memory: any interleaving of the topics gives the same totals, and what is closed is
forgotten."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.books.judge import judge
from hub.books.ledger import Books
from hub.books.model import Lane, Positions, Trouble

OUTCOMES = ["delivered", "refused", "cancelled", "parked", "in_doubt"]


def feed(books: Books, number: int, step: str, outcome: str) -> None:
    id_, dispatch, at = f"m{number}", f"d{number}", (0, number)
    if step == "accepted":
        books.accepted(id_, at)
    elif step == "verdict":
        books.verdict(id_, "routed", False, [(dispatch, "dept-a")], at)
    elif step == "sent":
        books.sent(dispatch, "dept-a", at)
    elif step == "outcome":
        books.outcome(dispatch, "dept-a", outcome, at)
    else:
        books.booked(dispatch, "dept-a", 1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_reading_topics_does_not_matter(outcomes: list[str], dice: object) -> None:
    steps = [
        (number, step, outcome)
        for number, outcome in enumerate(outcomes)
        for step in ("accepted", "verdict", "sent", "outcome", "booked")
    ]
    dice.shuffle(steps)  # type: ignore[attr-defined]
    books = Books(["dept-a"])
    for number, step, outcome in steps:
        feed(books, number, step, outcome)
    positions = Positions({0: 1_000}, {("dept-a", 0): Lane(1_000)})
    judgement = judge(books, positions, {0: 1_000})
    assert judgement.problems == []
    assert judgement.messages.routed == len(outcomes)
    for name in OUTCOMES:
        assert getattr(judgement.dispatches, name) == outcomes.count(name)


def test_memory_holds_only_what_is_open() -> None:
    books = Books(recent_max=100)
    for number in range(5_000):
        for step in ("accepted", "verdict", "sent", "outcome"):
            feed(books, number, step, "delivered")
    books.accepted("open", (0, 9_999))
    assert list(books.messages) == ["open"]
    assert books.dispatches == {}
    assert len(books._recent_messages) == len(books._recent_dispatches) == 100


def test_a_delivered_dispatch_stays_open_until_the_members_book_has_it() -> None:
    books = Books(["dept-a"])
    for step in ("accepted", "verdict", "sent", "outcome"):
        feed(books, 1, step, "delivered")
    positions = Positions({0: 10}, {("dept-a", 0): Lane(10)})
    assert [problem.trouble for problem in judge(books, positions, {0: 10}).problems] == [Trouble.NOT_IN_BOOK]
    feed(books, 1, "booked", "")
    assert judge(books, positions, {0: 10}).problems == []
    assert books.dispatches == {}


def test_a_refusal_after_delivery_moves_between_columns_and_in_the_digest() -> None:
    changed, straight = Books(), Books()
    for step in ("accepted", "verdict", "sent", "outcome"):
        feed(changed, 1, step, "delivered")
        feed(straight, 1, step, "refused")
    changed.outcome("d1", "dept-a", "refused", (0, 99))
    assert changed.closed_dispatches == straight.closed_dispatches
    assert changed.closed_digest == straight.closed_digest


def test_released_dispatch_is_in_flight_again_until_it_is_delivered() -> None:
    books = Books()
    books.verdict("m", "routed", False, [("d", "town")], (0, 0))
    books.accepted("m", (0, 0))
    books.sent("d", "town", (0, 0))
    books.outcome("d", "town", "parked", (0, 0))
    waiting = Positions({0: 1}, {("town", 0): Lane(1, frozenset({0}))})
    assert judge(books, waiting, {0: 1}).dispatches.parked == 1
    books.outcome("d", "town", "in_flight", (0, 1))
    assert judge(books, waiting, {0: 1}).dispatches.in_flight == 1
    books.outcome("d", "town", "delivered", (0, 2))
    totals = judge(books, waiting, {0: 1}).dispatches
    assert (totals.delivered, totals.in_flight, totals.parked) == (1, 0, 0)
