"""The port to a front-end exchange database: rows, sent-book and card in ONE database transaction (R30).
What a row holds is decided in formats/up_tables.py; here it is only written, once.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import msgspec

from adapters.config import PortConfig
from adapters.formats.up_tables import Card, Plan, Row, beijing, plan
from adapters.ports import Dispatch, FormatError, Reply, ReplyKind, TooLate
from adapters.tables.front_end import Connection, prepare

# Refused by the database for what the row holds: this case's problem.
_ROW_ERRORS: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
# No answer, or the connection is gone.
_CUT_ERRORS: Final = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)
_OPEN_S_MAX: Final = 10.0


class NationTablesPort:
    """Implements adapters.ports.MemberPort for the national front-end tables. A dispatch's rows are written
    once, whatever is repeated: its sent-book line is part of the same transaction."""

    def __init__(self, config: PortConfig) -> None:
        self._config = config
        self._pool: asyncpg.Pool[Any] | None = None
        self._opening = asyncio.Lock()

    async def deliver(self, dispatch: Dispatch, may_start: Callable[[], bool]) -> Reply:
        """See MemberPort. Raises FormatError naming table.column."""
        phase = _Phase()
        try:
            async with asyncio.timeout(self._config.call_timeout_ms * 0.95 / 1000):
                pool = await self._connected()
                async with pool.acquire() as connection:
                    return await self._write(connection, dispatch, may_start, phase)
        except _ROW_ERRORS as bad:
            place = f"{getattr(bad, 'table_name', '') or ''}.{getattr(bad, 'column_name', '') or ''}"
            return Reply(kind=ReplyKind.MALFORMED, code="row", detail=f"{place} {bad}"[:1000])
        except _CUT_ERRORS as cut:
            # Only a COMMIT that was sent can have happened; everything before it is rolled back.
            kind = ReplyKind.UNKNOWN if phase.committing else ReplyKind.UNREACHABLE
            return Reply(kind=kind, code="database", detail=f"{type(cut).__name__}: {cut}"[:1000])
        except asyncpg.PostgresError as refused:  # no table, no right, shutting down, too many connections
            kind = ReplyKind.UNKNOWN if phase.committing else ReplyKind.TRY_LATER
            return Reply(kind=kind, code=str(refused.sqlstate), detail=str(refused)[:1000])

    async def query(self, dispatch: Dispatch) -> Reply:
        """Reads the sent-book: DONE, ABSENT or UNREACHABLE."""
        try:
            async with asyncio.timeout(self._config.call_timeout_ms * 0.95 / 1000):
                pool = await self._connected()
                found = await pool.fetchval("SELECT 1 FROM hub_sent_book WHERE dispatch_id = $1", dispatch.id)
        except (*_CUT_ERRORS, asyncpg.PostgresError) as cut:
            return Reply(kind=ReplyKind.UNREACHABLE, code="database", detail=str(cut)[:1000])
        return Reply(kind=ReplyKind.DONE if found else ReplyKind.ABSENT, code="sent_book")

    async def close(self) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                async with asyncio.timeout(_OPEN_S_MAX):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    async def _connected(self) -> "asyncpg.Pool[Any]":
        async with self._opening:
            if self._pool is None:
                pool = await asyncpg.create_pool(
                    self._config.database_url,
                    min_size=0,
                    max_size=self._config.calls_in_flight_max,
                    timeout=self._config.connect_timeout_ms / 1000,
                    server_settings={"application_name": "govhub-tables"},
                )
                try:
                    async with pool.acquire() as connection:
                        await prepare(connection)
                except BaseException:
                    pool.terminate()
                    raise
                self._pool = pool
            return self._pool

    async def _write(
        self, connection: Connection, dispatch: Dispatch, may_start: Callable[[], bool], phase: "_Phase"
    ) -> Reply:
        if not may_start():
            raise TooLate("意图已过期，未写入 / the intent is too old, nothing was written")
        transaction = connection.transaction()
        try:
            await transaction.start()
            rows = await _write_rows(connection, dispatch)
            if rows is None:
                await transaction.rollback()
                return Reply(kind=ReplyKind.ALREADY_DONE, code="sent_book")
            if not may_start():
                raise TooLate("意图已过期，已回滚 / the intent is too old, rolled back")
            phase.committing = True
            await transaction.commit()
        except (TooLate, FormatError, asyncpg.PostgresError):
            if phase.committing or connection.is_closed():
                connection.terminate()
            else:
                await transaction.rollback()
            raise
        except BaseException:
            connection.terminate()  # a rollback would wait for a server that does not answer
            raise
        return Reply(kind=ReplyKind.DONE, code="committed", detail=f"rows={rows}")


class _Phase:
    """committing: from the moment COMMIT is sent, only the sent-book knows the outcome."""

    def __init__(self) -> None:
        self.committing = False


async def _write_rows(connection: Connection, dispatch: Dispatch) -> int | None:
    """Writes a dispatch's line, rows and card; None when its line is there already."""
    # A second writer of the same dispatch waits here for the first one's commit.
    first = await connection.fetchval(
        "INSERT INTO hub_sent_book (dispatch_id, message_id, case_no, kind, rows_written)"
        " VALUES ($1, $2, $3, $4, 0) ON CONFLICT (dispatch_id) DO NOTHING RETURNING 1",
        dispatch.id,
        dispatch.message_id,
        dispatch.case_no,
        dispatch.kind,
    )
    if first is None:
        return None
    text = await connection.fetchval(
        "SELECT card FROM hub_case_card WHERE case_no = $1 FOR UPDATE", dispatch.case_no
    )
    card = msgspec.json.decode(text, type=Card) if text else Card()
    planned = plan(dispatch, card)
    if planned.rows:
        await _send(connection, dispatch, planned)
    if planned.card != card:
        await connection.execute(
            "INSERT INTO hub_case_card (case_no, card) VALUES ($1, $2)"
            " ON CONFLICT (case_no) DO UPDATE SET card = excluded.card",
            dispatch.case_no,
            msgspec.json.encode(planned.card).decode(),
        )
    return len(planned.rows)


async def _send(connection: Connection, dispatch: Dispatch, planned: Plan) -> None:
    guids = [row.row_guid for row in planned.rows]
    known: dict[str, datetime] = {
        record["row_guid"]: record["cd_time"]
        for record in await connection.fetch(
            "SELECT row_guid, cd_time FROM hub_sent_row WHERE row_guid = ANY($1::varchar[]) FOR UPDATE", guids
        )
    }
    now = (beijing(int(time.time() * 1000)) or datetime.min).replace(microsecond=0)
    for row in planned.rows:
        last = known.get(row.row_guid)
        # R31: cd_time rises by at least one second per row, whatever the clock does.
        moment = now if last is None else max(now, last + timedelta(seconds=1))
        await _insert(connection, row, dispatch, moment, "I" if last is None else "U")
        known[row.row_guid] = moment
    await connection.executemany(
        "INSERT INTO hub_sent_row (row_guid, table_name, project_no, dispatch_id, message_id, cd_time)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (row_guid) DO UPDATE SET"
        " dispatch_id = excluded.dispatch_id, message_id = excluded.message_id, cd_time = excluded.cd_time",
        [
            (row.row_guid, row.table, dispatch.case_no, dispatch.id, dispatch.message_id, known[row.row_guid])
            for row in planned.rows
        ],
    )
    await connection.execute(
        "UPDATE hub_sent_book SET rows_written = $2 WHERE dispatch_id = $1", dispatch.id, len(planned.rows)
    )


async def _insert(
    connection: Connection, row: Row, dispatch: Dispatch, moment: datetime, operation: str
) -> None:
    values = {
        **{name: value for name, value in row.values.items() if value is not None},
        "row_guid": row.row_guid,
        "data_source": DATA_SOURCE,
        "cd_operation": operation,
        "cd_time": moment,
        "cd_batch": dispatch.id,  # 32 characters, derived: a reject names its dispatch by it
    }
    names = ", ".join(values)  # column names come from TABLES and this function, never from a message
    marks = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await connection.execute(f"INSERT INTO {row.table} ({names}) VALUES ({marks})", *values.values())


DATA_SOURCE: Final = "46"  # 海南
