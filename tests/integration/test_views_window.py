"""The views: cases per department per minute, counted once, and only what was committed."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.views import MINUTE_MS, MINUTES_KEPT, MINUTES_SHOWN, Window
from tests.ledger_topics import Log, event, eventually, message
from tests.servers import Kafka

PROGRAM = (
    "import asyncio, os; from hub.config import Settings; from hub.views import serve;"
    "asyncio.run(serve(Settings.from_env(os.environ), asyncio.Event()))"
)


@contextmanager
def views(log: Log) -> Iterator[str]:
    """The role as its own process, as it runs in service."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "HUB_KAFKA_BOOTSTRAP": log.settings.kafka_bootstrap,
        "HUB_TOPIC_PREFIX": log.settings.topic_prefix,
        "HUB_VIEWS_LISTEN": f"127.0.0.1:{port}",
        "HUB_DATA_DIR": str(log.settings.data_dir),
    }
    child = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def counts(url: str) -> dict[str, int]:
    try:
        with urllib.request.urlopen(url + "/views/cases-per-minute", timeout=2) as answer:
            document: dict[str, Any] = json.load(answer)
    except OSError:
        return {}
    totals: dict[str, int] = {}
    for minute in document["minutes"]:
        for member, count in minute["counts"].items():
            totals[member] = totals.get(member, 0) + count
    return totals


@pytest.mark.timeout(150)
async def test_committed_cases_are_counted_once_and_aborted_ones_never(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    log = await Log.create(kafka.bootstrap, topic_prefix, tmp_path)
    log.commit([event(message(f"before{n}")) for n in range(5)])
    log.abort([event(message(f"ghost{n}")) for n in range(7)])
    with views(log) as url:
        await asyncio.to_thread(eventually, lambda: counts(url) == {"dept-a": 5}, seconds=60)
        log.abort([event(message(f"later-ghost{n}")) for n in range(7)])
        log.commit([event(message("after")), event(message("after", 1), "accepted")])
        await asyncio.to_thread(eventually, lambda: counts(url) == {"dept-a": 6}, seconds=30)
    with views(log) as url:  # killed: the state is disposable and comes back from the log
        await asyncio.to_thread(eventually, lambda: counts(url) == {"dept-a": 6}, seconds=60)


def test_a_window_shows_empty_minutes_and_forgets_old_ones() -> None:
    window = Window()
    now = 1_763_778_000_000
    for minute in range(MINUTES_KEPT + 20):
        window.add(0, minute, now - (MINUTES_KEPT + 19 - minute) * MINUTE_MS, "dept-a")
    window.add(0, 3, now, "dept-a")  # read again after a rebalance
    shown = window.shown(now + 2 * MINUTE_MS)
    assert len(shown) == MINUTES_SHOWN
    assert [minute["counts"] for minute in shown[-3:]] == [{"dept-a": 1}, {}, {}]
    assert len(window._minutes) == MINUTES_KEPT
