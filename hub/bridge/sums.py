"""What became of a message that came from the other region, summed up over our router and our members. Pure.

The other hub's ledger has one dispatch for it; what is told there is the worst of what was said here.
"""

from typing import Final, NamedTuple

import msgspec

from hub.bridge.model import Sum, Told

_FINAL: Final = frozenset({"delivered", "refused", "cancelled"})
# A standstill is told at once, the worse one first; an end only when every member has answered.
_STANDSTILLS: Final = ("in_doubt", "parked")
_ENDS: Final = ("refused", "delivered", "cancelled")


class Verdict(NamedTuple):
    """What is told: one of the outcomes of the dispatch ledger."""

    outcome: str
    code: str
    detail: str


# Told only after a standstill: somebody released what stood still.
_GOES_ON: Final = Verdict("in_flight", "released", "")


def with_line(known: Sum, disposition: str, code: str, detail: str, dispatches: tuple[str, ...]) -> Sum:
    """Our router's ledger line; the last one stands."""
    return msgspec.structs.replace(
        known, disposition=disposition, code=code, detail=detail, dispatches=dispatches
    )


def with_outcome(known: Sum, dispatch: str, told: Told) -> Sum:
    """One member's outcome; the last one of a dispatch stands. One that goes on again has none."""
    outcomes = {**known.outcomes, dispatch: told}
    if told.outcome == _GOES_ON.outcome:
        del outcomes[dispatch]
    return msgspec.structs.replace(known, outcomes=outcomes)


def verdict(known: Sum) -> Verdict | None:
    """What the other hub is to be told now; None while it is under way (or held, waiting for an earlier
    step) and nothing else was told before."""
    return _now(known) or (_GOES_ON if known.acknowledged not in ("", _GOES_ON.outcome) else None)


def _now(known: Sum) -> Verdict | None:
    if known.disposition in ("refused", "parked"):
        return Verdict(known.disposition, known.code, known.detail)
    if known.disposition != "routed":
        return None
    said = [known.outcomes[dispatch] for dispatch in known.dispatches if dispatch in known.outcomes]
    for outcome in _STANDSTILLS:
        for told in said:
            if told.outcome == outcome:
                return of_member(told)
    if len(said) < len(known.dispatches):
        return None
    for outcome in _ENDS:
        for told in said:
            if told.outcome == outcome:
                return of_member(told)
    return Verdict("delivered", "no_receiver", known.code)


def of_member(told: Told) -> Verdict:
    """One member's outcome in the other hub's ledger, the member named."""
    return Verdict(told.outcome, told.code, f"{told.member}: {told.detail}".rstrip(": "))


def is_closed(known: Sum) -> bool:
    """Nothing more is awaited. What still changes afterwards is told as it comes."""
    if known.disposition == "refused":
        return True
    return known.disposition == "routed" and all(
        dispatch in known.outcomes and known.outcomes[dispatch].outcome in _FINAL
        for dispatch in known.dispatches
    )
