"""The console over HTTP, without a browser: who may do what (R26), and what it shows when something is away
(R25)."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import msgspec
import pytest

from hub.console.accounts import TRIES_MAX, Role
from hub.console.app import build
from hub.console.sessions import COOKIE, Sessions
from tests.console.conftest import PASSWORD, RESTORING, Served, Site, serving
from tests.ledger_topics import Log, whole_case
from tests.ledger_topics import message as case_message
from tests.servers import Kafka


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def token(http: aiohttp.ClientSession, url: str) -> str:
    async with http.get(url) as answer:
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', await answer.text())
    assert found
    return found[1]


async def log_in(http: aiohttp.ClientSession, site: Served, name: str, password: str) -> int:
    form = {"csrf": await token(http, site.url + "/login"), "name": name, "password": password}
    async with http.post(site.url + "/login", data=form, allow_redirects=False) as answer:
        return answer.status


async def test_r26_every_page_needs_a_session(site: Site, http: aiohttp.ClientSession) -> None:
    for path in ("/", "/cases", f"/cases/{site.case}", "/standing/parked", "/audit", "/accounts"):
        async with http.get(site.url + path, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "/login"), path
    async with http.post(f"{site.url}/cases/{site.case}/unmask", allow_redirects=False) as answer:
        assert answer.headers["Location"] == "/login"


async def test_r26_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(
    site: Site, http: aiohttp.ClientSession
) -> None:
    form = {"csrf": await token(http, site.url + "/login"), "name": "admin", "password": PASSWORD}
    async with http.post(site.url + "/login", data=form, allow_redirects=False) as answer:
        cookie = next(line for line in answer.headers.getall("Set-Cookie") if line.startswith(COOKIE))
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


async def test_r26_a_viewer_may_neither_unmask_nor_read_the_audit_trail(
    site: Site, http: aiohttp.ClientSession
) -> None:
    await site.console.accounts.create("viewer1", PASSWORD, [Role.VIEWER])
    assert await log_in(http, site, "viewer1", PASSWORD) == 303
    csrf = await token(http, site.url + "/")
    form = {"csrf": csrf, "reason": "只是好奇看看"}
    async with http.post(f"{site.url}/cases/{site.case}/unmask", data=form) as answer:
        assert answer.status == 403
        assert "460106199001011234" not in await answer.text()
    for path in ("/audit", "/accounts"):
        async with http.get(site.url + path) as answer:
            assert answer.status == 403, path


async def test_r26_unmasking_needs_a_reason_and_the_forms_token(
    site: Site, http: aiohttp.ClientSession
) -> None:
    await log_in(http, site, "admin", PASSWORD)
    csrf = await token(http, site.url + "/")
    for form in (
        {"csrf": csrf, "reason": " "},
        {"reason": "申请人来电查询"},
        {"csrf": "0" * 64, "reason": "申请人来电"},
    ):
        async with http.post(f"{site.url}/cases/{site.case}/unmask", data=form) as answer:
            assert answer.status == 403, form
    async with http.get(site.url + "/audit") as answer:
        assert "查看完整信息" not in await answer.text()


async def test_r26_the_audit_trail_can_only_grow(site: Site) -> None:
    await site.console.accounts.note("admin", "unmask", "46X", "理由理由")
    connection = await asyncpg.connect(site.log.settings.database_url)
    await connection.execute("DELETE FROM console_audit")
    await connection.execute("UPDATE console_audit SET person = 'somebody else'")
    assert await connection.fetchval("SELECT person FROM console_audit WHERE act = 'unmask'") == "admin"
    await connection.close()


async def test_r26_guessing_passwords_is_bounded(site: Site, http: aiohttp.ClientSession) -> None:
    statuses = [await log_in(http, site, "admin", f"wrong {n}") for n in range(TRIES_MAX)]
    assert statuses == [401] * TRIES_MAX
    assert await log_in(http, site, "admin", PASSWORD) == 429


async def test_r26_a_disabled_account_loses_its_session(site: Site, http: aiohttp.ClientSession) -> None:
    await log_in(http, site, "admin", PASSWORD)
    await site.console.database.execute("UPDATE console_accounts SET disabled = true WHERE name = 'admin'")
    async with http.get(site.url + "/cases", allow_redirects=False) as answer:
        assert answer.headers["Location"] == "/login"


def test_r26_a_forged_or_expired_session_is_none() -> None:
    sessions, other = Sessions(b"k" * 32), Sessions(b"o" * 32)
    session, cookie = sessions.open("admin", [Role.AUDITOR], False)
    assert sessions.read(cookie) == session
    forged = msgspec.json.encode(msgspec.structs.replace(session, roles=(Role.OPERATOR,)))
    for wrong in (
        "",
        "x",
        cookie[:-1] + "0",
        other.open("admin", [], False)[1],
        other._seal(forged),
        "a" * 5_000,
    ):
        assert sessions.read(wrong) is None
    old = msgspec.structs.replace(session, expires_s=1)
    assert sessions.read(sessions._seal(msgspec.json.encode(old))) is None


async def test_r25_a_lagging_projector_turns_every_page_red(site: Site, http: aiohttp.ClientSession) -> None:
    await log_in(http, site, "admin", PASSWORD)
    # From now on the projector's reports say that it is an hour behind.
    await site.console.database.execute(
        "CREATE FUNCTION behind() RETURNS trigger AS $$ "
        "BEGIN NEW.as_of := now() - interval '1 hour'; NEW.lag := 7; RETURN NEW; END $$ LANGUAGE plpgsql"
    )
    await site.console.database.execute(
        "CREATE TRIGGER behind BEFORE INSERT OR UPDATE ON projector_status "
        "FOR EACH ROW EXECUTE FUNCTION behind()"
    )
    await asyncio.sleep(2.5)
    for path in ("/", "/cases", f"/cases/{site.case}", "/standing/held", "/audit"):
        async with http.get(site.url + path) as answer:
            html = await answer.text()
        assert re.search(r'id="fresh"[^>]*class="fresh stale"', html), path
        assert "投影落后" in html


async def test_r25_ledgers_and_lanes_do_not_depend_on_postgresql(
    kafka: Kafka, topic_prefix: str, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    away = "postgresql://nobody:x@127.0.0.1:9/none"
    log = await Log.create(kafka.bootstrap, topic_prefix, tmp_path, database_url=away)
    log.commit(whole_case(case_message("c1")))
    log.commit([RESTORING])
    log.commit(log.positions_at_end())
    console = build(log.settings)
    async with serving(console) as url:
        _, cookie = console.sessions.open("admin", [Role.VIEWER], False)
        http.cookie_jar.update_cookies({COOKIE: cookie})
        html = ""
        async with asyncio.timeout(30):
            while "无丢失、无重复、无在途" not in html:
                async with http.get(url + "/") as answer:
                    assert answer.status == 200
                    html = await answer.text()
                await asyncio.sleep(0.3)
        assert 'class="fresh stale"' in html
        assert "数据库不可用" in html
        assert "40,000 条" in html, "how far a lane's restore is"
        async with http.get(url + "/cases") as answer:
            assert answer.status == 503
            assert "消息交换不受影响" in await answer.text()
        async with http.get(url + "/readyz") as answer:
            assert answer.status == 200
        async with http.get(url + "/metrics") as answer:
            assert 'govhub_ledger_dispatches{state="delivered"} 2' in await answer.text()


async def test_odd_addresses_are_answered_plainly(site: Site, http: aiohttp.ClientSession) -> None:
    await log_in(http, site, "admin", PASSWORD)
    for path, status in (
        ("/nothing", 404),
        ("/cases/%3Cscript%3E", 404),
        ("/cases?q=%25_%5C", 200),
        ("/standing/x", 200),
    ):
        async with http.get(site.url + path) as answer:
            assert answer.status == status, path
            assert "<script>" not in (await answer.text()).replace('<script src="/static/live.js" defer>', "")
    async with http.post(site.url + "/login", data={"name": "x" * 200_000}) as answer:
        assert answer.status == 413
