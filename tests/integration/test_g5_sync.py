"""G5 in the sync role: a reject that breaks its contract waits for a person, the others are handed over (real
PostgreSQL)."""

import asyncpg
import pytest

from adapters.tables.front_end import prepare
from hub.config import Settings
from hub.sync import _RejectReader

DISPATCH = "d" * 32


class Sent:
    """Keeps what would be produced."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    async def send(self, topic: str, key: bytes, value: bytes, headers: object) -> tuple[int, int]:
        self.values.append(value)
        return 0, 0


@pytest.mark.parametrize("bad", ["a\x07b", "\x1b[0m"])
async def test_g5_reject_that_breaks_its_contract_does_not_stop_the_others(
    database_url: str, bad: str
) -> None:
    db = await asyncpg.connect(database_url)
    try:
        await prepare(db)
        await db.execute(
            "INSERT INTO hub_sent_book (dispatch_id, message_id, case_no, kind, rows_written)"
            " VALUES ($1, $2, '46ABCDEFGH01234567X', 'case.accepted', 1)",
            DISPATCH,
            "e" * 32,
        )
        for reason in (bad, "编码有误"):
            await db.execute(
                "INSERT INTO up_reject (table_name, row_guid, batch, reason, rejected_at)"
                " VALUES ('up_pro_accept', 'g', $1, $2, now())",
                DISPATCH,
                reason,
            )
        reader = _RejectReader(Settings.from_env({"HUB_KAFKA_BOOTSTRAP": "127.0.0.1:1"}), database_url)
        sent = Sent()
        for _ in range(2):
            await reader._pass(sent)  # type: ignore[arg-type]
        assert len(sent.values) == 1
        assert reader.metrics()["govhub_nation_rejects_unreadable"] == 1
        assert await db.fetchval("SELECT count(*) FROM up_reject WHERE read_at IS NULL") == 1
    finally:
        await db.close()
