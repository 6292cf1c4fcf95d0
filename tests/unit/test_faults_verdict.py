"""The judge of the fault matrix must itself be believed: each kind of damage, made by hand, is found and
counted once."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.faults.load import Sent, a_case
from tests.faults.town import Effect
from tests.faults.verdict import Ledgers, Verdict, judge

CASE = a_case("one", 3)
NONE: frozenset[str] = frozenset()


def line(one: Sent, *members: str, disposition: str = "routed") -> dict[str, object]:
    dispatches = [{"id": f"{one.step}@{member}", "member": member} for member in members]
    return {"messageId": one.id, "disposition": disposition, "dispatches": dispatches}


def whole() -> Ledgers:
    """Three messages of one case, each dispatched to the bureau and delivered."""
    ids = [one.id for one in CASE]
    dispatches = {f"{one.step}@bureau": one.id for one in CASE}
    return Ledgers(
        inbound=Counter(ids),
        lines={one.id: [line(one, "bureau")] for one in CASE},
        events=Counter(ids),
        delivered_to={"bureau": Counter(dispatches)},
        message_of=dispatches,
        outcome=dict.fromkeys(dispatches, ("delivered", "")),
        event_order={CASE[0].case: ids},
    )


def books(*steps: int) -> dict[str, list[Effect]]:
    return {
        "bureau": [
            Effect(f"{step}@bureau", CASE[step].id, CASE[step].case, float(at))
            for at, step in enumerate(steps)
        ]
    }


def verdict(ledgers: Ledgers, did: dict[str, list[Effect]], allowed: frozenset[str] = NONE) -> Verdict:
    ledgers = replace(
        ledgers, delivered_to={m: Counter(dict.fromkeys(c, 1)) for m, c in ledgers.delivered_to.items()}
    )
    return judge({one.id: one for one in CASE}, ledgers, did, allowed)


def figures(found: Verdict) -> tuple[int, int, int, int, int]:
    return found.lost, found.duplicated, found.order_violations, found.torn, found.unexpected


def test_a_whole_run_is_clean() -> None:
    found = verdict(whole(), books(0, 1, 2))
    assert found.clean
    assert (found.accepted, found.dispatches, found.effects) == (3, 3, 3)


def test_acknowledged_and_not_on_the_topic_is_lost() -> None:
    ledgers = whole()
    del ledgers.inbound[CASE[2].id]
    assert figures(verdict(ledgers, books(0, 1, 2))) == (1, 0, 0, 0, 0)


def test_accepted_and_never_decided_is_lost() -> None:
    ledgers = whole()
    last = CASE[2].id
    ledgers = replace(
        ledgers,
        lines={id_: lines for id_, lines in ledgers.lines.items() if id_ != last},
        events=Counter({id_: 1 for id_ in ledgers.events if id_ != last}),
        delivered_to={"bureau": Counter(["0@bureau", "1@bureau"])},
    )
    assert figures(verdict(ledgers, books(0, 1))) == (1, 0, 0, 0, 0)


def test_decided_twice_is_duplicated() -> None:
    ledgers = whole()
    ledgers.lines[CASE[1].id].append(line(CASE[1], "bureau"))
    assert figures(verdict(ledgers, books(0, 1, 2))) == (0, 1, 0, 0, 0)


def test_a_second_effect_is_duplicated_however_the_hub_counts() -> None:
    assert figures(verdict(whole(), books(0, 1, 1, 2))) == (0, 1, 0, 0, 0)


def test_said_to_be_delivered_and_not_in_the_book_is_lost() -> None:
    assert figures(verdict(whole(), books(0, 1))) == (1, 0, 0, 0, 0)


@pytest.mark.parametrize("did", [(1, 0, 2), (0, 2, 1)])
def test_effects_out_of_order_are_seen(did: tuple[int, ...]) -> None:
    assert figures(verdict(whole(), books(*did))) == (0, 0, 1, 0, 0)


def test_a_line_without_its_event_is_torn() -> None:
    ledgers = whole()
    del ledgers.events[CASE[1].id]
    assert figures(verdict(ledgers, books(0, 1, 2))) == (0, 0, 0, 1, 0)


def test_a_dispatch_nobody_listed_is_torn() -> None:
    ledgers = whole()
    ledgers.lines[CASE[1].id][0]["dispatches"] = []
    found = verdict(ledgers, books(0, 2))
    assert figures(found) == (0, 0, 0, 1, 0)


def test_what_stands_still_is_allowed_or_not() -> None:
    ledgers = replace(whole(), outcome={**whole().outcome, "2@bureau": ("in_doubt", "timeout")})
    assert figures(verdict(ledgers, books(0, 1))) == (0, 0, 0, 0, 1)
    assert figures(verdict(ledgers, books(0, 1), frozenset({"bureau in_doubt"}))) == (0, 0, 0, 0, 0)
