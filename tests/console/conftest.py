"""A whole console: real topics, a real projector into a real database, the console served over HTTP, and
Chromium."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import msgspec
import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from hub.console.app import build, build_app
from hub.console.web import Console
from hub.delivery.model import queue_key
from hub.ending import ended
from hub.gateway import server
from hub.ids import dispatch_id
from hub.lanes.restore import Restoring
from hub.projector.app import serve as project
from hub.status import LaneReport
from tests.ledger_topics import (
    Log,
    Written,
    delivery,
    event,
    inbound,
    message,
    outcome,
    refusal_of,
    routed,
    whole_case,
)
from tests.servers import Kafka, missing

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "correct horse 电池"


@dataclass
class Site:
    """The running console. case: a case with everything in it; parked, held: others."""

    url: str
    log: Log
    console: Console
    case: str
    parked: str
    held: str


def lane(name: str, state: str, **more: Any) -> Written:
    role = "delivery" if name.startswith("deliver.") else "router"
    # Spoken a minute ahead, so that a test need not keep speaking for the lane.
    report = LaneReport(role=role, lane=name, state=state, at_ms=int(time.time() * 1_000) + 60_000, **more)
    return Written("hub.status", report.key, msgspec.json.encode(report), partition=0)


RESTORING = lane(
    "case.inbound-0", "opening", reason=str(Restoring(records=40_000, per_s=20_000, left_s=12.0))
)


def write_day(log: Log) -> tuple[str, str, str]:
    """An ordinary day on the topics. Returns the numbers of a rich case, a parked one and a held one."""
    log.commit([record for n in range(40) for record in whole_case(message(f"plain{n}"))])
    rich, step, stuck, after = message("rich"), *(message("rich", n, source="dept-a") for n in (1, 2, 3))
    log.commit([inbound(rich), routed(rich, disposition="held", reason="credit")])
    log.commit([routed(rich, ["dept-a"]), event(rich), delivery(rich, "dept-a"), outcome(rich, "dept-a")])
    log.commit(
        [inbound(step), routed(step, ["platform"]), event(step, "accepted"), delivery(step, "platform")]
    )
    log.commit([outcome(step, "platform")])
    detail = "字段 handler 超过 30 字（GB/T 39046-2020 表 7）"
    log.commit(
        [inbound(stuck), routed(stuck, ["platform"]), event(stuck, "accepted"), delivery(stuck, "platform")]
    )
    log.commit([outcome(stuck, "platform", "parked", code="malformed", detail=detail)])
    log.commit(
        [inbound(after), routed(after, ["platform"]), event(after, "accepted"), delivery(after, "platform")]
    )
    behind = dispatch_id(stuck.id, "platform")
    log.commit([outcome(after, "platform", "parked", code="behind", behind=behind)])
    notice = refusal_of(rich)
    log.commit([routed(notice, ["platform"], originated=True), event(notice, "accepted")])
    log.commit(
        [
            delivery(notice, "platform"),
            outcome(notice, "platform", "in_doubt", code="timeout", detail="呼叫超时"),
        ]
    )
    parked, held = message("parked"), message("held")
    log.commit([inbound(parked), routed(parked, disposition="parked", reason="unknown_item")])
    log.commit([inbound(held), routed(held, disposition="held", reason="credit")])
    log.commit([lane("deliver.dept-a-0", "open", done=41, last_delivery_ms=int(time.time() * 1_000))])
    log.commit(
        [lane("deliver.platform-0", "waiting", breaker="open", holds=1, reason="连接被拒绝，下次尝试 5 s 后")]
    )
    log.commit([RESTORING, lane("case.inbound-1", "open", done=7)])
    log.commit([Written("delivery.platform.changelog", queue_key(stuck.subject, 1), b"\x01x", partition=0)])
    log.commit(log.positions_at_end())
    return rich.subject, parked.subject, held.subject


@asynccontextmanager
async def serving(console: Console) -> AsyncIterator[str]:
    """The console over HTTP, as the role serves it."""
    listening = server.bind("127.0.0.1:0")
    stop = asyncio.Event()
    running = [
        asyncio.create_task(server.run(build_app(console), [listening], stop)),
        asyncio.create_task(console.live.run()),
    ]
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        stop.set()
        await ended(running[1])
        await asyncio.gather(*running, return_exceptions=True)
        await console.database.close()


@asynccontextmanager
async def projecting(log: Log) -> AsyncIterator[None]:
    """The projector, caught up before the block begins and running while it lasts."""
    stop = asyncio.Event()
    running = asyncio.create_task(project(log.settings, stop))
    connection = await asyncpg.connect(log.settings.database_url)
    try:
        async with asyncio.timeout(30):
            while not await _caught_up(connection, log):
                await asyncio.sleep(0.05)
        yield
    finally:
        await connection.close()
        stop.set()
        await running


async def _caught_up(connection: Any, log: Log) -> bool:
    if await connection.fetchval("SELECT to_regclass('projector_status') IS NULL"):
        return False
    row = await connection.fetchrow(
        "SELECT lag, (SELECT count(*) FROM messages) AS messages FROM projector_status"
    )
    return row is not None and row["lag"] == 0 and row["messages"] > 0


@pytest.fixture
async def site(kafka: Kafka, topic_prefix: str, database_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    log = await Log.create(kafka.bootstrap, topic_prefix, tmp_path, database_url=database_url)
    numbers = write_day(log)
    console = build(log.settings)
    await console.accounts.ensure_first(PASSWORD)
    async with projecting(log), serving(console) as url:
        yield Site(url, log, console, *numbers)


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    if not Path(CHROMIUM).exists():
        missing(f"Chromium 未安装 / Chromium is not installed: {CHROMIUM}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def context(chromium: Browser) -> AsyncIterator[BrowserContext]:
    context = await chromium.new_context(viewport={"width": 1366, "height": 900}, locale="zh-CN")
    yield context
    await context.close()


class Served(Protocol):
    """A console that answers at this address."""

    url: str


async def sign_in(
    context: BrowserContext, site: Served, name: str = "admin", password: str = PASSWORD
) -> Page:
    """A page on the overview, signed in through the form."""
    page = await context.new_page()
    await page.goto(site.url + "/")
    await page.fill("input[name=name]", name)
    await page.fill("input[name=password]", password)
    await page.click(".login button")
    await page.wait_for_selector("#ledgers")
    return page
