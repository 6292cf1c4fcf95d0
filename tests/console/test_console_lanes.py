"""What an operator does on the console to the hub's own lanes: R24, the park brake of a real router lane let
off by role, reason and confirmation, and on record (R26)."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
import pytest
from playwright.async_api import BrowserContext, expect

from hub.config import Settings
from hub.console.accounts import Role
from hub.console.app import build
from hub.console.web import Console
from hub.kafka import open_reader
from hub.provision import provision
from hub.router import role as router
from tests.console.conftest import PASSWORD, Site, lane, serving, sign_in
from tests.console.test_console_browser import shoot
from tests.console.test_console_http import http, log_in, token
from tests.console.test_console_repair import commands
from tests.integration.test_g2_router import a_case, ledger
from tests.integration.test_g7_evidence import running, submit
from tests.servers import Kafka

__all__ = ["http"]

pytestmark = pytest.mark.console

CASES = 12
LANE = "case.inbound-0"


@dataclass
class Braked:
    """A console over a router whose only lane the park brake stopped."""

    url: str
    settings: Settings
    console: Console


@pytest.fixture
async def braked(kafka: Kafka, topic_prefix: str, database_url: str, tmp_path: Path) -> AsyncIterator[Braked]:
    settings = Settings.from_env(
        {
            "HUB_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "HUB_TOPIC_PREFIX": topic_prefix,
            "HUB_DATABASE_URL": database_url,
            "HUB_DATA_DIR": str(tmp_path),
            "HUB_PARTITIONS": "1",
            "HUB_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef",
            "HUB_TOKEN_KEY": "0123456789abcdef0123456789abcdef",
            "HUB_PARK_BRAKE_WINDOW": "100",
        }
    )
    await provision(settings)
    unknown = [
        msgspec.structs.replace(a_case(n)[0], item="11469900MB0000000X0000000000000") for n in range(CASES)
    ]
    console = build(settings)
    await console.accounts.ensure_first(PASSWORD)
    async with running(router.serve, settings), serving(console) as url:
        await submit(settings, unknown)
        async with asyncio.timeout(40):
            while not console.live.touch().braked:
                await asyncio.sleep(0.1)
        yield Braked(url, settings, console)


async def released(settings: Settings) -> int:
    """Commands that were handed to the router."""
    async with open_reader(settings) as reader:
        starts = await reader.start_offsets(await reader.partitions([settings.topic("commands.router")]))
        return sum([len(batch) async for batch in reader.read_to_stable(starts)])


async def test_r24_an_operator_lets_the_brake_off_in_the_browser_and_the_lane_goes_on(
    context: BrowserContext, braked: Braked
) -> None:
    page = await sign_in(context, braked)
    alert = page.locator("#alerts [role=alert]")
    await expect(alert).to_contain_text("停放闸已拉下", timeout=15_000)
    await expect(alert).to_contain_text(LANE)
    await page.click("#alerts a.act")
    await expect(page.locator(".why")).to_contain_text("unknown_item")
    await page.fill("input[name=reason]", "旧事项，确认停放")
    await page.click(".narrow button")
    assert await released(braked.settings) == 0, "without the confirmation the browser sends nothing"
    await page.check("input[name=confirm]")
    await shoot(page, "brake")
    async with page.expect_navigation():
        await page.click(".narrow button")
    assert await released(braked.settings) == 1
    until = time.monotonic() + 40
    while len(lines := await ledger(braked.settings)) < CASES and time.monotonic() < until:
        await asyncio.sleep(0.2)
    assert [line["disposition"] for line in lines] == ["parked"] * CASES
    await expect(alert).to_have_count(0, timeout=15_000)
    await page.click("nav >> text=审计")
    first = page.locator("tbody tr").first
    for text in ("admin", "放开停放闸", LANE, "旧事项，确认停放"):
        await expect(first).to_contain_text(text)


async def test_r24_nobody_else_and_nothing_less_lets_the_brake_off(
    braked: Braked, http: aiohttp.ClientSession
) -> None:
    good = {"reason": "旧事项，确认停放", "confirm": "yes"}
    url = f"{braked.url}/brake/{LANE}"
    await braked.console.accounts.create("looker", PASSWORD, [Role.VIEWER, Role.AUDITOR, Role.APPROVER])
    assert await log_in(http, braked, "looker", PASSWORD) == 303
    async with http.get(braked.url + "/cases") as answer:
        text = await answer.text()
        assert "停放闸已拉下" in text
        assert "/brake/" not in text
    csrf = await token(http, braked.url + "/")
    async with http.post(url, data=good | {"csrf": csrf}, allow_redirects=False) as answer:
        assert answer.status == 403
    http.cookie_jar.clear()
    await log_in(http, braked, "admin", PASSWORD)
    csrf = await token(http, braked.url + "/")
    for address, form, status in (
        (url, good, 403),
        (url, good | {"csrf": csrf, "reason": "x"}, 403),
        (url, good | {"csrf": csrf, "confirm": ""}, 409),
        (f"{braked.url}/brake/case.inbound-7", good | {"csrf": csrf}, 409),
    ):
        async with http.post(address, data=form, allow_redirects=False) as answer:
            assert answer.status == status, form
    assert await released(braked.settings) == 0


async def test_r26_an_operator_says_that_a_clock_is_right_and_names_the_jump(
    context: BrowserContext, site: Site
) -> None:
    site.log.commit([lane("deliver.platform-0", "open", clock_jump_ms=7_200_000)])
    page = await sign_in(context, site)
    await expect(page.locator("#alerts")).to_contain_text("+7200.0 s", timeout=15_000)
    await page.click("#alerts a.act >> text=新时间无误")
    await expect(page.locator("fieldset")).to_contain_text("deliver.platform-0")
    await page.fill("input[name=reason]", "机房校时，已核对")
    await page.check("input[name=confirm]")
    await shoot(page, "clock")
    async with page.expect_navigation():
        await page.click(".narrow button")
    ((key, command),) = await commands(site)
    assert (key, command.command, command.by) == ("platform", "acknowledge_clock", "admin")
    assert (command.jump_ms, command.reason) == (7_200_000, "机房校时，已核对")
    await page.click("nav >> text=审计")
    await expect(page.locator("tbody tr").first).to_contain_text("确认时钟无误")
