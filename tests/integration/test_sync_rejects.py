"""The sync role against a front-end database that nobody has written to yet (R30)."""

import asyncio
import re
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from hub import sync
from hub.config import Settings
from hub.directory import load
from tests.servers import Kafka

MEMBERS = Path(load.__code__.co_filename).parent / "data" / "members.yaml"


async def ready(address: str) -> tuple[int, str]:
    """Status and body of /readyz once something listens."""
    async with aiohttp.ClientSession() as http:
        for _ in range(100):
            try:
                async with http.get(f"http://{address}/readyz") as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)
    raise AssertionError("nobody listens")


async def test_r30_sync_is_ready_before_anybody_wrote_to_the_front_end_database(
    kafka: Kafka, database_url: str, tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in set(re.findall(r"\$\{(\w+)\}", MEMBERS.read_text("utf-8"))):
        monkeypatch.setenv(variable, "http://127.0.0.1:1" if variable.endswith("_URL") else "k" * 32)
    monkeypatch.setenv("HUB_NATION_DATABASE_URL", database_url)
    listen = f"127.0.0.1:{unused_tcp_port}"
    settings = Settings.from_env(
        {
            "HUB_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "HUB_DATA_DIR": str(tmp_path),
            "HUB_METRICS_LISTEN": listen,
        }
    )
    stop = asyncio.Event()
    serving = asyncio.create_task(sync.serve(settings, stop))
    try:
        await ready(listen)
        connection = await asyncpg.connect(database_url)
        try:
            for _ in range(100):
                if await connection.fetchval("SELECT to_regclass('up_reject') IS NOT NULL"):
                    break
                await asyncio.sleep(0.05)
        finally:
            await connection.close()
        await asyncio.sleep(0.3)
        status, said = await ready(listen)
    finally:
        stop.set()
        await serving
    assert status == 200, said
