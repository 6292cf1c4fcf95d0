"""One simulated member's own SQLite file: its book of taken dispatches, its outbox, its memory of cases, its
files.

Only SQL lives here. Everything one event changes is one transaction (G4 at the receiver's side): WAL with
synchronous=NORMAL keeps a committed transaction through SIGKILL of the process; a power cut may cost the last
ones, which the hub would then repeat.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from stubs.model import CaseMemory, Event, Planned

BOOK_PAGE_MAX: Final = 5_000
ANSWER_CHARS_MAX: Final = 2_000

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS book (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, dispatch_id TEXT NOT NULL UNIQUE, message_id TEXT NOT NULL,
  kind TEXT NOT NULL, case_no TEXT NOT NULL, effects INTEGER NOT NULL DEFAULT 0,
  repeats INTEGER NOT NULL DEFAULT 0, document BLOB);
CREATE TABLE IF NOT EXISTS outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, member TEXT NOT NULL, type TEXT NOT NULL, source_ref TEXT NOT NULL,
  line TEXT NOT NULL, document BLOB NOT NULL, state TEXT NOT NULL DEFAULT 'waiting',
  attempts INTEGER NOT NULL DEFAULT 0, answer TEXT NOT NULL DEFAULT '',
  UNIQUE (member, type, source_ref));
CREATE INDEX IF NOT EXISTS outbox_state ON outbox (state, seq);
CREATE TABLE IF NOT EXISTS cases (case_no TEXT PRIMARY KEY, memory BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS files (sm3 TEXT PRIMARY KEY, media_type TEXT NOT NULL, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class OutboxRow(msgspec.Struct, frozen=True):
    """One message waiting to be sent. line: rows of one line leave one after the other (one case of one
    member).
    """

    seq: int
    member: str
    line: str
    document: bytes
    attempts: int

    @property
    def planned(self) -> Planned:
        return msgspec.json.decode(self.document, type=Planned)


class Storage:
    """All of one member's durable state. Used by one event loop only; every call takes well under a
    millisecond.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(directory / "member.sqlite", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is committed together, or nothing of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def define(self, schema: str) -> None:
        """Tables of one member's own."""
        self._db.executescript(schema)

    def query(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows of a member's own tables."""
        return self._db.execute(sql, values).fetchall()

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> None:
        """A change to a member's own tables, part of the open transaction if there is one."""
        self._db.execute(sql, values)

    # --- the book of taken dispatches

    def holds(self, dispatch_id: str) -> bool:
        return (
            self._db.execute("SELECT 1 FROM book WHERE dispatch_id = ?", (dispatch_id,)).fetchone()
            is not None
        )

    def absorb(self, dispatch_id: str) -> bool:
        """Count a repeat of a dispatch already taken. False when it is new."""
        return bool(
            self._db.execute(
                "UPDATE book SET repeats = repeats + 1 WHERE dispatch_id = ?", (dispatch_id,)
            ).rowcount
        )

    def enter(self, event: Event) -> None:
        """Write down that the business effect of this dispatch was applied, once more if it ever happens
        twice.
        """
        self._db.execute(
            "INSERT INTO book (dispatch_id, message_id, kind, case_no, effects, document)"
            " VALUES (?, ?, ?, ?, 1, ?)"
            " ON CONFLICT (dispatch_id) DO UPDATE SET effects = effects + 1",
            (event.dispatch_id, event.message_id, event.kind, event.case_no, msgspec.json.encode(event)),
        )

    def entries(self, after: int, limit: int = BOOK_PAGE_MAX) -> list[dict[str, Any]]:
        """The book's lines with seq > after, oldest first, at most BOOK_PAGE_MAX."""
        rows = self._db.execute(
            "SELECT seq, dispatch_id, message_id, kind, case_no, effects, repeats FROM book"
            " WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, min(limit, BOOK_PAGE_MAX)),
        )
        names = ("seq", "dispatchId", "messageId", "kind", "caseNo", "effects", "repeats")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def event(self, dispatch_id: str) -> Event | None:
        """The dispatch as it was taken."""
        row = self._db.execute("SELECT document FROM book WHERE dispatch_id = ?", (dispatch_id,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Event)

    # --- the outbox

    def post(self, planned: Planned, line: str) -> bool:
        """Put a message into the outbox. The same source key twice is one message; False then."""
        cursor = self._db.execute(
            "INSERT OR IGNORE INTO outbox (member, type, source_ref, line, document) VALUES (?, ?, ?, ?, ?)",
            (planned.member, planned.type, planned.source_ref, line, msgspec.json.encode(planned)),
        )
        return bool(cursor.rowcount)

    def waiting(self, after: int, limit: int) -> list[OutboxRow]:
        """Unsent messages with seq > after, oldest first."""
        rows = self._db.execute(
            "SELECT seq, member, line, document, attempts FROM outbox"
            " WHERE state = 'waiting' AND seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [OutboxRow(*row) for row in rows]

    def settle(self, seq: int, state: str, answer: str) -> None:
        """The outbox row is done: state `sent` with its receipt, or `rejected` with the error text."""
        self._db.execute(
            "UPDATE outbox SET state = ?, answer = ?, attempts = attempts + 1 WHERE seq = ?",
            (state, answer[:ANSWER_CHARS_MAX], seq),
        )

    def count_attempt(self, seq: int, answer: str) -> None:
        self._db.execute(
            "UPDATE outbox SET attempts = attempts + 1, answer = ? WHERE seq = ?",
            (answer[:ANSWER_CHARS_MAX], seq),
        )

    def rejected(self, limit: int = 20) -> list[dict[str, Any]]:
        """The newest messages the gateway refused for good, with its answer."""
        rows = self._db.execute(
            "SELECT member, type, source_ref, answer FROM outbox WHERE state = 'rejected'"
            " ORDER BY seq DESC LIMIT ?",
            (limit,),
        )
        return [dict(zip(("member", "type", "sourceRef", "answer"), row, strict=True)) for row in rows]

    def counts(self) -> dict[str, int]:
        """Totals for /stats and /control/idle."""
        by_state: dict[str, int] = dict(
            self._db.execute("SELECT state, count(*) FROM outbox GROUP BY state").fetchall()
        )
        taken, effects, repeats = self._db.execute(
            "SELECT count(*), coalesce(sum(effects), 0), coalesce(sum(repeats), 0) FROM book"
        ).fetchone()
        return {
            "unsent": by_state.get("waiting", 0),
            "sent": by_state.get("sent", 0),
            "rejected": by_state.get("rejected", 0),
            "taken": taken,
            "effects": effects,
            "repeats": repeats,
        }

    # --- cases, files, facts

    def recall(self, case_no: str) -> CaseMemory | None:
        row = self._db.execute("SELECT memory FROM cases WHERE case_no = ?", (case_no,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=CaseMemory)

    def remember(self, case_no: str, memory: CaseMemory) -> None:
        self._db.execute(
            "INSERT INTO cases (case_no, memory) VALUES (?, ?)"
            " ON CONFLICT (case_no) DO UPDATE SET memory = excluded.memory",
            (case_no, msgspec.json.encode(memory)),
        )

    def keep_file(self, sm3: str, media_type: str, content: bytes) -> None:
        self._db.execute("INSERT OR IGNORE INTO files VALUES (?, ?, ?)", (sm3, media_type, content))

    def file(self, sm3: str) -> tuple[str, bytes] | None:
        """(media type, content) of a file of ours."""
        row = self._db.execute("SELECT media_type, content FROM files WHERE sm3 = ?", (sm3,)).fetchone()
        return None if row is None else (row[0], row[1])

    def fact(self, name: str, default: str = "") -> str:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return default if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        self._db.execute(
            "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )
