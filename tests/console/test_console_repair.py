"""What an operator does on the console (R26, R27): every act is recorded, names its standstill, and reaches
the lane's own topic; many cases at once need a second person."""

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest
from playwright.async_api import BrowserContext, expect

from hub.console.accounts import Role
from hub.delivery.commands import decode
from hub.ids import dispatch_id
from hub.kafka import open_reader
from hub.repair import check_alone
from tests.console.conftest import PASSWORD, Site, sign_in
from tests.console.test_console_browser import shoot
from tests.console.test_console_http import http, log_in, token
from tests.ledger_topics import delivery, event, inbound, message, outcome, routed

__all__ = ["http"]

pytestmark = pytest.mark.console


async def commands(site: Site, member: str = "platform") -> list[tuple[str, Any]]:
    """What was handed to the member's lane: (key, command)."""
    async with open_reader(site.log.settings) as reader:
        topic = site.log.settings.topic(f"commands.delivery.{member}")
        starts = await reader.start_offsets(await reader.partitions([topic]))
        return [
            (record.key.decode(), decode(record.value))
            async for batch in reader.read_to_stable(starts)
            for record in batch
        ]


async def parked(site: Site, count: int) -> list[str]:
    """More cases that park at the platform for one cause, on record."""
    made = [message(f"more{number}") for number in range(count)]
    for one in made:
        site.log.commit([inbound(one), routed(one, ["platform"]), event(one), delivery(one, "platform")])
        site.log.commit([outcome(one, "platform", "parked", code="E400")])
    ids = [dispatch_id(one.id, "platform") for one in made]
    async with asyncio.timeout(20):
        while len(await site.console.database.fetch("SELECT 1 FROM dispatches WHERE code = 'E400'")) < count:
            await asyncio.sleep(0.05)
    return ids


async def test_r26_operator_settles_a_doubt_and_it_is_recorded_for_one_standstill(
    context: BrowserContext, site: Site
) -> None:
    page = await sign_in(context, site)
    await page.click("nav >> text=待处置")
    await page.click(".tabs >> text=存疑")
    await page.click("a.act >> text=处置")
    await expect(page.locator("h1")).to_contain_text("处置停下的派发")
    await page.check("input[value=settle_delivered]")
    await page.fill("input[name=evidence]", "成员流水号 20261122-77")
    await page.fill("input[name=reason]", "电话核实对方已入库")
    await shoot(page, "repair")
    await page.click(".narrow button")
    await expect(page.locator("h1")).to_contain_text(site.case)
    ((key, command),) = await commands(site)
    assert key == site.case
    assert (command.command, command.settled, command.by) == ("settle", "delivered", "admin")
    assert (command.reason, command.evidence) == ("电话核实对方已入库", "成员流水号 20261122-77")
    row = await site.console.database.row("SELECT * FROM dispatches WHERE outcome = 'in_doubt'")
    assert row is not None
    assert (command.dispatch, command.attempts) == (row["id"], row["attempts"])
    await page.click("nav >> text=审计")
    await expect(page.locator("tbody tr").first).to_contain_text("了结为已送达")


async def test_r26_only_an_operator_acts_and_only_with_token_and_reason(
    site: Site, http: aiohttp.ClientSession
) -> None:
    row = await site.console.database.row("SELECT * FROM dispatches WHERE outcome = 'in_doubt'")
    assert row is not None
    url = f"{site.url}/repair/dispatch/{row['id']}"
    good = {"act": "skip", "attempts": str(row["attempts"]), "reason": "成员确认不再需要"}
    await site.console.accounts.create("looker", PASSWORD, [Role.VIEWER, Role.AUDITOR, Role.APPROVER])
    assert await log_in(http, site, "looker", PASSWORD) == 303
    csrf = await token(http, site.url + "/")
    async with http.post(url, data=good | {"csrf": csrf}, allow_redirects=False) as answer:
        assert answer.status == 403
    http.cookie_jar.clear()
    await log_in(http, site, "admin", PASSWORD)
    csrf = await token(http, site.url + "/")
    for form, status in (
        (good, 403),
        (good | {"csrf": "0" * 64}, 403),
        (good | {"csrf": csrf, "reason": "x"}, 403),
        (good | {"csrf": csrf, "act": "redrive"}, 409),
        (good | {"csrf": csrf, "attempts": "99"}, 409),
    ):
        async with http.post(url, data=form, allow_redirects=False) as answer:
            assert answer.status == status, form
    assert await commands(site) == []


async def test_r27_bulk_redrive_waits_for_another_person_and_is_done_once(
    context: BrowserContext, site: Site, http: aiohttp.ClientSession
) -> None:
    ids = await parked(site, 3)
    page = await sign_in(context, site)
    await page.goto(site.url + "/bulk")
    await page.click("a.act >> text=试算")
    await expect(page.locator("#dryrun tbody tr")).to_have_count(3)
    await page.fill("#dryrun input[name=reason]", "对方已修复字段校验")
    await shoot(page, "bulk-dry-run")
    await page.click("text=提请第二人复核")
    await expect(page.locator("#done")).to_contain_text("待复核")
    await expect(page.locator("#done button")).to_have_count(0)
    act = await site.console.database.row("SELECT id FROM console_acts")
    assert act is not None
    assert await commands(site) == []

    await log_in(http, site, "admin", PASSWORD)
    form = {"csrf": await token(http, site.url + "/")}
    async with http.post(f"{site.url}/bulk/{act['id']}/second", data=form) as answer:
        assert answer.status == 409
        assert "提请人不能自己复核" in await answer.text()
    assert await commands(site) == []

    await site.console.accounts.create("second", PASSWORD, [Role.APPROVER])
    http.cookie_jar.clear()
    await log_in(http, site, "second", PASSWORD)
    form = {"csrf": await token(http, site.url + "/")}
    for _ in range(2):
        async with http.post(f"{site.url}/bulk/{act['id']}/second", data=form) as answer:
            assert answer.status == 200
            assert "已执行" in await answer.text()
    given = await commands(site)
    assert sorted(command.dispatch for _, command in given) == sorted(ids)
    assert {(command.by, command.approved_by, command.act) for _, command in given} == {
        ("admin", "second", act["id"])
    }
    await page.reload()
    await shoot(page, "bulk-done")


async def test_r27_alone_within_the_limit_is_done_at_once_and_shown_until_countersigned(
    site: Site, http: aiohttp.ClientSession
) -> None:
    ids = await parked(site, 2)
    await log_in(http, site, "admin", PASSWORD)
    csrf = await token(http, site.url + "/")
    form = {
        "csrf": csrf, "member": "platform", "code": "E400", "count": "2", "how": "alone",
        "reason": "夜间值班，对方已恢复",
    }  # fmt: skip
    async with http.post(site.url + "/bulk", data=form) as answer:
        assert "待补签" in await answer.text()
    assert sorted(command.dispatch for _, command in await commands(site)) == sorted(ids)
    await site.console.database.execute("UPDATE console_acts SET at = now() - interval '25 hours'")
    async with http.get(site.url + "/bulk") as answer:
        assert "逾期未补签" in await answer.text()
    small = msgspec.structs.replace(site.log.settings, redrive_alone_max=1)
    with pytest.raises(Exception, match="R27"):
        check_alone(small, site.console.directory.members["platform"].delivery.guarantee, 2)


async def test_r27_one_person_suspends_a_member(context: BrowserContext, site: Site) -> None:
    page = await sign_in(context, site)
    await page.click("#members >> text=海口市市场监督管理局")
    await page.fill("input[name=reason]", "对方夜间升级，暂停投递")
    await shoot(page, "member")
    async with page.expect_navigation():
        await page.click(".narrow button")
    member = page.url.rpartition("/")[2]
    ((key, command),) = await commands(site, member)
    assert (key, command.command) == (member, "suspend")
