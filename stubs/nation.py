"""The national platform's side of its front-end exchange database (国家平台前置库): a collector that takes
rows away.

Rows leave the tables only after this system's own SQLite file holds them; what it refuses comes back in
up_reject
a little later (R30). The hub's tables in the same database are read, never written.
"""

import asyncio
import contextlib
import logging
import time
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import msgspec
from aiohttp import web

from adapters.tables.front_end import prepare
from stubs import witness
from stubs.model import SHANGHAI, Event
from stubs.rest_server import RestServer
from stubs.settings import StubSettings
from stubs.storage import Storage

# Parents first: what hangs on a case is judged after the case itself.
TABLES: Final = (
    "up_pro_accept",
    "up_pro_process",
    "up_pro_special_procedure",
    "up_pro_material",
    "up_pro_result",
)
PARENT: Final = "up_pro_accept"
REFUSED_WORDS: Final = "测试退回"
ROWS_PER_ROUND_MAX: Final = 1_000
ROUND_MS: Final = 100
RETRY_MS: Final = 1_000
REJECT_DELAY_MS: Final = 500
ORPHAN_WAIT_MS: Final = 30_000
# A line's time is its transaction's start: look back further than a transaction can last.
LOOK_BACK_MS: Final = 30_000
_CUT: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

log = logging.getLogger("stubs.nation")

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS collected (
  row_guid TEXT NOT NULL, cd_time TEXT NOT NULL, table_name TEXT NOT NULL, project_no TEXT NOT NULL, batch
  TEXT NOT NULL,
  cd_operation TEXT NOT NULL, verdict TEXT NOT NULL, row BLOB NOT NULL, PRIMARY KEY (row_guid, cd_time))
  WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS collected_project ON collected (project_no, table_name);
CREATE INDEX IF NOT EXISTS collected_batch ON collected (batch, row_guid);
CREATE TABLE IF NOT EXISTS to_reject (
  row_guid TEXT NOT NULL, batch TEXT NOT NULL, table_name TEXT NOT NULL, reason TEXT NOT NULL, due_ms INTEGER
  NOT NULL,
  PRIMARY KEY (row_guid, batch));
"""


class Collector:
    """Takes rows from PostgreSQL into SQLite, round after round."""

    def __init__(self, settings: StubSettings, storage: Storage) -> None:
        self._url, self._storage = settings.database_url, storage
        self._connection: Any = None
        self._seen_until: datetime | None = None
        self._first_seen: dict[str, int] = {}
        self.stats: dict[str, int] = {"rows": 0, "rowsRefused": 0, "rowsRepeated": 0}
        storage.define(_SCHEMA)

    async def run(self) -> None:
        """Collect until cancelled; a database that is away is waited for."""
        while True:
            try:
                connection = await asyncpg.connect(self._url, timeout=5)
            except _CUT as error:
                log.warning("前置库连不上 / database away: %r", error)
                await asyncio.sleep(RETRY_MS / 1000)
                continue
            try:
                await prepare(connection)
                while True:
                    taken = await self._round(connection)
                    await asyncio.sleep(0 if taken >= ROWS_PER_ROUND_MAX else ROUND_MS / 1000)
            except _CUT as error:
                log.warning("收取中断 / round failed: %r", error)
                await asyncio.sleep(RETRY_MS / 1000)
            finally:
                with contextlib.suppress(*_CUT):
                    await connection.close(timeout=1)

    async def pending(self) -> int:
        """Rows and refusals still under way between the two sides."""
        connection = await asyncpg.connect(self._url, timeout=5)
        try:
            counts = " + ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)
            rows = await connection.fetchval(
                f"SELECT {counts} + (SELECT count(*) FROM up_reject WHERE read_at IS NULL)"
            )
        finally:
            await connection.close(timeout=1)
        return int(rows) + int(self._storage.query("SELECT count(*) FROM to_reject")[0][0])

    async def _round(self, connection: Any) -> int:
        taken = 0
        for table in TABLES:
            taken += await self._take(connection, table)
        await self._read_sent_book(connection)
        await self._give_back(connection)
        return taken

    async def _take(self, connection: Any, table: str) -> int:
        """One table's rows into SQLite, then out of PostgreSQL. A stop in between repeats the first half."""
        rows = await connection.fetch(f"SELECT * FROM {table} ORDER BY id LIMIT $1", ROWS_PER_ROUND_MAX)
        ready = [row for row in rows if table == PARENT or self._has_parent(row)]
        if not ready:
            return 0
        book = await self._sent_lines(connection, {row["cd_batch"] for row in ready})
        with self._storage.transaction():
            for row in ready:
                self._keep(table, dict(row), book.get(row["cd_batch"]))
        await connection.execute(
            f"DELETE FROM {table} WHERE id = ANY($1::bigint[])", [row["id"] for row in ready]
        )
        return len(ready)

    def _has_parent(self, row: Any) -> bool:
        """False while the case itself may still come; after ORPHAN_WAIT_MS the row is taken and refused."""
        if self._parent_known(row["project_no"]):
            self._first_seen.pop(row["row_guid"], None)
            return True
        now = time.monotonic_ns() // 1_000_000
        return now - self._first_seen.setdefault(row["row_guid"], now) > ORPHAN_WAIT_MS

    def _parent_known(self, project_no: str) -> bool:
        found = self._storage.query(
            "SELECT 1 FROM collected WHERE project_no = ? AND table_name = ? LIMIT 1", (project_no, PARENT)
        )
        return bool(found)

    def _keep(self, table: str, row: dict[str, Any], line: Any) -> None:
        guid, batch, cd_time = row["row_guid"], row["cd_batch"], row["cd_time"].isoformat()
        if self._storage.query("SELECT 1 FROM collected WHERE row_guid = ? AND cd_time = ?", (guid, cd_time)):
            self.stats["rowsRepeated"] += 1  # taken before, not yet deleted when we stopped
            self._storage.absorb(batch)
            return
        reason = self._refusal(table, row)
        again = self._storage.query("SELECT 1 FROM collected WHERE batch = ? AND row_guid = ?", (batch, guid))
        first = not self._storage.holds(batch)
        self._storage.execute(
            "INSERT INTO collected VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (guid, cd_time, table, row["project_no"], batch, row["cd_operation"], reason, _json(row)),
        )
        if first or again:  # the same row twice out of one dispatch is a second effect
            self._storage.enter(_event(batch, line, row["project_no"]))
        self.stats["rows"] += 1
        if reason:
            self.stats["rowsRefused"] += 1
            self._storage.execute(
                "INSERT OR IGNORE INTO to_reject VALUES (?, ?, ?, ?, ?)",
                (guid, batch, table, reason, _now_ms() + REJECT_DELAY_MS),
            )

    def _refusal(self, table: str, row: dict[str, Any]) -> str:
        """Why the nation refuses this row; empty when it takes it."""
        if table == PARENT and REFUSED_WORDS in (row["project_name"] or ""):
            return "办理摘要含测试字样，不予入库"
        if table != PARENT and not self._parent_known(row["project_no"]):
            return "缺少办件受理信息（up_pro_accept）"
        if row["cd_operation"] not in ("I", "U", "D"):
            return f"同步类型cd_operation无效：{row['cd_operation']}"
        return ""

    async def _sent_lines(self, connection: Any, batches: set[str]) -> dict[str, Any]:
        lines = await connection.fetch(
            "SELECT dispatch_id, message_id, case_no, kind FROM hub_sent_book"
            " WHERE dispatch_id = ANY($1::varchar[])",
            list(batches),
        )
        return {line["dispatch_id"]: line for line in lines}

    async def _read_sent_book(self, connection: Any) -> None:
        """Dispatches that gave no row (a submission only fills the hub's card) are in the book as well."""
        since = self._seen_until or datetime(2000, 1, 1, tzinfo=SHANGHAI)
        lines = await connection.fetch(
            "SELECT dispatch_id, message_id, case_no, kind, written_at FROM hub_sent_book"
            " WHERE rows_written = 0 AND written_at >= $1 ORDER BY written_at LIMIT $2",
            since - timedelta(milliseconds=LOOK_BACK_MS),
            20 * ROWS_PER_ROUND_MAX,
        )
        fresh = [line for line in lines if not self._storage.holds(line["dispatch_id"])]
        with self._storage.transaction():
            for line in fresh:
                self._storage.enter(_event(line["dispatch_id"], line, line["case_no"]))
        if lines:
            self._seen_until = lines[-1]["written_at"]

    async def _give_back(self, connection: Any) -> None:
        due = self._storage.query(
            "SELECT row_guid, batch, table_name, reason FROM to_reject WHERE due_ms <= ?", (_now_ms(),)
        )
        for guid, batch, table, reason in due:
            await connection.execute(
                "INSERT INTO up_reject (table_name, row_guid, batch, reason, rejected_at)"
                " SELECT $1::varchar, $2::varchar, $3::varchar, $4::varchar, $5::timestamp"
                " WHERE NOT EXISTS (SELECT 1 FROM up_reject WHERE row_guid = $2 AND batch = $3)",
                table,
                guid,
                batch,
                reason,
                datetime.now(SHANGHAI).replace(tzinfo=None),
            )
            self._storage.execute("DELETE FROM to_reject WHERE row_guid = ? AND batch = ?", (guid, batch))


def nation_application(settings: StubSettings, storage: Storage) -> tuple[web.Application, Any]:
    """The application and the background work of the national platform's side."""
    collector = Collector(settings, storage)
    server = RestServer(
        settings, storage, None, None, lambda: None, stats=collector.stats, pending=collector.pending
    )
    application = server.application()
    signer = settings.signers.get(settings.name)
    if signer is not None:
        application.router.add_post(witness.PATH, witness.Witness(settings.name, signer, storage).take)
    return application, collector.run


def _event(dispatch_id: str, line: Any, project_no: str) -> Event:
    return Event(
        dispatch_id=dispatch_id,
        message_id=line["message_id"] if line else "",
        kind=line["kind"] if line else "",
        case_no=line["case_no"] if line else project_no,
        source="hub",
        occurred_at=datetime.now(SHANGHAI).isoformat(timespec="seconds"),
        body={},
    )


def _json(row: dict[str, Any]) -> bytes:
    return msgspec.json.encode({name: value for name, value in row.items() if value is not None})


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
