"""The router's directory is never stale unnoticed: a steady stream of credit standings delays no publish, and
a follower that ended stops the lanes (real broker)."""

import asyncio
import contextlib
import copy
import shutil
import time
from pathlib import Path

import msgspec
import pytest
import yaml

from hub import directory
from hub.config import Settings
from hub.errors import HubError
from hub.kafka import open_producer, write_all
from hub.provision import provision
from hub.routing.tables import Standing
from hub.tables import follow_tables, publish_directory
from tests.servers import Kafka


@pytest.fixture
async def settings(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> Settings:
    made = Settings.from_env(
        {
            "HUB_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "HUB_TOPIC_PREFIX": topic_prefix,
            "HUB_DATA_DIR": str(tmp_path),
            "HUB_PARTITIONS": "1",
        }
    )
    await provision(made)
    return made


async def test_directory_change_is_taken_while_credit_standings_keep_coming(settings: Settings) -> None:
    async def credit_stream() -> None:
        async with open_producer(settings) as producer:
            while True:
                standing = msgspec.json.encode(Standing("blue"))
                await producer.send("credit.subjects", b"p", standing, [])
                await asyncio.sleep(0.05)

    async with follow_tables(settings) as tables:
        before = tables.current.version
        streaming = asyncio.create_task(credit_stream())
        try:
            await asyncio.sleep(0.5)
            member, raw = next(iter(tables._raw["members"].items()))
            known = msgspec.json.decode(raw)
            known["contact"] = "0898-0000"
            await write_all(settings, "directory.members", [(member, msgspec.json.encode(known))])
            until = time.monotonic() + 5
            while tables.current.version == before and time.monotonic() < until:
                await asyncio.sleep(0.1)
            assert tables.current.version != before
        finally:
            streaming.cancel()
            await asyncio.gather(streaming, return_exceptions=True)


async def test_tables_nobody_follows_any_more_are_no_tables(settings: Settings) -> None:
    async with follow_tables(settings) as tables:
        assert tables.current
        assert tables._following is not None
        tables._following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tables._following
        with pytest.raises(HubError, match="not followed"):
            _ = tables.current


async def test_waiting_messages_of_a_case_leave_room_for_its_state_in_one_batch(settings: Settings) -> None:
    async with follow_tables(settings) as tables:
        limits = tables.current.limits
    assert limits.state_bytes_max + 50 * (limits.seen_max + limits.parked_max) < settings.batch_bytes_max


async def test_published_member_has_its_topics_and_a_directory_with_one_that_has_none_is_not_taken(
    settings: Settings, tmp_path: Path
) -> None:
    """A dispatch to a topic that is not there could never be committed: every lane would reopen for ever."""
    wide = tmp_path / "directory"
    shutil.copytree(directory.DATA, wide)
    file = wide / "members.yaml"
    document = yaml.safe_load(file.read_text("utf-8"))
    document["members"]["dept-new"] = copy.deepcopy(document["members"]["dept-a"])
    file.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    wider = msgspec.structs.replace(settings, directory_dir=wide)
    async with follow_tables(settings) as tables:
        before = tables.current.version
        await publish_directory(wider)
        async with asyncio.timeout(10):
            while tables.current.version == before:
                await asyncio.sleep(0.1)
        taken = tables.current.version
        raw = tables._raw["members"][b"dept-new"]
        await write_all(settings, "directory.members", [(b"dept-nowhere", raw)])
        await asyncio.sleep(1.5)
        assert tables.current.version == taken
    with pytest.raises(HubError, match=r"deliver\.dept-nowhere"):
        async with follow_tables(settings):
            pass
