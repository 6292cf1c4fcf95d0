"""What the hub and an adapter say to each other: a Submission comes in, a Dispatch goes out, a Reply comes
back.

No transport and no dialect lives here.
"""

import enum
from collections.abc import Callable
from typing import Any, Protocol

import msgspec


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One message as a member sent it, decoded from its dialect but not yet validated or numbered.

    source_ref: what identifies the message at its sender (R1). case_ref: the member's own case reference
    (opening messages and
    cases begun at its counter). case_no: 办件编号 when the member knows it. occurred_at: ISO 8601; without
    zone = Asia/Shanghai (R7).
    """

    type: str
    source_ref: str
    body: dict[str, Any]
    occurred_at: str
    version: int = 1
    source_system: str = ""
    case_ref: str = ""
    case_no: str = ""
    correlation: str = ""


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """One message on its way to one member. `id` is derived and never changes, whatever is retried (G4).

    kind: what the member is asked to take; normally the message type, `credit.query` for a credit query made
    of a submission, `case.supervision_copy` for a copy. body: the decoded Avro body of `type`. source_key:
    what identified the message at its sender, without version (R1). flags: e.g. "second-correction" (F11).
    """

    id: str
    message_id: str
    member: str
    kind: str
    type: str
    case_no: str
    source: str
    occurred_ms: int
    body: dict[str, Any]
    region: str = ""
    item: str = ""
    digest: str = ""
    source_key: str = ""
    attributes: dict[str, str] = {}
    flags: tuple[str, ...] = ()


class ReplyKind(enum.StrEnum):
    """R19: what a member's answer means. An unmatched answer is UNKNOWN, never DONE."""

    DONE = "done"
    ALREADY_DONE = "already_done"
    TRY_LATER = "try_later"  # the member answered that it cannot now (5xx, 429, busy)
    REFUSED = "refused"  # the member's business refuses this message: final for this dispatch
    MALFORMED = "malformed"  # 4xx, SOAP Client fault: this case's problem, park it
    UNKNOWN = "unknown"  # sent, and no answer that can be understood
    UNREACHABLE = "unreachable"  # nothing was written to the member
    ABSENT = "absent"  # answer to a query: the member does not hold this dispatch


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A member's answer. detail: what it said, at most 1,000 characters. answer: a message that came back in
    the reply (credit grade). receipt: the member's signed receipt as JSON (signing/receipts.py), unchecked,
    "" when it gave none."""

    kind: ReplyKind
    code: str = ""
    detail: str = ""
    answer: Submission | None = None
    receipt: str = ""


class TooLate(Exception):
    """The call may no longer start: its intent is older than start_within_ms (G4). Nothing was written to the
    member."""


class FormatError(Exception):
    """A document in a member's dialect that cannot be decoded. field, rule and standard name the place; texts
    are bilingual."""

    def __init__(self, field: str, rule: str, standard: str, zh: str, en: str) -> None:
        super().__init__(f"{zh} / {en}")
        self.field, self.rule, self.standard, self.zh, self.en = (
            field,
            rule,
            standard,
            zh,
            en,
        )


class MemberPort(Protocol):
    """One member's adapter, opened once per delivery lane."""

    async def deliver(self, dispatch: Dispatch, may_start: Callable[[], bool]) -> Reply:
        """Hand the dispatch over. `may_start` is asked immediately before the request is written; False ->
        raise TooLate."""
        ...

    async def query(self, dispatch: Dispatch) -> Reply:
        """Ask a queryable member whether it holds this dispatch: DONE, ABSENT, REFUSED, UNKNOWN or
        UNREACHABLE."""
        ...

    async def close(self) -> None: ...
