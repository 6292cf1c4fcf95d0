"""G5: a case parked for an item the directory did not know goes on after the directory was mended: same
order, same ids, nothing twice."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from bench.load import plain_item
from hub import directory, envelope
from hub.config import Settings
from hub.kafka import open_producer
from hub.provision import provision
from hub.tables import publish_directory
from tests.integration.test_g2_router import a_case, env, ledger, router

__all__ = ["env"]


def without_item(tmp_path: Path, code: str) -> Path:
    """A copy of the shipped directory in which one item was forgotten."""
    copy = tmp_path / "directory"
    shutil.copytree(directory.load.__globals__["DATA"], copy)
    file = copy / "items.yaml"
    document = yaml.safe_load(file.read_text("utf-8"))
    del document["items"][code]
    file.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    return copy


async def settled(settings: Settings, disposition: str, count: int) -> list[dict[str, Any]]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        last = {line["messageId"]: line for line in await ledger(settings) if not line["originated"]}
        found = [line for line in last.values() if line["disposition"] == disposition]
        if len(found) >= count:
            return found
        await asyncio.sleep(0.3)
    raise AssertionError(f"{[(line['type'], line['disposition'], line['reason']) for line in last.values()]}")


async def test_parked_case_is_redriven_in_order_under_the_same_ids(
    env: dict[str, str], tmp_path: Path
) -> None:
    item = plain_item()[0]
    settings = Settings.from_env({**env, "HUB_DIRECTORY_DIR": str(without_item(tmp_path, item))})
    await provision(settings)
    case, other = a_case(1)[:4], a_case(2)[:1]
    async with open_producer(settings) as producer:
        for one in (*case, *other):
            await producer.send("case.inbound", one.subject.encode(), one.value, envelope.to_headers(one))
    with router(env, tmp_path / "router.log"):
        parked = await settled(settings, "parked", 5)
        assert {line["reason"] for line in parked} == {"unknown_item", "behind"}
        assert not any(line["dispatches"] for line in parked)

        mended = Settings.from_env(env)
        assert await publish_directory(mended) > 0
        await asyncio.sleep(2)  # the router follows the directory topic
        command = [sys.executable, "-m", "hub", "redrive", case[0].subject, "--reason", "事项已补录"]
        done = await asyncio.to_thread(
            subprocess.run, command, env={**os.environ, **env}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        routed = await settled(settings, "routed", 4)
        await asyncio.sleep(1)
    assert {line["messageId"] for line in routed} == {one.id for one in case}, (
        "only the case that was redriven"
    )
    lines = [
        line for line in await ledger(settings) if line["disposition"] == "routed" and not line["originated"]
    ]
    assert [line["messageId"] for line in lines] == [one.id for one in case], "in order, each once"
