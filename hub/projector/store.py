"""The projector's PostgreSQL: schema, one transaction per batch with the offsets inside, and where to
resume. SQL lives here, decoding does not."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

import asyncpg

from hub.projector.rows import Rows

Place = tuple[str, int]
"""(bare topic name, partition)."""

_SCHEMA_LOCK: Final = 4_600_001
STATEMENT_TIMEOUT_SECONDS: Final = 60

_INBOUND: Final = """
INSERT INTO messages AS m (id, case_no, type, source, source_ref, digest, region, item, occurred_at,
received_at, causation, body)
VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12::jsonb)
ON CONFLICT (id) DO UPDATE SET source_ref = excluded.source_ref, digest = excluded.digest, region =
excluded.region, item = excluded.item,
  received_at = excluded.received_at, occurred_at = excluded.occurred_at, body = excluded.body
WHERE m.received_at IS NULL"""  # a re-send or a conflict: the first record stands (R2)
_ROUTED: Final = """
INSERT INTO messages (id, case_no, type, source, occurred_at, disposition, reason, zh, en, originated,
causation, tables_version, grade, routed_at, ledger_offset)
VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15)
ON CONFLICT (id) DO UPDATE SET disposition = excluded.disposition, reason = excluded.reason, zh =
excluded.zh, en = excluded.en,
  originated = excluded.originated, causation = excluded.causation, tables_version =
  excluded.tables_version, grade = excluded.grade,
  routed_at = excluded.routed_at, ledger_offset = excluded.ledger_offset"""
_LISTED: Final = """
INSERT INTO dispatches (id, message_id, case_no, member, kind, listed_at) VALUES ($1,$2,$3,$4,$5,$6)
ON CONFLICT (id) DO UPDATE SET listed_at = least(dispatches.listed_at, excluded.listed_at)"""
_OUTCOME: Final = """
INSERT INTO dispatches (id, message_id, case_no, member, kind, outcome, code, detail, attempts, at, behind)
VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)
ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, code = excluded.code, detail = excluded.detail,
attempts = excluded.attempts,
  at = excluded.at, behind = excluded.behind"""
_BODY: Final = """
INSERT INTO messages AS m (id, case_no, type, source, region, item, occurred_at, body) VALUES
($1,$2,$3,$4,$5,$6,$7,$8::jsonb)
ON CONFLICT (id) DO UPDATE SET body = excluded.body, region = excluded.region, item = excluded.item WHERE
m.body IS NULL"""
_OPENED: Final = """
INSERT INTO cases (case_no, item, region, project_name, applicant_masked, owner, origin, stage, opened_at,
updated_at)
VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)
ON CONFLICT (case_no) DO UPDATE SET stage = excluded.stage, updated_at = excluded.updated_at"""
_STAGE: Final = (
    "UPDATE cases SET stage = CASE WHEN $2 = '' THEN stage ELSE $2 END, updated_at = $3 WHERE case_no = $1"
)
_FILE: Final = "INSERT INTO files (case_no, sm3) VALUES ($1,$2) ON CONFLICT DO NOTHING"
_ROOT: Final = """
INSERT INTO evidence_roots (lane, sequence, first_offset, last_offset, partition, "offset") VALUES
($1,$2,$3,$4,$5,$6) ON CONFLICT DO NOTHING"""
_UNREADABLE: Final = """INSERT INTO projector_unreadable (topic, partition, "offset", error) VALUES
($1,$2,$3,$4) ON CONFLICT DO NOTHING"""
_RESUME: Final = """
INSERT INTO projector_offsets (topic, partition, next_offset) VALUES ($1,$2,$3) ON CONFLICT DO NOTHING"""
_MOVE: Final = (
    "UPDATE projector_offsets SET next_offset = $3 WHERE topic = $1 AND partition = $2 AND next_offset = $4"
)
_STATUS: Final = """
INSERT INTO projector_status (as_of, lag) VALUES ($1, $2)
ON CONFLICT (the_one) DO UPDATE SET as_of = excluded.as_of, lag = excluded.lag, written_at = now()"""


class Overtaken(Exception):
    """Another projector moved an offset meanwhile; nothing of this batch was written. Resume from the
    table."""


async def connect(database_url: str) -> "asyncpg.Connection[Any]":
    """One connection with a bounded statement time. Raises OSError or asyncpg.PostgresError when the
    database is away."""
    return await asyncpg.connect(
        database_url,
        command_timeout=STATEMENT_TIMEOUT_SECONDS,
        timeout=10,
        server_settings={"application_name": "govhub-projector"},
    )


async def create_schema(connection: "asyncpg.Connection[Any]") -> None:
    """Create what is missing; two starts at once wait for each other."""
    statements = files("hub.projector").joinpath("schema.sql").read_text("utf-8")
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
        await connection.execute(statements)


async def resume(connection: "asyncpg.Connection[Any]", starts: Mapping[Place, int]) -> dict[Place, int]:
    """Next offset per partition: what the table says; a partition it does not know begins at its log's
    start."""
    await connection.executemany(
        _RESUME,
        [(topic, partition, offset) for (topic, partition), offset in starts.items()],
    )
    found = await connection.fetch("SELECT topic, partition, next_offset FROM projector_offsets")
    known = {(row["topic"], row["partition"]): row["next_offset"] for row in found}
    return {place: known[place] for place in starts}


async def write(
    connection: "asyncpg.Connection[Any]", rows: Rows, moves: Mapping[Place, tuple[int, int]]
) -> None:
    """Rows and offsets in one transaction. moves: place -> (offset it had, next offset).

    The offsets are moved first and only from the value this projector knows: a second projector that reads
    the same records waits for
    the row lock and then raises Overtaken, so no batch is applied twice. Raises asyncpg.PostgresError,
    OSError.
    """
    async with connection.transaction():
        for (topic, partition), (known, following) in sorted(moves.items()):
            if await connection.execute(_MOVE, topic, partition, following, known) != "UPDATE 1":
                raise Overtaken(f"{topic}-{partition}")
        for statement, parameters in (
            (_INBOUND, rows.inbound),
            (_ROUTED, rows.routed),
            (_LISTED, rows.listed),
            (_OUTCOME, rows.outcomes),
            (_BODY, rows.bodies),
            (_OPENED, rows.opened),
            (_STAGE, rows.stages),
            (_FILE, rows.files),
            (_ROOT, rows.roots),
            (_UNREADABLE, rows.unreadable),
        ):
            if parameters:
                await connection.executemany(statement, parameters)


async def write_status(connection: "asyncpg.Connection[Any]", as_of: Any, lag: int) -> None:
    """Tell the readers how fresh the tables are. as_of: every record written before it is in; lag: records
    still to read."""
    await connection.execute(_STATUS, as_of, lag)
