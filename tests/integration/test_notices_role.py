"""The role notices on a real broker and a real database: one notice an event, whatever dies in between."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from hub.cli_seal_options import now_utc
from hub.config import Settings
from hub.envelope import Message
from hub.kafka import open_reader
from hub.notices import store
from hub.notices.app import Maker, Notices, SealUnusable
from hub.notices.sealing import open_sealer
from hub.notices.trial import write_trial
from schemas.codec import encode
from schemas.contracts import load
from signing.ofd.checking import check_ofd
from signing.seals.checking import Circumstances
from tests.ledger_topics import Log, Written, event, message
from tests.servers import Kafka

PASSPHRASE = b"a long passphrase"
ORG = {"code": "11460100MB0000000X", "name": "海口市市场监督管理局"}
AT = 1_763_864_400_000


@pytest.fixture
async def log(kafka: Kafka, topic_prefix: str, database_url: str, tmp_path: Path) -> Log:
    write_trial(tmp_path / "keys", PASSPHRASE, "示例局", now_utc())
    more = {"notices_dir": tmp_path / "keys", "notices_passphrase": PASSPHRASE, "notices_batch_max": 4}
    return await Log.create(kafka.bootstrap, topic_prefix, tmp_path, database_url=database_url, **more)


@pytest.fixture
async def database(log: Log) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(log.settings.database_url)
    yield connection
    await connection.close()


def accepted(opened: Message) -> Message:
    body = {"org": ORG, "handler": "李四", "acceptedAt": AT, "projectType": "2"}
    value = encode(load().by_type("case.accepted"), body)
    changes = {"id": opened.id[::-1], "type": "case.accepted", "source": "dept-a", "value": value}
    return msgspec.structs.replace(opened, **changes)


def life(name: str) -> list[Written]:
    opened = message(name)
    return [event(opened), event(accepted(opened), "accepted")]


def files(settings: Settings) -> dict[str, bytes]:
    folder = store.notices_folder(settings)
    return {path.name: path.read_bytes() for path in folder.glob("*/*.*") if not path.name.startswith(".")}


class Role:
    """The role's own loop, stepped by hand."""

    def __init__(self, log: Log) -> None:
        self.log = log
        settings = log.settings
        assert settings.notices_dir is not None
        self.sealer = open_sealer(settings.notices_dir, settings.notices_passphrase)

    async def run(self, steps: int = 200) -> Notices:
        """Until nothing is left to read."""
        connection = await asyncpg.connect(self.log.settings.database_url)
        try:
            async with open_reader(self.log.settings) as reader:
                maker = Maker(self.log.settings, self.sealer)
                notices = Notices(self.log.settings, reader, connection, maker)
                await notices.open()
                for _ in range(steps):
                    if not await notices.step() and await self._done(connection):
                        break
                return notices
        finally:
            await connection.close()

    async def _done(self, connection: Any) -> bool:
        rows = await connection.fetch("SELECT partition, next_offset FROM notice_offsets")
        ends = {p: end for (topic, p), end in self.log.written.items() if topic == "case.events"}
        return all(row["next_offset"] >= ends.get(row["partition"], 0) for row in rows)


async def test_each_event_has_one_notice_in_two_valid_forms(log: Log, database: Any) -> None:
    log.commit([record for n in range(5) for record in life(f"n{n}")])
    log.abort(life("never"))
    role = Role(log)
    made = await role.run()
    rows = await database.fetch("SELECT * FROM notices")
    assert (len(rows), made.made, made.failed) == (5, 5, 0)
    given = Circumstances(role.sealer.trust, role.sealer.provider, now_utc())
    for row in rows:
        verdict = check_ofd(files(log.settings)[f"{row['id']}.ofd"], given)
        assert verdict.valid
        assert files(log.settings)[f"{row['id']}.pdf"].startswith(b"%PDF")
    facts = await database.fetchval("SELECT facts::text FROM notice_cases LIMIT 1")
    assert "食品经营许可" in facts


async def test_reading_everything_again_makes_nothing_twice(log: Log, database: Any) -> None:
    """The tables are lost, or a second process reads what the first has read: the files decide."""
    log.commit([record for n in range(3) for record in life(f"n{n}")])
    role = Role(log)
    await role.run()
    before = files(log.settings)
    rows = await database.fetch("SELECT id, ofd_sm3, pdf_sm3 FROM notices ORDER BY id")
    await database.execute("DROP TABLE notices, notice_cases, notice_offsets, notice_failures")
    await role.run()
    assert files(log.settings) == before
    assert await database.fetch("SELECT id, ofd_sm3, pdf_sm3 FROM notices ORDER BY id") == rows


async def test_stopped_between_the_files_and_the_row(log: Log, database: Any) -> None:
    log.commit(life("one"))
    role = Role(log)
    assert log.settings.notices_dir is not None

    async def lost(*_: object) -> None:
        raise asyncpg.ConnectionDoesNotExistError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "write", lost)
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await role.run()
    before = files(log.settings)
    assert len(before) == 2
    await role.run()
    assert files(log.settings) == before
    assert await database.fetchval("SELECT count(*) FROM notices") == 1


async def test_a_lost_seal_makes_the_role_wait_and_no_event_is_passed_over(log: Log, database: Any) -> None:
    log.commit(life("one"))
    role = Role(log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(role.sealer), "problem", lambda *_: "印章已挂失 / lost")
        with pytest.raises(SealUnusable):
            await role.run()
    assert files(log.settings) == {}
    await role.run()
    assert await database.fetchval("SELECT count(*) FROM notices") == 1
    assert await database.fetchval("SELECT count(*) FROM notice_failures") == 0


async def test_a_second_process_cannot_write_a_batch_again(log: Log, database: Any) -> None:
    log.commit(life("one"))
    await Role(log).run()
    batch = store.Batch({}, [], [], {0: (10_000, 10_001)})
    with pytest.raises(store.Overtaken):
        await store.write(database, batch)


async def test_an_event_that_cannot_be_read_is_told_and_stops_nothing(log: Log, database: Any) -> None:
    broken = event(message("broken"))
    log.commit(
        [Written(broken.topic, broken.key, b"\x00\x00\x00\x00\x63rubbish", broken.headers), *life("ok")]
    )
    made = await Role(log).run()
    assert (made.made, made.failed) == (1, 1)
    assert "unknown schema id" in (await database.fetchval("SELECT error FROM notice_failures"))


async def test_killed_while_it_works_then_started_again(log: Log, database: Any, tmp_path: Path) -> None:
    log.commit([record for n in range(30) for record in life(f"k{n}")])
    settings = log.settings
    env = {
        **os.environ,
        "HUB_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "HUB_DATABASE_URL": settings.database_url,
        "HUB_TOPIC_PREFIX": settings.topic_prefix,
        "HUB_DATA_DIR": str(tmp_path),
        "HUB_NOTICES_DIR": str(settings.notices_dir),
        "HUB_NOTICES_PASSPHRASE": PASSPHRASE.decode(),
        "HUB_NOTICES_BATCH_MAX": "4",
    }
    command = [sys.executable, "-m", "hub", "serve", "notices"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(60):
            while len(files(settings)) < 5:
                await asyncio.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
    before = files(settings)
    await Role(log).run()
    after = files(settings)
    assert {name: after[name] for name in before} == before
    assert len(after) == 60
    assert await database.fetchval("SELECT count(*) FROM notices") == 30
    assert await database.fetchval("SELECT count(DISTINCT event_id) FROM notices") == 30
