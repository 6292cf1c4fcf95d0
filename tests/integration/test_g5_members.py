"""A directory that is published changes delivery lanes without a restart: new members get a lane, changed
ones are called where they are now, removed ones no more (real broker, real HTTP)."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from delivery_harness import FakeTown, create_topics, give, member, outcomes, serving, settings_for

from hub import directory
from hub.config import Settings
from hub.delivery.role import DeliveryRole
from hub.directory.model import Guarantee, Member
from hub.kafka import Admin
from hub.local.cluster import PLAYED_BY
from tests.servers import Kafka


class Everything(dict[str, str]):
    """An environment that holds every variable the directory asks for."""

    def __missing__(self, name: str) -> str:
        return "http://127.0.0.1:1" if name.endswith("_URL") else f"value of {name}"

    def get(self, name: str, default: Any = None) -> Any:
        return self[name]


def test_member_of_a_published_directory_is_the_member_of_its_files() -> None:
    """Otherwise every lane would be opened anew when the published directory is first read."""
    env = Everything()
    from_files, published = directory.load(env=env), directory.load()
    assert set(PLAYED_BY) <= set(published.members)
    for id_, known in from_files.members.items():
        assert directory.with_secrets(published, id_, env) == known
    with pytest.raises(directory.DirectoryError, match="HUB_MEMBER_DEPT_A"):
        directory.with_secrets(published, "dept-a", {})


@pytest.fixture
def settings(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> Settings:
    return settings_for(kafka, topic_prefix, tmp_path)


def village(url: str) -> Member:
    return msgspec.structs.replace(member(url, Guarantee.IDEMPOTENT), id="village")


async def test_lanes_follow_the_directory_without_a_restart(settings: Settings) -> None:
    await create_topics(settings)
    async with Admin(settings) as admin:
        for name in ("deliver.village", "commands.delivery.village"):
            await admin.create(settings.topic(name), 1, 1, {})
        await admin.create(settings.topic("delivery.village.changelog"), 1, 1, {"cleanup.policy": "compact"})
    old, new, there = FakeTown(), FakeTown(), FakeTown()
    async with serving(old) as old_url, serving(new) as new_url, serving(there) as village_url:
        town = member(old_url, Guarantee.BLIND)
        role = DeliveryRole(settings, {"town": town}, "c", 1)
        stop = asyncio.Event()
        work = asyncio.create_task(role.worker.run(stop))

        async def delivered(count: int) -> None:
            async with asyncio.timeout(30):
                while len(await outcomes(settings)) < count:
                    await asyncio.sleep(0.1)

        try:
            await give(settings, 1, 1)
            await delivered(1)
            await role.change({"town": town, "village": village(village_url)})
            sent = await give(settings, 1, 2, to="village")
            await delivered(3)
            assert there.order == sent
            address = msgspec.structs.replace(town.adapter, url=new_url)
            await role.change({"town": msgspec.structs.replace(town, adapter=address)})
            await give(
                settings, 2, 1
            )  # the first of them once more: the log has it twice, and so it is called
            await delivered(5)
            async with asyncio.timeout(20):
                while len(role.worker.lanes) != 1:
                    await asyncio.sleep(0.1)
        finally:
            stop.set()
            await work
    assert (sum(old.calls.values()), sum(new.calls.values())) == (1, 2)
