"""Notices on the console: listed on the case's page, taken by those who may see whom they are for, and each
taking is on record."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import aiohttp
import asyncpg
import pytest

from hub.console.accounts import Role
from hub.notices import store
from signing.digest import sm3_hex
from tests.console.conftest import PASSWORD, Site
from tests.console.test_console_http import log_in


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def lay_down(site: Site, ofd: bytes, pdf: bytes) -> str:
    """A notice of the rich case as the role leaves it."""
    id_ = secrets.token_hex(16)
    folder = store.notices_folder(site.console.settings)
    store.keep(store.file_of(folder, id_, "ofd"), ofd)
    store.keep(store.file_of(folder, id_, "pdf"), pdf)
    connection = await asyncpg.connect(site.console.settings.database_url)
    try:
        await store.create_schema(connection)
        await connection.execute(
            "INSERT INTO notices VALUES ($1, $2, $3, 'accepted', '受理通知书', now(), $4, $5)",
            *(id_, f"e-{id_}", site.case, sm3_hex(ofd), sm3_hex(pdf)),
        )
    finally:
        await connection.close()
    return id_


async def test_r26_a_notice_is_listed_taken_and_the_taking_recorded(
    site: Site, http: aiohttp.ClientSession
) -> None:
    id_ = await lay_down(site, b"PK ofd", b"%PDF pdf")
    async with http.get(f"{site.url}/notices/{id_}.ofd", allow_redirects=False) as answer:
        assert answer.headers["Location"] == "/login"
    await log_in(http, site, "admin", PASSWORD)
    async with http.get(f"{site.url}/cases/{site.case}") as answer:
        page = await answer.text()
    assert "受理通知书" in page
    assert f"/notices/{id_}.ofd" in page
    for form, content in (("ofd", b"PK ofd"), ("pdf", b"%PDF pdf")):
        async with http.get(f"{site.url}/notices/{id_}.{form}") as answer:
            assert (answer.status, await answer.read()) == (200, content)
            assert answer.headers["Content-Type"].startswith(f"application/{form}")
            assert answer.headers["Content-Disposition"].startswith("attachment")
    async with http.get(site.url + "/audit") as answer:
        trail = await answer.text()
    assert trail.count("下载通知书") == 2
    assert f"{id_}.pdf" in trail


async def test_r26_who_may_not_unmask_may_not_take_a_notice(site: Site, http: aiohttp.ClientSession) -> None:
    id_ = await lay_down(site, b"PK ofd", b"%PDF pdf")
    await site.console.accounts.create("viewer2", PASSWORD, [Role.VIEWER])
    await log_in(http, site, "viewer2", PASSWORD)
    async with http.get(f"{site.url}/cases/{site.case}") as answer:
        page = await answer.text()
    assert "受理通知书" in page
    assert f"/notices/{id_}" not in page
    async with http.get(f"{site.url}/notices/{id_}.ofd") as answer:
        assert answer.status == 403


async def test_a_file_that_was_changed_is_not_handed_out(site: Site, http: aiohttp.ClientSession) -> None:
    id_ = await lay_down(site, b"PK ofd", b"%PDF pdf")
    path = store.file_of(store.notices_folder(site.console.settings), id_, "ofd")
    path.write_bytes(b"PK other")
    await log_in(http, site, "admin", PASSWORD)
    for name in (f"{id_}.ofd", f"{id_}.exe", f"{'0' * 32}.ofd", "..%2F..%2Fetc%2Fpasswd", "x"):
        async with http.get(f"{site.url}/notices/{name}") as answer:
            assert answer.status == 404, name
