"""The front-end database's definition, applied by whoever comes first."""

import functools
from pathlib import Path
from typing import Any, Final

Connection = Any  # asyncpg.Connection or the proxy a pool lends; neither is generic at run time
_LOCK: Final = 0x676F7668  # two first-comers must not race through CREATE ... IF NOT EXISTS


@functools.cache
def front_end_sql() -> str:
    """The text of front_end.sql."""
    return Path(__file__).with_name("front_end.sql").read_text(encoding="utf-8")


async def prepare(connection: Connection) -> None:
    """Creates what is missing; safe to call at every start, by several processes at once."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(front_end_sql())
