"""The catalogue brought to a real Kafka: what the broker then says of its topics is what the catalogue
wants."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.config import Settings
from hub.kafka import Admin
from tests.servers import Kafka
from topics.catalogue import load
from topics.plan import Plan, PlanRefused, apply, plan

MEMBERS = ("dept-a", "nation")
VISIBLE_SECONDS_MAX = 15.0


@pytest.fixture
def settings(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> Settings:
    return Settings.from_env(
        {
            "HUB_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "HUB_TOPIC_PREFIX": topic_prefix,
            "HUB_DATA_DIR": str(tmp_path),
        }
    )


async def planned(admin: Admin, settings: Settings, partitions: int = 3) -> Plan:
    existing = await admin.list_topics()
    return plan(load(), existing, members=MEMBERS, partitions=partitions, prefix=settings.topic_prefix)


async def planned_once(admin: Admin, settings: Settings, done: Callable[[Plan], bool]) -> Plan:
    """The plan as soon as it is as expected: a broker acknowledges a change before its own description shows
    it."""
    until = time.monotonic() + VISIBLE_SECONDS_MAX
    while not done(found := await planned(admin, settings)) and time.monotonic() < until:
        await asyncio.sleep(0.1)
    return found


async def test_a_real_broker_holds_the_catalogue_after_apply_even_when_two_apply_at_once(
    settings: Settings,
) -> None:
    async with Admin(settings) as one, Admin(settings) as other:
        first = await planned(one, settings)
        assert {creation.partitions for creation in first.create} == {1, 3}
        await asyncio.gather(apply(first, one), apply(first, other))
        again = await planned_once(one, settings, lambda found: found.empty)
        assert again.empty, again
        assert again.unchanged == len(first.create)

        name = settings.topic("case.inbound")
        await one.alter_config(name, {"retention.ms": "604800000"})
        drifted = await planned_once(one, settings, lambda found: bool(found.change))
        assert [(change.name, change.different) for change in drifted.change] == [
            (name, {"retention.ms": ("604800000", "-1")} | missing(drifted))
        ]
        await apply(drifted, one)
        assert (await planned_once(one, settings, lambda found: found.empty)).empty

        with pytest.raises(PlanRefused, match=r"case\.inbound"):
            await apply(await planned(one, settings, partitions=6), one)
        assert (await planned(one, settings)).empty
        await one.delete_topics([creation.name for creation in first.create])


def missing(drifted: Plan) -> dict[str, tuple[str, str]]:
    """Kafka's AlterConfigs sets a topic's whole configuration: what was left out above fell back to
    defaults."""
    return {name: pair for name, pair in drifted.change[0].different.items() if name != "retention.ms"}
