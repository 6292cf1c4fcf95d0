"""The console's PostgreSQL pool: bounded in connections and time, and gone without taking a page with it.
No SQL of a page lives here."""

import asyncio
import time
from importlib.resources import files
from typing import Any, Final

import asyncpg

CONNECTIONS_MAX: Final = 6
STATEMENT_TIMEOUT_SECONDS: Final = 5.0
CONNECT_TIMEOUT_SECONDS: Final = 2.0
RETRY_AFTER_SECONDS: Final = 3.0
_SCHEMA_LOCK: Final = 4_600_002
_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidCatalogNameError,
)


class DatabaseAway(Exception):
    """PostgreSQL does not answer; pages that need it say so, the others go on."""


class Database:
    """A pool opened when first needed. After a failure it waits RETRY_AFTER_SECONDS before it tries again,
    so that an absent database
    does not slow every page."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool[Any] | None = None
        self._opening = asyncio.Lock()
        self._try_again_at = 0.0

    async def fetch(self, statement: str, *arguments: object) -> list[Any]:
        """All rows. Raises DatabaseAway; a table that the projector has not made yet gives no rows."""
        try:
            pool = await self._open()
            return list(await pool.fetch(statement, *arguments))
        except asyncpg.UndefinedTableError:
            return []
        except _AWAY as error:
            raise self._away(error) from error

    async def row(self, statement: str, *arguments: object) -> Any | None:
        """The first row or None. Raises DatabaseAway."""
        rows = await self.fetch(statement, *arguments)
        return rows[0] if rows else None

    async def execute(self, statement: str, *arguments: object) -> None:
        """Raises DatabaseAway, and asyncpg.PostgresError for what the database refuses."""
        try:
            pool = await self._open()
            await pool.execute(statement, *arguments)
        except _AWAY as error:
            raise self._away(error) from error

    async def close(self) -> None:
        """Drop every connection."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    def _away(self, error: BaseException) -> DatabaseAway:
        self._try_again_at = time.monotonic() + RETRY_AFTER_SECONDS
        return DatabaseAway(repr(error))

    async def _open(self) -> "asyncpg.Pool[Any]":
        if self._pool is not None and time.monotonic() >= self._try_again_at:
            return self._pool
        if time.monotonic() < self._try_again_at:
            raise OSError("数据库暂不可用 / database away, trying again shortly")
        async with self._opening:
            if self._pool is None:
                pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=CONNECTIONS_MAX,
                    command_timeout=STATEMENT_TIMEOUT_SECONDS,
                    timeout=CONNECT_TIMEOUT_SECONDS,
                    max_inactive_connection_lifetime=60,
                    server_settings={"application_name": "govhub-console"},
                )
                await _create_schema(pool)
                self._pool = pool
        return self._pool


async def _create_schema(pool: "asyncpg.Pool[Any]") -> None:
    statements = files("hub.console").joinpath("schema.sql").read_text("utf-8")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
        await connection.execute(statements)
