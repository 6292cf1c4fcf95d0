"""The front-end tables on a real PostgreSQL: one transaction, written once, read back, rejects traced."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from adapters.factory import PortConfig, open_port
from adapters.formats import up_tables
from adapters.ports import Dispatch, FormatError, MemberPort, ReplyKind, TooLate
from adapters.tables.front_end import prepare
from adapters.tables.rejects import read_rejects, untraced_rejects
from schemas import contracts, samples
from schemas.codec import decode, encode
from schemas.validate import check
from signing.digest import sm3_hex

CASE_NO = "46ABCDEFGH01234567X"


def dispatch(type_: str, number: int = 1, case_no: str = CASE_NO, **changes: Any) -> Dispatch:
    contract = contracts.load().by_type(type_)
    _, body = decode(encode(contract, check(contract, samples.body(type_))))
    return Dispatch(
        id=sm3_hex(f"{type_} {number}".encode())[:32],
        message_id=f"{number:032}",
        member="nation",
        kind=type_,
        type=type_,
        case_no=case_no,
        source="dept-a",
        occurred_ms=0,
        source_key=f"K-{type_}",
        body={**body, **changes},
    )


def config(url: str, **changes: Any) -> PortConfig:
    return PortConfig(
        member="nation",
        style="tables",
        database_url=url,
        calls_in_flight_max=4,
        call_timeout_ms=3_000,
        **changes,
    )


@asynccontextmanager
async def port_to(url: str) -> AsyncIterator[MemberPort]:
    port = await open_port(config(url))
    try:
        yield port
    finally:
        await port.close()


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Any]:
    connection: Any = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def send(port: MemberPort, *dispatches: Dispatch) -> list[ReplyKind]:
    return [(await port.deliver(one, lambda: True)).kind for one in dispatches]


async def count(connection: Any, table: str) -> int:
    return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))


CASE = ("case.submitted", "case.accepted", "case.process_step", "case.special_started", "case.special_ended")


async def test_r30_a_case_arrives_in_the_tables_of_the_nation(database_url: str) -> None:
    async with port_to(database_url) as port, database(database_url) as db:
        kinds = await send(port, *(dispatch(type_) for type_ in CASE), dispatch("case.decided"))
        assert set(kinds) == {ReplyKind.DONE}
        accept = await db.fetchrow("SELECT * FROM up_pro_accept")
        assert (accept["project_no"], accept["cd_operation"], accept["task_version"]) == (CASE_NO, "I", 3)
        assert accept["cd_batch"] == dispatch("case.accepted").id
        for table, rows in (
            ("up_pro_process", 1),
            ("up_pro_result", 1),
            ("up_pro_special_procedure", 1),
            ("up_pro_material", 2),
        ):
            assert await count(db, table) == rows
        assert await count(db, "hub_sent_book") == 6


async def test_r30_a_repeated_dispatch_writes_nothing_twice(database_url: str) -> None:
    async with port_to(database_url) as port, database(database_url) as db:
        first = await send(port, dispatch("case.submitted"), dispatch("case.accepted"))
        again = await send(port, dispatch("case.submitted"), dispatch("case.accepted"))
        assert first == [ReplyKind.DONE] * 2
        assert again == [ReplyKind.ALREADY_DONE] * 2
        assert await count(db, "up_pro_accept") == 1


async def test_two_writers_of_one_dispatch_at_once_write_it_once(database_url: str) -> None:
    async with port_to(database_url) as port, database(database_url) as db:
        await send(port, dispatch("case.submitted"))
        replies = await asyncio.gather(
            *(port.deliver(dispatch("case.accepted"), lambda: True) for _ in range(4))
        )
        assert sorted(reply.kind for reply in replies) == [ReplyKind.ALREADY_DONE] * 3 + [ReplyKind.DONE]
        assert await count(db, "up_pro_accept") == 1


async def test_r31_a_correction_is_an_update_of_the_same_row_and_time_rises(database_url: str) -> None:
    async with port_to(database_url) as port, database(database_url) as db:
        for number in range(1, 4):
            await send(port, dispatch("case.decided", number))
        rows = await db.fetch("SELECT row_guid, cd_operation, cd_time FROM up_pro_result ORDER BY id")
    assert [row["cd_operation"] for row in rows] == ["I", "U", "U"]
    assert len({row["row_guid"] for row in rows}) == 1
    gaps = [(b["cd_time"] - a["cd_time"]).total_seconds() for a, b in pairwise(rows)]
    assert min(gaps) >= 1


async def test_r30_what_the_tables_cannot_hold_leaves_nothing_behind(database_url: str) -> None:
    async with port_to(database_url) as port, database(database_url) as db:
        await send(port, dispatch("case.submitted"))
        with pytest.raises(FormatError, match="handle_user_name"):
            await port.deliver(dispatch("case.accepted", handler="长" * 101), lambda: True)
        assert await count(db, "hub_sent_book") == 1
        assert await count(db, "up_pro_accept") == 0
        assert await send(port, dispatch("case.accepted")) == [ReplyKind.DONE]


async def test_a_row_the_database_refuses_is_this_cases_problem(database_url: str) -> None:
    async with port_to(database_url) as port, database(database_url) as db:
        await send(port, dispatch("case.submitted"))
        await db.execute("ALTER TABLE up_pro_accept ADD CONSTRAINT strict CHECK (project_type <> '2')")
        reply = await port.deliver(dispatch("case.accepted"), lambda: True)
        assert (reply.kind, await count(db, "hub_sent_book")) == (ReplyKind.MALFORMED, 1)


async def test_a_write_that_may_no_longer_start_or_end_leaves_nothing(database_url: str) -> None:
    async with port_to(database_url) as port, database(database_url) as db:
        with pytest.raises(TooLate):
            await port.deliver(dispatch("case.submitted"), lambda: False)
        answers = iter((True, False))
        with pytest.raises(TooLate):
            await port.deliver(dispatch("case.submitted"), lambda: next(answers))
        assert await count(db, "hub_sent_book") == 0


async def test_the_sent_book_answers_a_query(database_url: str) -> None:
    async with port_to(database_url) as port:
        assert (await port.query(dispatch("case.submitted"))).kind is ReplyKind.ABSENT
        await send(port, dispatch("case.submitted"))
        assert (await port.query(dispatch("case.submitted"))).kind is ReplyKind.DONE


async def test_a_database_that_is_away_is_unreachable() -> None:
    async with port_to("postgresql://nobody@127.0.0.1:1/none") as port:
        assert await send(port, dispatch("case.submitted")) == [ReplyKind.UNREACHABLE]
        assert (await port.query(dispatch("case.submitted"))).kind is ReplyKind.UNREACHABLE


class Proxy:
    """Between the port and the database: can swallow the answer to COMMIT, or everything."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port, self.cut_after, self.stall = host, port, b"", False

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self.host, self.port)
        lost = asyncio.Event()

        async def forward() -> None:
            while data := await reader.read(65_536):
                if self.cut_after and self.cut_after in data:
                    lost.set()
                if not self.stall:
                    back.write(data)
            back.close()

        async def answer() -> None:
            while data := await there.read(65_536):
                if lost.is_set():
                    writer.transport.abort()
                    return
                writer.write(data)
            writer.close()

        await asyncio.gather(forward(), answer(), return_exceptions=True)


@asynccontextmanager
async def through_proxy(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    async with database(url) as db:
        settings = db._addr
    proxy = Proxy(settings[0], settings[1])
    listener = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    number = listener.sockets[0].getsockname()[1]
    head, _, name = url.rpartition("/")
    user = head.partition("://")[2].rpartition("@")[0]
    yield proxy, f"postgresql://{user}@127.0.0.1:{number}/{name.partition('?')[0]}"
    listener.close()


async def test_r30_a_commit_whose_answer_was_lost_is_settled_by_the_sent_book(database_url: str) -> None:
    async with through_proxy(database_url) as (proxy, url), port_to(url) as port:
        await send(port, dispatch("case.submitted"))
        proxy.cut_after = b"COMMIT"
        reply = await port.deliver(dispatch("case.accepted"), lambda: True)
        assert reply.kind is ReplyKind.UNKNOWN
        proxy.cut_after = b""
        assert (await port.query(dispatch("case.accepted"))).kind is ReplyKind.DONE
        assert await send(port, dispatch("case.accepted")) == [ReplyKind.ALREADY_DONE]
        async with database(database_url) as db:
            assert await count(db, "up_pro_accept") == 1


async def test_a_cut_before_the_commit_wrote_nothing(database_url: str) -> None:
    async with through_proxy(database_url) as (proxy, url), port_to(url) as port:
        await send(port, dispatch("case.submitted"))
        proxy.cut_after = b"up_pro_accept"
        assert await send(port, dispatch("case.accepted")) == [ReplyKind.UNREACHABLE]
        proxy.cut_after = b""
        assert await send(port, dispatch("case.accepted")) == [ReplyKind.DONE]


async def test_a_database_that_stalls_is_given_up_in_time(database_url: str) -> None:
    async with through_proxy(database_url) as (proxy, url), port_to(url) as port:
        await send(port, dispatch("case.submitted"))
        proxy.stall = True
        async with asyncio.timeout(5):
            assert await send(port, dispatch("case.accepted")) == [ReplyKind.UNREACHABLE]
        proxy.stall = False


async def test_r30_a_reject_is_traced_to_the_dispatch_that_wrote_the_row(database_url: str) -> None:
    async with port_to(database_url) as port, database(database_url) as db:
        await send(port, dispatch("case.decided", 1), dispatch("case.decided", 2))
        guid, batch = await db.fetchrow("SELECT row_guid, cd_batch FROM up_pro_result ORDER BY id LIMIT 1")
        await db.execute("DELETE FROM up_pro_result")
        insert = (
            "INSERT INTO up_reject (table_name, row_guid, batch, reason, rejected_at)"
            " VALUES ($1, $2, $3, $4, now())"
        )
        await db.execute(insert, "up_pro_result", guid, batch, "测试退回")
        await db.execute(insert, "up_pro_result", guid, "", "没有批次号")
        await db.execute(insert, "up_pro_result", "stranger", "", "不是我们的行")
        exact, by_row = await read_rejects(db)
        assert (exact.dispatch_id, exact.message_id) == (dispatch("case.decided", 1).id, f"{1:032}")
        assert (by_row.dispatch_id, by_row.case_no) == (dispatch("case.decided", 2).id, CASE_NO)
        assert await untraced_rejects(db) == 1
        await db.execute("UPDATE up_reject SET read_at = now() WHERE reject_id = $1", exact.reject_id)
        assert [reject.reject_id for reject in await read_rejects(db)] == [by_row.reject_id]


async def test_the_definition_holds_what_the_rows_are_checked_against(database_url: str) -> None:
    async with database(database_url) as db:
        await asyncio.gather(prepare(db))
        await prepare(db)
        found = await db.fetch(
            "SELECT table_name, column_name, character_maximum_length AS chars, is_nullable, data_type"
            " FROM information_schema.columns WHERE table_name LIKE 'up_pro_%' AND column_name <> 'id'"
        )
    kinds = {"character varying": "text", "integer": "int", "timestamp without time zone": "time"}
    there = {
        (
            row["table_name"],
            row["column_name"],
            row["chars"] or 0,
            row["is_nullable"] == "NO",
            kinds[row["data_type"]],
        )
        for row in found
    }
    expected = {
        (table, column.name, column.chars_max, column.required, column.kind)
        for table, columns in up_tables.TABLES.items()
        for column in (*up_tables.SYNC_COLUMNS, *columns)
    }
    assert there == expected
