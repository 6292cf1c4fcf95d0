"""The national platform's side: rows are taken away once, rejects come back, every dispatch is booked."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from stub_harness import Stub, dispatch, running

from adapters.config import PortConfig
from adapters.ports import Dispatch, ReplyKind
from adapters.tables.port import NationTablesPort
from adapters.tables.rejects import read_rejects
from stubs import cases, department
from stubs.model import Event
from stubs.nation import TABLES

ROOT = Path(__file__).parents[2]
CASES = cases.load(ROOT / "examples" / "cases")
NOWHERE = "http://127.0.0.1:9"
SUBSCRIBED = (
    "case.accepted",
    "case.process_step",
    "case.special_started",
    "case.special_ended",
    "case.decided",
)


def case_of(path: str, number: int) -> list[Dispatch]:
    """Everything the nation hears of one example case, in order."""
    found = [case for case in CASES if case.path == path and case.message is not None][number]
    assert found.message is not None
    case_no = f"4601234567{number:06d}ABC"
    message = found.message
    office = department.OFFICES["dept-a"]
    event = Event(
        dispatch_id="",
        message_id="",
        kind="case.submitted",
        case_no=case_no,
        source="platform",
        occurred_at=message["occurredAt"],
        body=message["body"],
    )
    said = department.react(office, event, None).planned
    return [
        dispatch("nation", "case.submitted", message["body"], case_no=case_no),
        *(
            dispatch("nation", planned.type, planned.body, case_no=case_no, number=n, source="dept-a")
            for n, planned in enumerate(said)
            if planned.type in SUBSCRIBED
        ),
    ]


def always() -> bool:
    return True


@asynccontextmanager
async def port(database_url: str) -> AsyncIterator[NationTablesPort]:
    opened = NationTablesPort(PortConfig(member="nation", style="tables", database_url=database_url))
    try:
        yield opened
    finally:
        await opened.close()


async def send(tables: NationTablesPort, dispatches: list[Dispatch]) -> None:
    for one in dispatches:
        assert (await tables.deliver(one, always)).kind in (ReplyKind.DONE, ReplyKind.ALREADY_DONE)


async def settled(stub: Stub, pending: int = 0) -> None:
    deadline = time.monotonic() + 20
    while (await stub.get("/control/idle"))["pending"] > pending:
        assert time.monotonic() < deadline, await stub.get("/stats")
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)  # one more round, for dispatches that give no row


async def test_r30_rows_are_taken_away_and_every_dispatch_is_in_the_nations_book(
    database_url: str, tmp_path: Path
) -> None:
    sent = [one for number in range(5) for one in case_of("suspended", number)]
    async with (
        running("nation", tmp_path, NOWHERE, HUB_NATION_DATABASE_URL=database_url) as stub,
        port(database_url) as tables,
    ):
        await send(tables, sent)
        await send(tables, sent)
        await settled(stub)
        entries = (await stub.get("/book"))["entries"]
        assert {entry["dispatchId"] for entry in entries} == {one.id for one in sent}
        assert {entry["effects"] for entry in entries} == {1}
        known = {one.id: one for one in sent}
        for entry in entries:
            one = known[entry["dispatchId"]]
            assert (entry["messageId"], entry["caseNo"], entry["kind"]) == (
                one.message_id,
                one.case_no,
                one.kind,
            )
        connection = await asyncpg.connect(database_url)
        for table in TABLES:
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
        await connection.close()


async def test_r30_a_refused_row_comes_back_once_and_names_its_dispatch(
    database_url: str, tmp_path: Path
) -> None:
    sent = case_of("nation_reject", 0)
    async with (
        running("nation", tmp_path, NOWHERE, HUB_NATION_DATABASE_URL=database_url) as stub,
        port(database_url) as tables,
    ):
        await send(tables, sent)
        await settled(stub, pending=1)  # the hub has not read the reject yet
        connection = await asyncpg.connect(database_url)
        async with asyncio.timeout(10):
            while not (rejects := await read_rejects(connection)):
                await asyncio.sleep(0.05)
        (reject,) = rejects
        await connection.close()
        assert reject.table == "up_pro_accept"
        assert reject.dispatch_id == next(one.id for one in sent if one.kind == "case.accepted")
        assert "测试" in reject.reason
        stats = await stub.get("/stats")
        assert stats["rowsRefused"] == 1


async def test_rows_taken_but_not_deleted_when_it_was_killed_are_taken_once(
    database_url: str, tmp_path: Path
) -> None:
    sent = case_of("suspended", 0)
    async with port(database_url) as tables:
        await send(tables, sent)
    connection = await asyncpg.connect(database_url)
    kept: dict[str, list[Any]] = {table: await connection.fetch(f"SELECT * FROM {table}") for table in TABLES}
    async with running("nation", tmp_path, NOWHERE, HUB_NATION_DATABASE_URL=database_url) as stub:
        await settled(stub)
        await stub.sigkill()
    # What a stop between its own commit and the delete leaves behind: the same rows once more.
    for table, rows in kept.items():
        for row in rows:
            fields = {name: value for name, value in row.items() if name != "id" and value is not None}
            marks = ", ".join(f"${n}" for n in range(1, len(fields) + 1))
            await connection.execute(
                f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({marks})", *fields.values()
            )
    await connection.close()
    async with running("nation", tmp_path, NOWHERE, HUB_NATION_DATABASE_URL=database_url) as stub:
        await settled(stub)
        entries = (await stub.get("/book"))["entries"]
        assert {entry["effects"] for entry in entries} == {1}
        assert sum(entry["repeats"] for entry in entries) == sum(len(rows) for rows in kept.values())


async def test_the_same_row_written_twice_by_one_dispatch_shows_as_a_second_effect(
    database_url: str, tmp_path: Path
) -> None:
    sent = case_of("plain", 0)
    async with port(database_url) as tables:
        await send(tables, sent)
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "UPDATE up_pro_accept SET cd_time = cd_time;"
        " CREATE TEMP TABLE twice AS SELECT * FROM up_pro_accept; ALTER TABLE twice DROP COLUMN id;"
        " UPDATE twice SET cd_time = cd_time + interval '1 second', cd_operation = 'U'"
    )
    names = [
        row[0]
        for row in await connection.fetch(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = 'twice' ORDER BY ordinal_position"
        )
    ]
    listed = ", ".join(names)
    await connection.execute(f"INSERT INTO up_pro_accept ({listed}) SELECT {listed} FROM twice")
    await connection.close()
    async with running("nation", tmp_path, NOWHERE, HUB_NATION_DATABASE_URL=database_url) as stub:
        await settled(stub)
        effects = {entry["kind"]: entry["effects"] for entry in (await stub.get("/book"))["entries"]}
        assert effects["case.accepted"] == 2
        assert effects["case.decided"] == 1
