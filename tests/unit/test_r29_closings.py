"""R29: a closing is opening + movements = closing per member, signed, and names the one before it; what was
changed is found."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from hub.books.checkpoint import Checkpoint
from hub.books.close import day_of
from hub.books.closing import (
    BooksTampered,
    Closing,
    Finding,
    closing_of,
    judge,
    movements,
    read_statement,
)
from hub.books.model import DispatchTotals, MessageTotals, Report
from hub.evidence.lane import Signer
from hub.evidence.leaves import SignedRoot, canonical
from hub.evidence.stamps import OwnStamper
from tests.evidence_files import NOW, NOW_MS, PROVIDER, identity, trust

LATER = NOW + timedelta(days=3)


def totals(**counts: int) -> dict[str, DispatchTotals]:
    return {"dept-a": DispatchTotals(**counts)}


def checkpoint(at_ms: int) -> Checkpoint:
    return Checkpoint(at_ms, {"case.routed-0": 7}, MessageTotals(), {}, "00", {}, {}, {}, {}, {}, [], [], 0)


def closing(members: dict[str, DispatchTotals], last: Closing | None, day: int) -> Closing:
    report = Report(messages=MessageTotals(routed=5), members=members, duplicated=0)
    return closing_of(report, checkpoint(NOW_MS + day * 86_400_000), f"{day:064x}", last)


def sign(one: Closing, who: str = "signer") -> SignedRoot:
    signer = Signer(PROVIDER, identity(who), OwnStamper(PROVIDER, identity("tsa")))
    return asyncio.run(signer.sign(canonical(one)))


DAYS: list[Closing] = []
for _day, _members in enumerate(
    (
        totals(delivered=5, parked=2),
        totals(delivered=6, parked=1, in_flight=3),
        totals(delivered=9, refused=1),
    )
):
    DAYS.append(closing(_members, DAYS[-1] if DAYS else None, _day))
CHAIN = [sign(day) for day in DAYS]


def found(chain: list[SignedRoot]) -> list[Finding]:
    return judge(chain, PROVIDER, trust(), now=LATER)[1]


def test_r29_opening_and_movements_make_the_closing() -> None:
    first, second, third = (day.movements["dept-a"] for day in DAYS)
    assert (first.opening, first.listed, first.finished, first.closing) == (0, 7, 5, 2)
    assert (second.opening, second.listed, second.finished, second.closing) == (2, 3, 1, 4)
    assert (third.opening, third.listed, third.finished, third.closing) == (4, 0, 4, 0)
    assert all(one.adds_up for one in (first, second, third))


def test_r29_a_finished_dispatch_that_opens_again_is_a_movement_too() -> None:
    moved = movements(totals(delivered=2), totals(delivered=1, in_doubt=1))["dept-a"]
    assert (moved.opening, moved.listed, moved.finished, moved.closing) == (0, 0, -1, 1)
    assert moved.adds_up


def test_r29_an_honest_chain_holds() -> None:
    assert found(CHAIN) == []


def _changed(number: int, **values: Any) -> Callable[[], list[SignedRoot]]:
    """The text changed, the signature as it was."""

    def chain() -> list[SignedRoot]:
        text = canonical(msgspec.structs.replace(DAYS[number], **values)).decode()
        return [*CHAIN[:number], msgspec.structs.replace(CHAIN[number], statement=text), *CHAIN[number + 1 :]]

    return chain


def _signed_again(number: int, **values: Any) -> Callable[[], list[SignedRoot]]:
    """Changed by whoever has the key: what comes after it betrays it."""

    def chain() -> list[SignedRoot]:
        again = sign(msgspec.structs.replace(DAYS[number], **values))
        return [*CHAIN[:number], again, *CHAIN[number + 1 :]]

    return chain


@pytest.mark.parametrize(
    ("chain", "number", "named"),
    [
        (_changed(1, balanced=True), 1, "signature does not fit"),
        (_changed(1, dispatches=totals(delivered=1)), 1, "signature does not fit"),
        (_changed(2, checkpoint="f" * 64), 2, "signature does not fit"),
        (_signed_again(1, digest="f"), 2, "does not follow"),
        (_signed_again(1, dispatches=totals(delivered=9)), 1, "do not add up"),
        (lambda: [CHAIN[0], CHAIN[2]], 2, "number 1 is missing"),
        (lambda: [CHAIN[0], CHAIN[0], *CHAIN[1:]], 0, "number 1 is missing or doubled"),
        (lambda: CHAIN[1:], 1, "number 0 is missing"),
        (lambda: [sign(DAYS[0], "tsa"), *CHAIN[1:]], 0, "for time stamps only"),
        (lambda: [msgspec.structs.replace(CHAIN[0], timestamp=CHAIN[1].timestamp)], 0, "time stamp"),
    ],
)
def test_r29_what_was_changed_is_found(
    chain: Callable[[], list[SignedRoot]], number: int, named: str
) -> None:
    findings = found(chain())
    assert any(one.number == number and named in one.en for one in findings), findings


def test_r29_what_is_no_closing_is_refused() -> None:
    for text in ("", "{}", CHAIN[0].statement + " ", CHAIN[0].statement.replace("closing-1", "closing-2")):
        with pytest.raises(BooksTampered):
            read_statement(msgspec.structs.replace(CHAIN[0], statement=text))


def test_r29_days_close_in_beijing() -> None:
    before, after = 1_767_196_799_000, 1_767_196_800_000  # 2026-01-01T00:00 +08:00
    assert day_of(after) == day_of(before) + 1
