"""R27 on the command line: many cases at once are proposed by one person and done when another approves, by
the same accounts, acts and audit trail as on the console (real broker, real HTTP, real database)."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner
from delivery_harness import (
    FakeTown,
    create_topics,
    delivering,
    give,
    member,
    serving,
    settings_for,
)

from hub.cli import govhub
from hub.config import Settings
from hub.console.accounts import Accounts, Role
from hub.console.database import Database
from hub.directory.model import Guarantee
from tests.integration.test_g5_repair import directory_with_town, last, wrong
from tests.servers import Kafka

PASSWORDS = {"wang": "correct horse 电池", "li": "staple battery 马", "zhao": "looks only 看看"}
ROLES = {
    "wang": [Role.OPERATOR, Role.APPROVER],
    "li": [Role.APPROVER],
    "zhao": [Role.VIEWER],
}


@pytest.fixture
def settings(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> Settings:
    return settings_for(kafka, topic_prefix, tmp_path)


async def test_r27_what_one_person_proposes_by_command_another_approves(
    settings: Settings, database_url: str, tmp_path: Path
) -> None:
    env = {
        "HUB_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "HUB_TOPIC_PREFIX": settings.topic_prefix,
        "HUB_DATABASE_URL": database_url,
        "HUB_DIRECTORY_DIR": str(directory_with_town(tmp_path)),
    }

    async def typed(*words: str, by: str = "", code: int = 0) -> str:
        account = ["--account", by] if by else []
        done = await asyncio.to_thread(
            CliRunner(env=env).invoke, govhub, [*words, *account], PASSWORDS.get(by, "") + "\n"
        )
        assert done.exit_code == code, done.output
        return done.output

    async def acts() -> list[tuple[str, str]]:
        lines = (await typed("bulk", "list")).splitlines()
        return [(one.split()[0], one.rpartition("  ")[2]) for one in lines]

    await create_topics(settings)
    database = Database(database_url)
    for name, password in PASSWORDS.items():
        await Accounts(database).create(name, password, ROLES[name])
    town = FakeTown()
    town.answer = wrong
    redrive = ("redrive", "--member", "town", "--reason", "对方已修复校验")
    async with serving(town) as url, delivering(settings, member(url, Guarantee.IDEMPOTENT)):
        ids = [id_ for (id_,) in (await give(settings, 3, 1)).values()]
        await last(settings, dict.fromkeys(ids, "parked"))
        town.answer = town.take
        assert "3 · 试算" in await typed(*redrive)
        assert "--account" in await typed(*redrive, "--yes", code=1)
        assert "没有角色 operator" in await typed(*redrive, "--yes", by="zhao", code=1)
        PASSWORDS["nobody"] = "whatever 12345"
        assert "不正确" in await typed(*redrive, "--yes", by="nobody", code=1)
        assert await acts() == []
        await typed(*redrive, "--yes", by="wang")
        ((act, state),) = await acts()
        assert "待复核" in state
        assert "不能自己复核" in await typed("bulk", "approve", act, by="wang", code=1)
        assert "没有角色 approver" in await typed("bulk", "approve", act, by="zhao", code=1)
        await asyncio.sleep(0.5)
        assert town.effects == {}, "nothing is done by one person"
        for _ in range(2):
            assert "已执行" in await typed("bulk", "approve", act, by="li")
        await last(settings, dict.fromkeys(ids, "delivered"))
        assert set(town.effects.values()) == {1}

        town.answer = wrong
        more = [id_ for (id_,) in (await give(settings, 2, 1, first=3)).values()]
        await last(settings, dict.fromkeys(more, "parked"))
        town.answer = town.take
        assert "24" in await typed(*redrive, "--yes", "--alone", by="wang")
        await last(settings, dict.fromkeys(more, "delivered"))
        alone, state = (await acts())[0]
        assert "补签" in state
        assert "已执行" in (await typed("bulk", "approve", alone, by="li"))
    trail = await database.fetch("SELECT person, act, address FROM console_audit ORDER BY id")
    assert [(row["person"], row["act"]) for row in trail if not row["act"].startswith("log_in")] == [
        ("wang", "bulk_propose"),
        ("wang", "bulk_approve"),
        ("li", "bulk_approve"),
        ("li", "bulk_approve"),
        ("wang", "bulk_alone"),
        ("li", "bulk_countersign"),
    ]
    assert all(row["address"].startswith("cli ") for row in trail)
    await database.close()
