"""The frozen data that the pure routing core takes and gives: a case's state in, a Decision out. No logic
lives here."""

import enum

import msgspec

from hub.envelope import Message


class Disposition(enum.StrEnum):
    """What became of a message id on case.inbound; the message ledger of G6. In flight = no record yet."""

    ROUTED = "routed"
    REFUSED = "refused"
    HELD = "held"
    PARKED = "parked"


class Stage(enum.StrEnum):
    """Where a case is in its life (办件状态)."""

    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    DECIDED = "decided"
    NOT_ACCEPTED = "not_accepted"
    WITHDRAWN = "withdrawn"


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A message that waits inside its case (R8, R22). missing: what it waits for, a message type or `credit`.
    due_ms: when it is refused."""

    message: Message
    missing: str
    due_ms: int


class Parked(msgspec.Struct, frozen=True, array_like=True):
    """Why a case is parked and everything behind it, in order (G5)."""

    reason: str
    zh: str
    en: str
    since_ms: int
    queue: tuple[Message, ...]


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """Why a message was refused: bilingual, naming field, rule and clause, and what to do (R10)."""

    code: str
    field: str
    rule: str
    clause: str
    zh: str
    en: str
    action_zh: str = ""
    action_en: str = ""


class Outgoing(msgspec.Struct, frozen=True, array_like=True):
    """One dispatch of a message. kind defaults to the message's type; flags are carried as a header. to: the
    member behind another hub that a hub-made message is for."""

    member: str
    kind: str
    flags: tuple[str, ...] = ()
    to: str = ""


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """One line of the message ledger: the message, what became of it and where it goes. A message that was
    held or parked before gets a
    new verdict when it is released; the last one stands. originated: made by the hub itself (refusal, credit
    query, notice), body in message.value. stage: of the case after a routed message."""

    message: Message
    disposition: Disposition
    reason: str = ""
    dispatches: tuple[Outgoing, ...] = ()
    originated: bool = False
    refusal: Refusal | None = None
    zh: str = ""
    en: str = ""
    stage: str = ""


class OutcomeChange(msgspec.Struct, frozen=True, array_like=True):
    """A dispatch whose outcome changed after it was delivered: the nation refused a collected row (R30). via:
    the hub that handed the message over and waits for its outcome."""

    dispatch_id: str
    message_id: str
    member: str
    outcome: str
    code: str
    detail: str
    via: str = ""


class TableUpdate(msgspec.Struct, frozen=True, array_like=True):
    """A record for a compacted table topic (credit.subjects); value None deletes."""

    table: str
    key: str
    value: bytes | None


class Timer(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A due time inside a case. purpose: `early` (R8), `credit` (R22) or `archive` (G8)."""

    due_ms: int
    subject: str
    purpose: str


class Decision(msgspec.Struct, frozen=True):
    """Everything one input changes. state None = nothing changed. duplicate: same id, same digest: no output
    at all. forget: the state is deleted (G8)."""

    state: bytes | None
    verdicts: tuple[Verdict, ...] = ()
    timers_set: tuple[Timer, ...] = ()
    timers_cleared: tuple[Timer, ...] = ()
    outcome_changes: tuple[OutcomeChange, ...] = ()
    table_updates: tuple[TableUpdate, ...] = ()
    duplicate: bool = False
    forget: bool = False
