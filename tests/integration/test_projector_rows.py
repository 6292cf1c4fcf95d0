"""The projector: rows and offsets in one database transaction. Killed anywhere, nothing is written twice or
lost; rebuilt, it is the same."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from hub.config import Settings
from hub.kafka import open_reader
from hub.projector import store
from hub.projector.app import Projector, serve
from hub.projector.rows import Rows
from tests.ledger_topics import (
    Log,
    delivery,
    event,
    inbound,
    message,
    outcome,
    refusal_of,
    routed,
    whole_case,
)
from tests.servers import Kafka

TABLES = ("messages", "dispatches", "cases", "files", "projector_unreadable")


@pytest.fixture
async def log(kafka: Kafka, topic_prefix: str, database_url: str, tmp_path: Path) -> Log:
    return await Log.create(
        kafka.bootstrap, topic_prefix, tmp_path, database_url=database_url, batch_records_max=40
    )


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def until(check: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not await check():
            await asyncio.sleep(0.05)


async def project(settings: Settings, done: Callable[[], Awaitable[bool]]) -> None:
    """Run the projector until done() holds."""
    stop = asyncio.Event()
    running = asyncio.create_task(serve(settings, stop))
    try:
        await until(done)
    finally:
        stop.set()
        await running


async def snapshot(database: Any) -> dict[str, list[Any]]:
    tables = {}
    for table in TABLES:
        rows = await database.fetch(f"SELECT t::text AS row FROM {table} t")
        tables[table] = sorted(row["row"] for row in rows)
    return tables


def caught_up(database: Any, log: Log) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        if await database.fetchval("SELECT to_regclass('projector_offsets') IS NULL"):
            return False
        found = await database.fetch("SELECT topic, partition, next_offset FROM projector_offsets")
        known = {(row["topic"], row["partition"]): row["next_offset"] for row in found}
        projected = ("case.inbound", "case.routed", "case.events", "case.outcomes")
        return all(known.get(place, 0) >= end for place, end in log.written.items() if place[0] in projected)

    return check


async def test_one_case_becomes_rows(log: Log, database: Any) -> None:
    opening, step = message("c1"), message("c1", 1, source="dept-a")
    log.commit(whole_case(opening, ["dept-a"]))
    log.commit(
        [inbound(step), routed(step, ["platform"]), event(step, "accepted"), delivery(step, "platform")]
    )
    log.commit([outcome(step, "platform", "parked", code="malformed", detail="字段过长")])
    await project(log.settings, caught_up(database, log))

    rows = await database.fetch(
        "SELECT id, disposition, source_ref, digest, body->>'itemName' FROM messages ORDER BY occurred_at"
    )
    assert [tuple(row) for row in rows] == [
        (opening.id, "routed", "c1/0", "d1", "食品经营许可"),
        (step.id, "routed", "c1/1", "d1", None),
    ]
    outcomes = await database.fetch("SELECT member, outcome, detail FROM dispatches ORDER BY member")
    assert [tuple(row) for row in outcomes] == [
        ("dept-a", "delivered", ""),
        ("platform", "parked", "字段过长"),
    ]
    case = await database.fetchrow("SELECT applicant_masked, origin, stage FROM cases")
    assert tuple(case) == ("王** 460***********1234", "platform", "accepted")
    assert await database.fetchval("SELECT sm3 FROM files") == "ab" * 32


async def test_the_last_outcome_stands_and_the_first_content_stands(log: Log, database: Any) -> None:
    first, other = message("c1"), message("c1", digest="d2", projectName="另一份内容")
    notice = refusal_of(first)
    log.commit([inbound(first), routed(first, ["dept-a"]), event(first), delivery(first, "dept-a")])
    log.commit([inbound(other), routed(notice, ["platform"], originated=True), event(notice)])
    log.commit([outcome(first, "dept-a", "in_doubt")])
    log.commit([outcome(first, "dept-a", "delivered")])
    await project(log.settings, caught_up(database, log))

    stored = await database.fetchrow(
        "SELECT digest, body->>'projectName' FROM messages WHERE id = $1", first.id
    )
    assert tuple(stored) == ("d1", "王小明面馆食品经营许可")
    assert await database.fetchval("SELECT outcome FROM dispatches WHERE member = 'dept-a'") == "delivered"
    made = await database.fetchrow(
        "SELECT originated, causation, body->>'code' FROM messages WHERE id = $1", notice.id
    )
    assert tuple(made) == (True, first.id, "conflict")


async def test_aborted_records_are_never_rows(log: Log, database: Any) -> None:
    ghost, real = message("ghost"), message("real")
    log.abort(whole_case(ghost))
    log.commit(whole_case(real))
    await project(log.settings, caught_up(database, log))
    assert [row["id"] for row in await database.fetch("SELECT id FROM messages")] == [real.id]


async def test_a_record_that_cannot_be_read_is_listed_and_stops_nothing(log: Log, database: Any) -> None:
    broken, real = routed(message("broken")), message("real")
    log.commit([type(broken)(broken.topic, broken.key, b"\x00\x00\x00\xff\xffgarbage")])
    log.commit(whole_case(real))
    await project(log.settings, caught_up(database, log))
    unreadable = await database.fetchrow('SELECT topic, "offset", error FROM projector_unreadable')
    assert unreadable["topic"] == "case.routed"
    assert "ContractError" in unreadable["error"]
    assert await database.fetchval("SELECT count(*) FROM messages") == 1


async def test_nul_characters_are_stored_as_their_symbol(log: Log, database: Any) -> None:
    m = message("nul", projectName="甲\x00乙 \\u0000")
    log.commit([inbound(m), routed(m, reason="a\x00b", disposition="parked")])
    await project(log.settings, caught_up(database, log))
    row = await database.fetchrow("SELECT reason, body->>'projectName' FROM messages")
    assert tuple(row) == ("a\u2400b", "甲\u2400乙 \\u0000")


async def test_sigkill_in_the_middle_then_resume_gives_what_one_run_gives(log: Log, database: Any) -> None:
    """SIGKILL at random moments; the final tables equal those of an undisturbed run into an empty schema."""
    messages = [message(f"c{n}") for n in range(600)]
    for start in range(0, len(messages), 50):
        log.commit([record for m in messages[start : start + 50] for record in whole_case(m)])
    done = caught_up(database, log)
    environment = {
        **os.environ,
        "HUB_KAFKA_BOOTSTRAP": log.settings.kafka_bootstrap,
        "HUB_DATABASE_URL": log.settings.database_url,
        "HUB_TOPIC_PREFIX": log.settings.topic_prefix,
        "HUB_BATCH_RECORDS_MAX": "25",
    }
    program = (
        "import asyncio, os; from hub.config import Settings; from hub.projector.app import serve;"
        "asyncio.run(serve(Settings.from_env(os.environ), asyncio.Event()))"
    )
    kills = 0
    dice = random.Random(7)

    async def some_rows_since(count: int) -> bool:
        if await database.fetchval("SELECT to_regclass('messages') IS NULL"):
            return False
        return bool(await database.fetchval("SELECT count(*) FROM messages") > count or await done())

    while not (await some_rows_since(-1) and await done()):
        reached = await database.fetchval("SELECT count(*) FROM messages") if kills else 0
        child = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.DEVNULL)
        try:
            await until(lambda: some_rows_since(reached + dice.randint(10, 150)))  # noqa: B023 - awaited here
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        kills += 1
    assert kills >= 3, "the kills must have fallen into the middle"
    killed = await snapshot(database)
    assert len(killed["messages"]) == 600
    assert len(killed["dispatches"]) == 1200

    for table in (*TABLES, "projector_offsets"):
        await database.execute(f"DROP TABLE {table}")
    await project(log.settings, done)
    assert await snapshot(database) == killed


async def test_a_second_projector_cannot_write_a_batch_again(log: Log, database: Any) -> None:
    """Two projectors with the same positions: one commits, the other is told that it was overtaken and
    writes nothing."""
    log.commit(whole_case(message("c1")))
    owner_of = lambda item, region: ""  # noqa: E731
    async with open_reader(log.settings) as one, open_reader(log.settings) as two:
        connections = [await store.connect(log.settings.database_url) for _ in range(2)]
        first = Projector(log.settings, one, connections[0], owner_of)
        second = Projector(log.settings, two, connections[1], owner_of)
        await first.open()
        await second.open()

        async def stepped() -> bool:
            return await first.step() > 0

        await until(stepped)

        async def overtaken() -> bool:
            try:
                await second.step()
            except store.Overtaken:
                return True
            return False

        await until(overtaken)
        for connection in connections:
            await connection.close()


async def test_rows_without_their_offset_are_rolled_back(log: Log, database: Any) -> None:
    """The offset moves in the same transaction: when it cannot, the rows are not there either."""
    await store.create_schema(database)
    await store.resume(database, {("case.inbound", 0): 0})
    rows = Rows(files=[("46X", "ab" * 32)])
    with pytest.raises(store.Overtaken):
        await store.write(database, rows, {("case.inbound", 0): (5, 6)})
    assert await database.fetchval("SELECT count(*) FROM files") == 0
    await store.write(database, rows, {("case.inbound", 0): (0, 6)})
    assert await database.fetchval("SELECT count(*) FROM files") == 1


async def test_r25_the_projector_says_how_fresh_its_tables_are(log: Log, database: Any) -> None:
    log.commit(whole_case(message("c1")))

    async def reported() -> bool:
        if await database.fetchval("SELECT to_regclass('projector_status') IS NULL"):
            return False
        return bool(await database.fetchval("SELECT count(*) FROM projector_status WHERE lag = 0"))

    await project(log.settings, reported)
    assert await database.fetchval("SELECT now() - as_of < interval '10 seconds' FROM projector_status")


async def test_a_credit_query_with_the_submissions_bytes_opens_no_case(log: Log, database: Any) -> None:
    """R22: the hub's own query carries the submission's body under another type and source."""
    opening = message("c1")
    query = msgspec.structs.replace(
        opening, id="f" * 32, source="hub", type="credit.query", causation=opening.id
    )
    log.commit([inbound(opening), routed(opening, disposition="held"), event(query, "submitted")])
    log.commit([routed(opening, ["dept-a"]), event(opening)])
    await project(log.settings, caught_up(database, log))
    assert await database.fetchval("SELECT origin FROM cases") == "platform"
