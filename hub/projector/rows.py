"""Kafka records in, rows out: pure, the same rows for the same records in any interleaving of topics. No
I/O lives here.

Records of one case keep their order (same partition on every topic); rows of different topics touch
different columns, so that it
does not matter which topic was read first.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from hub.envelope import Message, from_record
from hub.projector.masking import applicant, mask_names, names_of
from schemas.codec import decode
from schemas.errors import ContractError
from signing.evidence import RootStatement

INBOUND: Final = "case.inbound"
ROUTED: Final = "case.routed"
EVENTS: Final = "case.events"
OUTCOMES: Final = "case.outcomes"
ROOTS: Final = "evidence.roots"
TOPICS: Final = (INBOUND, ROUTED, EVENTS, OUTCOMES, ROOTS)
ERROR_LENGTH_MAX: Final = 1_000

_NUL_ESCAPE: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")

OwnerOf = Callable[[str, str], str]
"""(item code, region code) -> member id of the department that decides, or ""."""


class Source(Protocol):
    """What is used of a Kafka record. timestamp: ms since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: Any


@dataclass
class Rows:
    """Parameter rows for the statements of store.py, each list in record order."""

    inbound: list[tuple[Any, ...]] = field(default_factory=list)
    routed: list[tuple[Any, ...]] = field(default_factory=list)
    listed: list[tuple[Any, ...]] = field(default_factory=list)
    outcomes: list[tuple[Any, ...]] = field(default_factory=list)
    bodies: list[tuple[Any, ...]] = field(default_factory=list)
    opened: list[tuple[Any, ...]] = field(default_factory=list)
    stages: list[tuple[Any, ...]] = field(default_factory=list)
    files: list[tuple[Any, ...]] = field(default_factory=list)
    roots: list[tuple[Any, ...]] = field(default_factory=list)
    unreadable: list[tuple[Any, ...]] = field(default_factory=list)


def rows_of(records: Iterable[tuple[str, Source]], owner_of: OwnerOf) -> Rows:
    """Rows of a batch. records: (bare topic name, record). A record that cannot be read becomes a row of
    `unreadable`."""
    rows = Rows()
    for topic, record in records:
        try:
            _ADD[topic](rows, record, owner_of)
        except (ValueError, KeyError, TypeError, ContractError) as error:
            text = clean(repr(error))[:ERROR_LENGTH_MAX]
            rows.unreadable.append((topic, record.partition, record.offset, text))
    return rows


def _add_inbound(rows: Rows, record: Source, owner_of: OwnerOf) -> None:
    message = from_record(record.headers, record.value)
    rows.inbound.append(
        (
            message.id,
            message.subject,
            message.type,
            message.source,
            message.source_key,
            message.digest,
            message.region,
            message.item,
            moment(message.time_ms),
            moment(record.timestamp),
            message.causation,
            _json_body(message),
        )
    )


def _add_routed(rows: Rows, record: Source, owner_of: OwnerOf) -> None:
    _, verdict = decode(record.value or b"")
    message_id, case_no = verdict["messageId"], verdict["caseNo"]
    at = moment(record.timestamp)
    rows.routed.append(
        (
            message_id,
            case_no,
            verdict["type"],
            verdict["source"],
            moment(_ms(verdict["occurredAt"])),
            verdict["disposition"],
            clean(verdict.get("reason") or ""),
            clean(verdict.get("zh") or ""),
            clean(verdict.get("en") or ""),
            bool(verdict.get("originated")),
            verdict.get("causation") or "",
            verdict.get("tablesVersion") or "",
            verdict.get("grade") or "",
            at,
            record.offset,
        )
    )
    for entry in verdict.get("dispatches") or ():
        rows.listed.append((entry["id"], message_id, case_no, entry["member"], entry["kind"], at))


def _add_outcome(rows: Rows, record: Source, owner_of: OwnerOf) -> None:
    _, outcome = decode(record.value or b"")
    rows.outcomes.append(
        (
            outcome["dispatchId"],
            outcome["messageId"],
            outcome["caseNo"],
            outcome["member"],
            outcome["kind"],
            outcome["outcome"],
            clean(outcome.get("code") or ""),
            clean(outcome.get("detail") or ""),
            int(outcome.get("attempts") or 0),
            moment(_ms(outcome["at"])),
            outcome.get("behind") or "",
        )
    )


def _add_event(rows: Rows, record: Source, owner_of: OwnerOf) -> None:
    message = from_record(record.headers, record.value)
    stage = dict(record.headers).get("hub_stage", b"").decode()
    contract, body = decode(message.value)
    at = moment(record.timestamp)
    rows.bodies.append(
        (
            message.id,
            message.subject,
            message.type,
            message.source,
            message.region,
            message.item,
            moment(message.time_ms),
            _to_json(body),
        )
    )
    # A credit query carries the submission's own bytes under another type: it opens nothing.
    if contract.opening and message.type == contract.name:
        party = body.get("applicant")
        rows.opened.append(
            (
                message.subject,
                message.item,
                message.region,
                clean(mask_names(str(body.get("projectName") or ""), names_of(body))),
                clean(applicant(party)) if isinstance(party, dict) else "",
                owner_of(message.item, message.region),
                message.source,
                stage,
                moment(message.time_ms),
                at,
            )
        )
    else:
        rows.stages.append((message.subject, stage, at))
    for material in body.get("materials") or ():
        if material.get("sm3"):
            rows.files.append((message.subject, material["sm3"]))


def _add_root(rows: Rows, record: Source, owner_of: OwnerOf) -> None:
    """Where the signed root of an interval is; the root itself stays in its topic."""
    text = msgspec.json.decode(record.value or b"")["statement"]
    statement = RootStatement.from_bytes(text.encode())
    rows.roots.append(
        (
            statement.lane,
            statement.sequence,
            statement.first_offset,
            statement.last_offset,
            record.partition,
            record.offset,
        )
    )


_ADD: Final[dict[str, Callable[[Rows, Source, OwnerOf], None]]] = {
    INBOUND: _add_inbound,
    ROUTED: _add_routed,
    EVENTS: _add_event,
    OUTCOMES: _add_outcome,
    ROOTS: _add_root,
}


def clean(text: str) -> str:
    """U+0000 cannot be stored by PostgreSQL; it is shown as its symbol U+2400."""
    return text.replace("\x00", "\u2400")


def moment(time_ms: int) -> datetime | None:
    """UTC time of ms since the epoch; None outside the years 1…9999 (a member's clock may say anything)."""
    try:
        return datetime.fromtimestamp(time_ms / 1_000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _ms(value: Any) -> int:
    return int(value.timestamp() * 1_000) if isinstance(value, datetime) else int(value)


def _json_body(message: Message) -> str | None:
    """The decoded body as JSON; None when no contract decodes it (the router parks such a message, so it
    must not stop us)."""
    try:
        return _to_json(decode(message.value)[1])
    except ContractError:
        return None


def _to_json(body: dict[str, Any]) -> str:
    # bytes become base64, times stay ms. A NUL escape is the one JSON text that jsonb refuses.
    text = msgspec.json.encode(body).decode()
    return _NUL_ESCAPE.sub(r"\1\\u2400", text) if "\\u0000" in text else text
