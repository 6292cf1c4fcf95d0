"""What the projector has on record, for the gateway's questions: digests, a message's way, a case's way, who
may read a file.

PostgreSQL only, read only. Receipts never depend on it: without it conflicts are found by the router, and
questions are answered 503.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
import structlog

from hub.gateway.errors import Rejected
from schemas import times

log = structlog.get_logger()

CONNECTIONS_MAX: Final = 4
LOOK_UP_MS_MAX: Final = 300
QUERY_MS_MAX: Final = 5_000
AWAY_MS: Final = 2_000
ROWS_MAX: Final = 500
RETRY_AFTER_S: Final = 5

_DIGESTS: Final = "SELECT id, digest FROM messages WHERE id = ANY($1::text[]) AND digest <> ''"
_MESSAGE: Final = """
SELECT id, case_no, type, source, source_ref, digest, occurred_at, received_at, disposition, reason, zh, en
FROM messages WHERE id = $1"""
_DISPATCHES_OF_MESSAGE: Final = """
SELECT id, message_id, member, kind, outcome, code, detail, attempts, at FROM dispatches
WHERE message_id = $1 ORDER BY member, id LIMIT $2"""
_CASE: Final = """
SELECT case_no, item, region, project_name, applicant_masked, owner, origin, stage, opened_at, updated_at
FROM cases WHERE case_no = $1"""
_MESSAGES_OF_CASE: Final = """
SELECT id, type, source, occurred_at, received_at, disposition, reason, zh, en FROM messages
WHERE case_no = $1 ORDER BY occurred_at, received_at, id LIMIT $2"""
_DISPATCHES_OF_CASE: Final = """
SELECT id, message_id, member, kind, outcome, code, detail, attempts, at FROM dispatches
WHERE case_no = $1 ORDER BY listed_at, id LIMIT $2"""
# Being sent a case that names a file opens it only if the one who uploaded it speaks in that case too:
# otherwise a member could open any file whose digest it knows by naming it in a case of its own.
_MAY_READ: Final = """
SELECT EXISTS (
  SELECT 1 FROM files f JOIN dispatches d USING (case_no) JOIN messages m USING (case_no)
  WHERE f.sm3 = $1 AND d.member = $2 AND d.outcome <> 'cancelled' AND m.source = ANY($3::text[]))"""
_LEDGER_PLACE: Final = "SELECT case_no, ledger_offset FROM messages WHERE id = $1"
_ROOT_OF: Final = """
SELECT first_offset, last_offset, sequence, partition, "offset" FROM evidence_roots
WHERE lane = $1 AND last_offset >= $2 ORDER BY last_offset LIMIT 1"""
_AS_OF: Final = "SELECT as_of FROM projector_status"


class RootPlace(NamedTuple):
    """A signed interval of a ledger lane, and where its root is on evidence.roots."""

    first_offset: int
    last_offset: int
    sequence: int
    partition: int
    offset: int


_FAILURES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class Records:
    """Questions to the projector's tables over a small pool that connects when first asked."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._pool: asyncpg.Pool | None = None
        self._away_until = 0.0

    async def open(self) -> None:
        """Make the pool. No connection is made yet: the gateway starts without its database."""
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=CONNECTIONS_MAX,
            timeout=QUERY_MS_MAX / 1000,
            command_timeout=QUERY_MS_MAX / 1000,
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            self._pool.terminate()

    async def digests(self, ids: list[str]) -> dict[str, str]:
        """{message id: digest} of those on record. Raises TimeoutError or OSError, at once while the
        database is known to be away: intake must not wait for it again and again."""
        if time.monotonic() < self._away_until:
            raise TimeoutError("records are away")
        try:
            async with asyncio.timeout(LOOK_UP_MS_MAX / 1000):
                rows = await self._fetch(_DIGESTS, ids)
        except _FAILURES as error:
            if time.monotonic() > self._away_until + AWAY_MS / 1000:
                log.warning("gateway.records_away", error=repr(error))
            self._away_until = time.monotonic() + AWAY_MS / 1000
            raise TimeoutError(repr(error)) from error
        return {row["id"]: row["digest"] for row in rows}

    async def message(self, id_: str) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """A message and its dispatches as JSON-ready dicts, or None. Raises Rejected 503."""
        row = await self._one(_MESSAGE, id_)
        if row is None:
            return None
        dispatches = await self._many(_DISPATCHES_OF_MESSAGE, id_, ROWS_MAX)
        return _message(row), [_dispatch(d) for d in dispatches]

    async def case(self, number: str) -> dict[str, Any] | None:
        """A case with its messages and dispatches in time order (at most ROWS_MAX each), or None. Raises
        Rejected 503."""
        row = await self._one(_CASE, number)
        messages = await self._many(_MESSAGES_OF_CASE, number, ROWS_MAX)
        if row is None and not messages:
            return None
        dispatches = await self._many(_DISPATCHES_OF_CASE, number, ROWS_MAX)
        return {
            "caseNo": number,
            "item": row["item"] if row else "",
            "region": row["region"] if row else "",
            "projectName": row["project_name"] if row else "",
            "applicant": row["applicant_masked"] if row else "",
            "owner": row["owner"] if row else "",
            "origin": row["origin"] if row else "",
            "stage": row["stage"] if row else "",
            "openedAt": iso(row["opened_at"]) if row else None,
            "updatedAt": iso(row["updated_at"]) if row else None,
            "messages": [_message(m) for m in messages],
            "dispatches": [_dispatch(d) for d in dispatches],
        }

    async def ledger_place(self, id_: str) -> tuple[str, int] | None:
        """(case number, offset on case.routed) of a message's standing line, or None. Raises Rejected 503."""
        row = await self._one(_LEDGER_PLACE, id_)
        return None if row is None or row["ledger_offset"] is None else (row["case_no"], row["ledger_offset"])

    async def root_place(self, lane: str, offset: int) -> "RootPlace | None":
        """The interval of a ledger lane that holds an offset, None while none does. Raises Rejected 503."""
        row = await self._one(_ROOT_OF, lane, offset)
        return None if row is None or row["first_offset"] > offset else RootPlace(*row)

    async def may_read(self, sm3: str, member: str, uploaders: Sequence[str]) -> bool:
        """True when the member was sent a case that names this file and one of its uploaders speaks in it."""
        row = await self._one(_MAY_READ, sm3, member, list(uploaders))
        return bool(row and row[0])

    async def as_of(self) -> str | None:
        """Up to when the records are complete (R25)."""
        row = await self._one(_AS_OF)
        return iso(row["as_of"]) if row else None

    async def _one(self, query: str, *values: Any) -> Any:
        rows = await self._many(query, *values)
        return rows[0] if rows else None

    async def _many(self, query: str, *values: Any) -> list[Any]:
        try:
            async with asyncio.timeout(QUERY_MS_MAX / 1000):
                return await self._fetch(query, *values)
        except _FAILURES as error:
            log.warning("gateway.records_away", error=repr(error))
            raise records_away() from error

    async def _fetch(self, query: str, *values: Any) -> list[Any]:
        if self._pool is None:
            raise TimeoutError("the pool is not open")
        rows: list[Any] = await self._pool.fetch(query, *values)
        return rows


def records_away() -> Rejected:
    """The answer to a question while PostgreSQL cannot be read; intake goes on."""
    return Rejected(
        503,
        "records_away",
        "查询库暂不可用，收件不受影响，请稍后再查",
        "the records cannot be read now; intake is not affected, ask again later",
        retry_after_s=RETRY_AFTER_S,
    )


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 with +08:00."""
    return None if moment is None else times.to_iso(int(moment.timestamp() * 1000))


def _message(row: Any) -> dict[str, Any]:
    found = {
        "messageId": row["id"],
        "type": row["type"],
        "source": row["source"],
        "occurredAt": iso(row["occurred_at"]),
        "receivedAt": iso(row["received_at"]),
        # A message whose fate is not on record yet is durable: that is what "received" says.
        "status": "received" if row["disposition"] == "in_flight" else row["disposition"],
        "reason": row["reason"],
        "zh": row["zh"],
        "en": row["en"],
    }
    for name, column in (("caseNo", "case_no"), ("sourceRef", "source_ref"), ("digest", "digest")):
        if column in row:
            found[name] = row[column]
    return found


def _dispatch(row: Any) -> dict[str, Any]:
    return {
        "dispatchId": row["id"],
        "messageId": row["message_id"],
        "member": row["member"],
        "kind": row["kind"],
        "status": row["outcome"],
        "code": row["code"],
        "detail": row["detail"],
        "attempts": row["attempts"],
        "at": iso(row["at"]),
    }
