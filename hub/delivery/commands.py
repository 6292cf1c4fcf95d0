"""What an operator may say to a delivery lane, and what it does to a case that stands still. Pure: a command
and a hold in, a step or a reason why not out.

A command is a record of commands.delivery.<member>, consumed in the lane's own transaction: nothing else
writes a lane's state (G5, R27).
"""

import enum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from hub.delivery.model import Hold, Outcome

TOPIC: Final = "commands.delivery."
_Short = Annotated[str, Meta(max_length=64)]
_Words = Annotated[str, Meta(max_length=500)]
Verb = Literal["redrive", "settle", "skip", "release", "suspend", "resume", "acknowledge_clock"]


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One order. Key of its record: the case's number, or the member's id for suspend, resume and
    acknowledge_clock.

    dispatch, attempts: at which dispatch the case stands still, and how often it had been called then. A
    command that comes twice, or late, finds another standstill and does nothing.
    settled: what a person found out about a doubt. evidence: what it rests on (a digest of the member's
    list, a serial number). approved_by: the second person of a bulk (R27). act: the bulk it belongs to.
    jump_ms: the jump of the process's clock after which its time is right.
    """

    command: Verb
    by: Annotated[str, Meta(min_length=1, max_length=64)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    dispatch: _Short = ""
    attempts: Annotated[int, Meta(ge=0)] = 0
    settled: Literal["", "delivered", "not_delivered"] = ""
    evidence: _Words = ""
    approved_by: _Short = ""
    act: _Short = ""
    jump_ms: int = 0


class Next(enum.StrEnum):
    """What becomes of the dispatch at which the case stands still."""

    AGAIN = "again"
    GONE = "gone"


class Step(msgspec.Struct, frozen=True):
    """The case goes on: its head is called again, or leaves with this outcome ("" = the one it has)."""

    next: Next
    outcome: Outcome | None = None
    code: str = ""


# (command, what was settled) -> outcomes of a standstill it applies to, and the step.
_STEPS: Final[dict[tuple[str, str], tuple[frozenset[Outcome], Step]]] = {
    ("redrive", ""): (frozenset({Outcome.PARKED}), Step(Next.AGAIN)),
    ("settle", "not_delivered"): (frozenset({Outcome.IN_DOUBT}), Step(Next.AGAIN)),
    ("settle", "delivered"): (
        frozenset({Outcome.IN_DOUBT, Outcome.PARKED}),
        Step(Next.GONE, Outcome.DELIVERED, "settled"),
    ),
    ("skip", ""): (
        frozenset({Outcome.IN_DOUBT, Outcome.PARKED}),
        Step(Next.GONE, Outcome.CANCELLED, "skipped"),
    ),
    ("release", ""): (frozenset({Outcome.REFUSED}), Step(Next.GONE)),
}


def decode(raw: bytes) -> Command:
    """Raises ValueError for what is no command."""
    return msgspec.json.decode(raw, type=Command)


def encode(command: Command) -> bytes:
    """The record's value."""
    return msgspec.json.encode(command)


def step_for(command: Command, hold: Hold | None, attempts: int) -> Step | str:
    """What the command does to the case, or why it does nothing. attempts: calls of the dispatch at which
    the case stands still."""
    if hold is None:
        return "not_held"
    if command.dispatch != hold.dispatch_id:
        return "other_dispatch"
    if command.attempts != attempts:
        return "called_since"
    outcomes, step = _STEPS.get((command.command, command.settled), (frozenset[Outcome](), None))
    if step is None:
        return "unknown_command"
    if hold.outcome not in outcomes:
        return f"not_for_{hold.outcome}"
    return step


def detail_of(command: Command) -> str:
    """Who did it and why, for the dispatch ledger."""
    parts = [f"{command.by}: {command.reason}"]
    if command.evidence:
        parts.append(f"依据 / evidence: {command.evidence}")
    if command.approved_by:
        parts.append(f"复核 / approved by: {command.approved_by}")
    return "; ".join(parts)
