"""The nation's reject list, read back (R30): which row was refused, and which dispatch of ours wrote it.
Reading only; what follows from a reject is the hub's affair.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from adapters.tables.front_end import Connection

REJECTS_MAX: Final = 500

# cd_batch is the dispatch id of the very row refused; without it the row's last writer is taken.
_READ: Final = """
SELECT r.reject_id, r.table_name, r.row_guid, r.batch, r.reason, r.rejected_at,
       coalesce(b.dispatch_id, s.dispatch_id) AS dispatch_id,
       coalesce(b.message_id, s.message_id) AS message_id,
       coalesce(b.case_no, s.project_no) AS case_no
FROM up_reject r
LEFT JOIN hub_sent_book b ON b.dispatch_id = r.batch
LEFT JOIN hub_sent_row s ON s.row_guid = r.row_guid
WHERE r.read_at IS NULL AND (b.dispatch_id IS NOT NULL OR s.dispatch_id IS NOT NULL)
ORDER BY r.reject_id LIMIT $1
"""
_UNTRACED: Final = """
SELECT count(*) FROM up_reject r
WHERE r.read_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM hub_sent_book b WHERE b.dispatch_id = r.batch)
  AND NOT EXISTS (SELECT 1 FROM hub_sent_row s WHERE s.row_guid = r.row_guid)
"""


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    """One refused row. rejected_at: as the nation wrote it, without zone = Asia/Shanghai (R7)."""

    reject_id: int
    table: str
    row_guid: str
    batch: str
    reason: str
    rejected_at: datetime
    dispatch_id: str
    message_id: str
    case_no: str


async def read_rejects(connection: Connection, limit: int = REJECTS_MAX) -> list[Reject]:
    """Rejects not yet marked read, oldest first. The reader sets `read_at` after it handed a reject over: a
    cursor over ids would skip one whose commit came late."""
    rows: list[Any] = await connection.fetch(_READ, limit)
    return [
        Reject(
            reject_id=row["reject_id"],
            table=row["table_name"],
            row_guid=row["row_guid"],
            batch=row["batch"],
            reason=row["reason"],
            rejected_at=row["rejected_at"],
            dispatch_id=row["dispatch_id"],
            message_id=row["message_id"],
            case_no=row["case_no"],
        )
        for row in rows
    ]


async def untraced_rejects(connection: Connection) -> int:
    """Rejects of rows this hub never wrote: left unread, for a person to look at."""
    return int(await connection.fetchval(_UNTRACED) or 0)
