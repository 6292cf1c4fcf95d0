"""The console in a browser, as an operator uses it: R25 (honest pages) and R26 (identity from the first
page)."""

import os
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.console.conftest import Site, sign_in
from tests.ledger_topics import inbound, message, whole_case

pytestmark = pytest.mark.console

PERSON = "王小明"
NUMBER = "460106199001011234"


async def shoot(page: Page, name: str) -> None:
    """Screenshots for the documentation, only when asked for: HUB_SCREENSHOTS=directory."""
    directory = os.environ.get("HUB_SCREENSHOTS")
    if directory:
        await page.screenshot(path=str(Path(directory) / f"{name}.png"), full_page=True)


async def test_an_operator_sees_both_ledgers_members_and_topics(context: BrowserContext, site: Site) -> None:
    page = await sign_in(context, site)
    await expect(page.locator("#ledgers .verdict")).to_contain_text("账平", timeout=20_000)
    figures = await page.locator("#ledgers .figure").all_inner_texts()
    assert {"46\n接收", "85\n派发", "2\n已停放", "1\n存疑", "0\n在途"} <= set(figures)
    await expect(page.locator("#members")).to_contain_text("熔断")
    await expect(page.locator("#members")).to_contain_text("海口市市场监督管理局")
    await expect(page.locator("#topics")).to_contain_text("case.inbound")
    await shoot(page, "overview")
    site.log.commit(whole_case(message("live")))
    site.log.commit(site.log.positions_at_end())
    await expect(page.locator("#ledgers")).to_contain_text("47", timeout=15_000)


async def test_a_lost_message_is_told_in_red(context: BrowserContext, site: Site) -> None:
    page = await sign_in(context, site)
    site.log.commit([inbound(message("lost"))])
    site.log.commit(site.log.positions_at_end())
    await expect(page.locator("#ledgers .verdict.bad")).to_contain_text("账不平", timeout=20_000)
    await expect(page.locator(".problems")).to_contain_text("lost_message")


async def test_a_case_is_shown_through_every_system(context: BrowserContext, site: Site) -> None:
    page = await sign_in(context, site)
    await page.fill(".find input", site.case)
    await page.click(".find button")
    await page.click(f"a.id >> text={site.case}")
    entries = page.locator(".timeline > li")
    await expect(entries).to_have_count(5)
    await expect(page.locator(".timeline")).to_contain_text("超过 30 字")
    await expect(page.locator(".timeline")).to_contain_text("同一来源键内容不同")
    await expect(page.locator(".timeline")).to_contain_text("存疑")
    await page.locator(".timeline details summary").first.click()
    await shoot(page, "case")


async def test_what_stands_still_is_listed_with_reason_and_queue(context: BrowserContext, site: Site) -> None:
    page = await sign_in(context, site)
    await page.click("nav >> text=待处置")
    rows = page.locator("#list tbody tr")
    await expect(rows).to_have_count(2)
    await expect(page.locator("#list")).to_contain_text(site.parked)
    await expect(page.locator("#list")).to_contain_text("停放原因")
    await page.locator("#list details summary").click()
    await expect(page.locator("#list details li")).to_have_count(1)
    await shoot(page, "parked")
    await page.click(".tabs >> text=等待中")
    await expect(page.locator("#list")).to_contain_text(site.held)
    await page.click(".tabs >> text=存疑")
    await expect(page.locator("#list")).to_contain_text("呼叫超时")


async def test_the_language_switch(context: BrowserContext, site: Site) -> None:
    page = await sign_in(context, site)
    await page.goto(f"{site.url}/cases/{site.case}")
    await page.click("text=English")
    await expect(page.locator("h1")).to_contain_text("Case")
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await expect(page.locator(".bar")).to_contain_text("Overview")
    await shoot(page, "case-en")


async def test_r26_identifiers_are_masked_and_unmasking_is_recorded(
    context: BrowserContext, site: Site
) -> None:
    page = await sign_in(context, site)
    await page.goto(f"{site.url}/cases/{site.case}")
    html = await page.content()
    assert PERSON not in html
    assert NUMBER not in html
    await page.click("text=查看完整信息")
    await page.fill("input[name=reason]", "申请人来电查询办件进度")
    await page.click(".unmask button")
    await expect(page.locator("main")).to_contain_text(NUMBER)
    await shoot(page, "unmasked")
    await page.click("nav >> text=审计")
    first = page.locator("tbody tr").first
    for text in ("admin", "查看完整信息", site.case, "申请人来电查询办件进度"):
        await expect(first).to_contain_text(text)
    await shoot(page, "audit")


async def test_r25_every_page_says_data_as_of(context: BrowserContext, site: Site) -> None:
    page = await sign_in(context, site)
    for path in (
        "/",
        "/cases",
        f"/cases/{site.case}",
        "/standing/parked",
        "/standing/held",
        "/audit",
        "/accounts",
    ):
        await page.goto(site.url + path)
        await expect(page.locator("#fresh")).to_contain_text("数据截至")
        assert "stale" not in (await page.locator("#fresh").get_attribute("class") or "")


async def test_the_pages_ask_nothing_of_other_hosts(context: BrowserContext, site: Site) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    errors: list[str] = []
    page = await sign_in(context, site)
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    await page.goto(f"{site.url}/standing/parked")
    await page.wait_for_timeout(2_500)
    assert [url for url in asked if not url.startswith((site.url, "data:"))] == []
    assert errors == []


async def test_a_connection_that_is_lost_is_told_on_the_page(context: BrowserContext, site: Site) -> None:
    page = await sign_in(context, site)
    await context.set_offline(True)
    await expect(page.locator("#offline")).to_be_visible(timeout=8_000)
    await context.set_offline(False)
    await expect(page.locator("#offline")).to_be_hidden(timeout=8_000)


async def test_the_login_page(context: BrowserContext, site: Site) -> None:
    page = await context.new_page()
    await page.goto(site.url + "/audit")
    await expect(page.locator("h1")).to_contain_text("运维控制台")
    await shoot(page, "login")
    await page.fill("input[name=name]", "admin")
    await page.fill("input[name=password]", "wrong password")
    await page.click(".login button")
    await expect(page.locator(".error")).to_contain_text("不正确")
