"""G7: how ledger lines become leaves and intervals. A ledger that was changed is noticed before it is
signed."""

import itertools

import msgspec
import pytest

from hub.evidence.leaves import Book, ChainBroken, LedgerLane, joined, leaf_text, parts_of, read_part
from hub.kafka import Record
from signing.evidence import Chain, chain_break, leaf_hash, root_of
from tests.evidence_files import NEW, closed, linked, record, routed


def _take_all(lane: LedgerLane, records: list[Record]) -> None:
    for one in records:
        lane.take(one)


def ledger(book: Book = NEW) -> LedgerLane:
    return LedgerLane("case.routed-0", book, chained=True)


def test_g7_a_leaf_is_the_same_for_ever() -> None:
    one = routed(7, 1)
    text = leaf_text("case.routed-0", one.offset, 1000, one.value)
    assert text == leaf_text("case.routed-0", one.offset, 1000, one.value)
    assert text.startswith(b'{"at":1000,"lane":"case.routed-0","line":{"caseNo":')
    assert b"null" not in text
    assert b'"offset":7}' in text


def test_g7_a_line_nobody_can_read_is_a_leaf_too() -> None:
    assert b'"unreadable":' in leaf_text("case.routed-0", 1, 2, b"garbage")


def test_g7_an_interval_ends_where_a_transaction_ended() -> None:
    lane = ledger()
    first, chain = linked([routed(0, 0), routed(1, 1)], Chain())
    second, _ = linked([routed(2, 2), routed(3, 3)], chain)
    for one in [*first, second[0]]:
        lane.take(one)
    assert (lane.ready, lane.waiting) == (2, 3)
    interval, book = lane.close(1000)
    lane.closed(book)
    assert interval.statement.last_offset == 1
    assert interval.statement.chain == chain.head
    assert lane.waiting == 1
    rest = closed(lane, second[1:])
    assert (rest.statement.first_offset, rest.statement.size) == (2, 2)
    assert chain_break((interval.statement, rest.statement)) is None


def test_g7_a_lane_goes_on_from_its_book() -> None:
    first, chain = linked([routed(0, 0)], Chain())
    second, _ = linked([routed(1, 1)], chain)
    lane = ledger()
    for one in first:
        lane.take(one)
    interval, book = lane.close(1000)
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(book), type=Book)
    following = closed(ledger(stored), second)
    assert chain_break((interval.statement, following.statement)) is None


@pytest.mark.parametrize("change", ["removed", "added", "replaced", "reordered", "link removed"])
def test_g7_a_changed_ledger_is_noticed(change: str) -> None:
    first, chain = linked([routed(0, 0)], Chain())
    second, chain = linked([routed(1, 1), routed(2, 2), routed(3, 3)], chain)
    third, _ = linked([routed(4, 4)], chain)
    bad = {
        "removed": [second[0], second[2]],
        "added": [second[0], routed(9, 9), *second[1:]],
        "replaced": [second[0], routed(2, 9), second[2]],
        "reordered": [second[1], second[0], second[2]],
        "link removed": [],
    }[change]
    lane = ledger()
    with pytest.raises(ChainBroken):
        _take_all(lane, [*first, *bad, *third])


def test_g7_lines_older_than_the_chain_are_leaves_without_it() -> None:
    lane = ledger()
    old = [routed(0, 0), routed(1, 1)]
    first, chain = linked([routed(2, 2)], Chain())
    interval = closed(lane, [*old, *first])
    assert (interval.statement.size, interval.statement.chain) == (3, chain.head)


def test_g7_lines_of_a_hub_without_a_chain_can_be_closed() -> None:
    lane = ledger()
    lane.take(routed(0, 0))
    assert lane.ready == 0
    lane.take_unchained()
    assert lane.ready == 1


def test_g7_a_chain_that_began_before_evidence_is_taken_up() -> None:
    chain = Chain().extend([b"earlier"])
    first, chain = linked([routed(5, 5)], chain)
    second, _ = linked([routed(6, 6)], chain)
    lane = ledger()
    closed(lane, first)
    assert closed(lane, second).statement.sequence == 1
    with pytest.raises(ChainBroken):
        lane.take(first[0])


def test_g7_a_clock_that_goes_back_does_not_reorder_history() -> None:
    lane = LedgerLane("case.outcomes-0", NEW, chained=False)
    statements = [closed(lane, [routed(n, n)], at_ms).statement for n, at_ms in enumerate((5000, 4000, 6000))]
    assert [chain_break(pair) for pair in itertools.pairwise(statements)] == [None, None]


def test_g7_many_leaves_are_kept_in_parts_that_fit_a_record() -> None:
    lane = LedgerLane("case.outcomes-0", NEW, chained=False)
    long = {"dispatchId": "0" * 32, "messageId": "0" * 32, "caseNo": "c", "member": "m", "kind": "k",
            "outcome": "parked", "detail": "长" * 1000, "attempts": 0, "at": 0}  # fmt: skip
    interval = closed(lane, [record("case.outcomes", n, "hub.outcome", long) for n in range(400)])
    parts = [read_part(value) for value in parts_of(interval)]
    assert len(parts) > 1
    assert joined(parts[::-1]) == interval.leaves
    assert root_of([leaf_hash(leaf) for leaf in joined(parts)]) == interval.statement.root
    with pytest.raises(ValueError, match="missing"):
        joined(parts[:1] + parts[2:] if len(parts) > 2 else parts[1:])
    with pytest.raises(ValueError):
        read_part(b"not compressed")
