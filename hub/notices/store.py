"""Where notices lie: two files by derived name, a row that lists them, and how far the topic was read.
A file is written aside and linked into its name, which fails when the name is taken: so an event has one
notice, whoever made it and however often it was tried.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

from hub.config import Settings
from hub.notices.facts import CaseFacts, Notice

FORMS: Final = ("ofd", "pdf")
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
_SCHEMA_LOCK: Final = 7_215_443_104
_NAME_CHARACTERS: Final = frozenset("0123456789abcdef")


class Overtaken(Exception):
    """Another process of this role moved the position meanwhile; nothing of this batch was written."""


@dataclass(frozen=True, slots=True)
class Row:
    """A notice that lies in its files."""

    notice: Notice
    made_at: datetime
    ofd_sm3: str
    pdf_sm3: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch of events leaves in the database, with the positions it ends at: partition ->
    (known, next)."""

    cases: Mapping[str, CaseFacts]
    rows: Sequence[Row]
    failures: Sequence[tuple[int, int, str, str]]
    moves: Mapping[int, tuple[int, int]]


def notices_folder(settings: Settings) -> Path:
    """Beside the uploaded files: the console finds them, and one backup holds both."""
    return settings.files_dir / "notices"


def file_of(folder: Path, id_: str, form: str) -> Path:
    """Where a notice lies. Raises ValueError for anything that is no id and no form of ours."""
    if len(id_) != 32 or not _NAME_CHARACTERS.issuperset(id_) or form not in FORMS:
        raise ValueError("没有这份通知书 / no such notice")
    return folder / id_[:2] / f"{id_}.{form}"


def keep(path: Path, content: bytes) -> bytes:
    """Write the file unless it is there; the content that stands under the name afterwards. Raises
    OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return path.read_bytes()
    finally:
        draft.unlink(missing_ok=True)
    return content


async def create_schema(connection: asyncpg.Connection[Any]) -> None:
    """Create what is missing; two starts at once wait for each other."""
    statements = files("hub.notices").joinpath("schema.sql").read_text("utf-8")
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
        await connection.execute(statements)


async def resume(connection: asyncpg.Connection[Any], starts: Mapping[int, int]) -> dict[int, int]:
    """Next offset per partition: what the table says; one it does not know begins at its log's start."""
    await connection.executemany(
        "INSERT INTO notice_offsets (partition, next_offset) VALUES ($1,$2) ON CONFLICT DO NOTHING",
        list(starts.items()),
    )
    rows = await connection.fetch("SELECT partition, next_offset FROM notice_offsets")
    known = {row["partition"]: row["next_offset"] for row in rows}
    return {partition: known[partition] for partition in starts}


async def cases(connection: asyncpg.Connection[Any], numbers: Sequence[str]) -> dict[str, CaseFacts]:
    """What is known of these cases."""
    rows = await connection.fetch(
        "SELECT case_no, facts::text AS facts FROM notice_cases WHERE case_no = ANY($1::text[])", numbers
    )
    return {row["case_no"]: msgspec.json.decode(row["facts"], type=CaseFacts) for row in rows}


async def write(connection: asyncpg.Connection[Any], batch: Batch) -> None:
    """Rows and positions in one transaction. Raises Overtaken, asyncpg.PostgresError, OSError."""
    async with connection.transaction():
        for partition, (known, following) in sorted(batch.moves.items()):
            moved = await connection.execute(
                "UPDATE notice_offsets SET next_offset = $2 WHERE partition = $1 AND next_offset = $3",
                *(partition, following, known),
            )
            if moved != "UPDATE 1":
                raise Overtaken(f"case.events-{partition}")
        await connection.executemany(
            "INSERT INTO notice_cases (case_no, facts) VALUES ($1,$2::jsonb) ON CONFLICT DO NOTHING",
            [(number, _json(facts)) for number, facts in batch.cases.items()],
        )
        await connection.executemany(
            "INSERT INTO notices (id, event_id, case_no, kind, title, made_at, ofd_sm3, pdf_sm3) "
            "VALUES ($1,$2,$3,$4,$5,$6,$7,$8) ON CONFLICT DO NOTHING",
            [
                (n.id, n.event_id, n.case_no, n.kind, n.title, row.made_at, row.ofd_sm3, row.pdf_sm3)
                for row in batch.rows
                for n in [row.notice]
            ],
        )
        await connection.executemany(
            'INSERT INTO notice_failures (partition, "offset", event_id, error) VALUES ($1,$2,$3,$4) '
            "ON CONFLICT DO NOTHING",
            list(batch.failures),
        )


def _json(facts: CaseFacts) -> str:
    # A NUL is the one character that jsonb refuses.
    return msgspec.json.encode(facts).decode().replace("\\u0000", "\\u2400")
