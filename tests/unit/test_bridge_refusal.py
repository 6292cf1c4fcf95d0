"""A record that the other cluster refuses for good: found among many, tried alone, ever more rarely."""

from types import SimpleNamespace
from typing import Any

from hub.bridge.refusal import Refusal, learn
from hub.errors import OutputRefused, WriteRefused

INPUT = "deliver.hub-south-0"
PLACE = ("case.inbound", 3)


def record(offset: int) -> Any:
    return SimpleNamespace(offset=offset, headers=[("ce_id", b"m%d" % offset)])


def refused(*offsets: int, before: Refusal | None = None, ms_max: int = 300) -> Refusal:
    error = OutputRefused("too large", PLACE)
    return learn(before, INPUT, [record(offset) for offset in offsets], error, 0.0, 100, ms_max)


def test_several_that_were_refused_together_are_tried_one_by_one_at_once() -> None:
    together = refused(4, 5, 6)
    assert (together.left_s(0.0), together.text) == (0.0, ""), "not yet known which one"
    assert together.covers(INPUT, 6)
    assert together.covers(INPUT, 3), "what the cursor has not passed is read again"
    assert not together.covers(INPUT, 7)
    assert not together.covers("case.routed-0", 5)


def test_one_alone_is_named_and_only_it_is_tried_alone() -> None:
    alone = refused(5, before=refused(4, 5, 6))
    assert f"{INPUT}@5 m5" in alone.text
    assert "case.inbound-3" in alone.text
    assert not alone.covers(INPUT, 6)


def test_it_is_tried_ever_more_rarely_up_to_the_bound() -> None:
    known, waits = refused(5), []
    for _ in range(4):
        waits.append(known.left_s(0.0))
        known = refused(5, before=known)
    assert waits == [0.1, 0.2, 0.3, 0.3]
    assert refused(6, before=known).tries == 1, "another record begins anew"


def test_the_cursor_alone_can_be_refused_too() -> None:
    error = WriteRefused("not authorised", ("bridge.changelog", 0))
    known = learn(None, "", [], error, 0.0, 100, 300)
    assert "游标" in known.text
    assert "bridge.changelog-0" in known.text
    assert not known.covers(INPUT, 0)
