"""R23, R29 as an operator types them, against a real broker and a real database: books are closed and judged,
what is finished is trimmed and nothing else; and two counts that begin together never spoil the chain."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner

from hub.books import close, reconcile
from hub.books.close import close_books
from hub.books.closing import ClosedMeanwhile, judge, last_closed, read_chain
from hub.cli import govhub
from hub.config import Settings
from hub.evidence.lane import Signer
from hub.evidence.stamps import OwnStamper
from hub.kafka import open_reader
from hub.projector.app import serve as project
from hub.provision import provision
from hub.router import role as router
from tests.evidence_files import PASSPHRASE, PROVIDER, identity, keys, trust
from tests.integration.test_g2_router import a_case, ledger, routed
from tests.integration.test_g7_evidence import running, submit
from tests.ledger_topics import Log, message, whole_case
from tests.servers import Kafka


def signer() -> Signer:
    return Signer(PROVIDER, identity("signer"), OwnStamper(PROVIDER, identity("tsa")))


async def closed_meanwhile(monkeypatch: pytest.MonkeyPatch, where: Any, log: Log) -> None:
    """While the next count of this module is made, somebody else closes the books."""
    count = where.count

    async def slow(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(where, "count", count)
        counted = await count(*given, **named)
        log.commit(whole_case(message("meanwhile")))
        log.commit(log.positions_at_end())
        await close_books(log.settings, signer())
        return counted

    monkeypatch.setattr(where, "count", slow)


@pytest.fixture
async def log(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> Log:
    log = await Log.create(kafka.bootstrap, topic_prefix, tmp_path, evidence_dir=keys())
    log.commit(whole_case(message("c1")))
    log.commit(log.positions_at_end())
    return log


async def test_r29_a_count_that_began_before_the_first_closing_leaves_its_checkpoint_alone(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    await closed_meanwhile(monkeypatch, reconcile, log)
    counted = await reconcile.reconcile(log.settings, full=True)
    assert counted.messages.accepted == 1, "what it counted is told all the same"
    assert await last_closed(log.settings, PROVIDER, trust()) is not None, "the closing's checkpoint stands"
    assert (await reconcile.reconcile(log.settings)).messages.accepted == 2


async def test_r29_of_two_who_close_the_books_at_once_one_does(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    await closed_meanwhile(monkeypatch, close, log)
    with pytest.raises(ClosedMeanwhile):
        await close_books(log.settings, signer())
    closings, findings = judge(await read_chain(log.settings), PROVIDER, trust(), now=datetime.now(UTC))
    assert (len(closings), findings) == (1, [])
    assert (await close_books(log.settings, signer())).number == 1


@contextlib.asynccontextmanager
async def projected(settings: Settings) -> AsyncIterator[None]:
    """The projector has read everything that is routed, and runs on."""
    async with running(project, settings):
        connection = await asyncpg.connect(settings.database_url)
        try:
            async with asyncio.timeout(40):
                while not await _caught_up(connection):
                    await asyncio.sleep(0.1)
            yield
        finally:
            await connection.close()


async def _caught_up(connection: Any) -> bool:
    if await connection.fetchval("SELECT to_regclass('projector_status') IS NULL"):
        return False
    row = await connection.fetchrow("SELECT lag FROM projector_status")
    return row is not None and row["lag"] == 0


async def start_of(settings: Settings, topic: str) -> int:
    async with open_reader(settings) as reader:
        starts = await reader.start_offsets(await reader.partitions([settings.topic(topic)]))
        return sum(starts.values())


async def test_r23_r29_an_operator_closes_verifies_and_trims(
    kafka: Kafka, topic_prefix: str, database_url: str, tmp_path: Path
) -> None:
    env = {
        "HUB_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "HUB_TOPIC_PREFIX": topic_prefix,
        "HUB_DATABASE_URL": database_url,
        "HUB_DATA_DIR": str(tmp_path),
        "HUB_PARTITIONS": "1",
        "HUB_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef",
        "HUB_EVIDENCE_DIR": str(keys()),
        "HUB_EVIDENCE_PASSPHRASE": PASSPHRASE.decode(),
    }
    settings = Settings.from_env(env)

    async def typed(*words: str) -> tuple[int, str]:
        done = await asyncio.to_thread(CliRunner(env=env).invoke, govhub, words)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        return done.exit_code, done.output

    await provision(settings)
    case, more = a_case(1), a_case(2)
    async with running(router.serve, settings):
        await submit(settings, case)
        await routed(settings, len(case), 40)
        code, said = await typed("trim")
        assert code == 1
        assert "govhub books close" in said, "what to do when the books were never closed"
        code, said = await typed("books", "close")
        # Nobody delivers here: the dispatches are on their way, and that is told as what it is.
        assert code == 0, said
        assert re.search(r"closing 0 .* in_flight=[1-9]\d* .*problems=0", said), said
        code, said = await typed("books", "verify")
        assert (code, said.splitlines()[-1]) == (0, "closings: 1 failed=0 ok=yes")

        code, said = await typed("trim", "--keep-days", "0")
        assert code == 1
        assert "govhub serve projector" in said, "a projector that was never there has read nothing"
        async with projected(settings):
            code, said = await typed("trim", "--keep-days", "0")
            assert code == 0
            assert re.search(r"trim: records=[1-9]\d* .*--apply", said), said
            assert await start_of(settings, "case.inbound") == 0, "a dry run deletes nothing"
            code, said = await typed("trim", "--keep-days", "0", "--apply")
            assert code == 0
            assert await start_of(settings, "case.inbound") >= len(case)
            assert await start_of(settings, "case.routed") == 0, "dispatches that are not finished keep it"
            code, said = await typed("trim", "--keep-days", "0", "--apply")
            assert "records=0" in said
        code, said = await typed("trim", "--keep-days", "1")
        assert code == 1, "the only closing is younger than a day"
    # The lane opens over the trimmed log, and the books go on from the closing.
    async with running(router.serve, settings):
        await submit(settings, more)
        await routed(settings, len(case) + len(more), 40)
    code, said = await typed("reconcile")
    assert f"messages: accepted={len(case) + len(more)} routed={len(case) + len(more)} refused=0" in said
    assert "lost=0 duplicated=0" in said
    assert len({line["messageId"] for line in await ledger(settings)}) == len(case) + len(more)
