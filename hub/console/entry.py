"""Signing in and out, the language switch, accounts: the pages that change who is looking."""

import contextlib
import secrets
from typing import Final
from urllib.parse import urlsplit

import asyncpg
from litestar import get, post
from litestar.datastructures import Cookie
from litestar.response import Redirect, Response

from hub.console import queries
from hub.console.accounts import Role, TooManyTries
from hub.console.database import DatabaseAway
from hub.console.sessions import COOKIE, LOGIN_COOKIE, SESSION_SECONDS_MAX
from hub.console.web import (
    LANGUAGE_COOKIE,
    AnyRequest,
    Forbidden,
    console_of,
    form_of,
    page,
    signed_in,
)

LOGIN_SECONDS_MAX: Final = 900
LANGUAGE_SECONDS: Final = 365 * 86_400
NAME_LENGTH_MAX: Final = 32
_WRONG: Final = ("用户名或口令不正确", "wrong name or password")
_TOO_MANY: Final = ("失败次数过多，请五分钟后再试", "too many failures, try again in five minutes")
_EXPIRED: Final = ("登录页已过期，请重试", "the login page has expired, try again")
_AWAY: Final = ("数据库不可用，暂时无法登录", "database away, signing in is not possible now")


def _cookie(request: AnyRequest, name: str, value: str, seconds: int) -> Cookie:
    secure = request.url.scheme == "https"
    return Cookie(key=name, value=value, max_age=seconds, httponly=True, samesite="strict", secure=secure)


@get("/login")
async def login_page(request: AnyRequest) -> Response[str]:
    """The login form."""
    return await _login(request, 200, None)


async def _login(
    request: AnyRequest, status: int, error: tuple[str, str] | None, name: str = ""
) -> Response[str]:
    nonce = secrets.token_hex(16)
    return await page(
        request,
        "login.html",
        None,
        status=status,
        cookies=[_cookie(request, LOGIN_COOKIE, nonce, LOGIN_SECONDS_MAX)],
        error=error,
        name=name,
        token=console_of(request).sessions.csrf(nonce),
    )


@post("/login", status_code=200)
async def log_in(request: AnyRequest) -> Response[str]:
    """Check name and password; every try is recorded, failures are bounded."""
    console = console_of(request)
    form = {key: str(value) for key, value in (await request.form()).items()}
    name = form.get("name", "").strip()[:NAME_LENGTH_MAX]
    nonce = request.cookies.get(LOGIN_COOKIE, "")
    if not nonce or not console.sessions.csrf_ok(nonce, form.get("csrf", "")):
        return await _login(request, 403, _EXPIRED, name)
    address = request.client.host if request.client else ""
    try:
        found = await console.accounts.log_in(name, form.get("password", ""), address)
        await console.accounts.note(name, "log_in" if found else "log_in_failed", address=address)
    except TooManyTries:
        return await _login(request, 429, _TOO_MANY, name)
    except DatabaseAway:
        return await _login(request, 503, _AWAY, name)
    if found is None:
        return await _login(request, 401, _WRONG, name)
    _, cookie = console.sessions.open(name, *found)
    return _to(
        "/", _cookie(request, COOKIE, cookie, SESSION_SECONDS_MAX), _cookie(request, LOGIN_COOKIE, "", 0)
    )


def _to(path: str, *cookies: Cookie) -> Response[str]:
    return Response("", status_code=303, headers={"Location": path}, cookies=list(cookies))


@post("/logout", status_code=200)
async def log_out(request: AnyRequest) -> Response[str]:
    """End the session in this browser."""
    session = await signed_in(request)
    await form_of(request, session)
    with contextlib.suppress(DatabaseAway):  # leaving must always be possible
        await console_of(request).accounts.note(session.name, "log_out")
    return _to("/login", _cookie(request, COOKIE, "", 0))


@get("/language/{code:str}")
async def language(request: AnyRequest) -> Redirect:
    """Switch between Chinese and English and come back to the page."""
    came_from = urlsplit(request.headers.get("referer", ""))
    back = came_from.path if came_from.netloc == request.url.netloc else "/"
    target = (
        back if back.startswith("/") and not back.startswith("//") and not back.endswith("/unmask") else "/"
    )
    value = "en" if request.path_params["code"] == "en" else "zh"
    return Redirect(target, cookies=[_cookie(request, LANGUAGE_COOKIE, value, LANGUAGE_SECONDS)])


@get("/accounts")
async def accounts_page(request: AnyRequest) -> Response[str]:
    """Accounts and their roles; for the one who manages them."""
    return await _accounts(request, 200, None)


async def _accounts(request: AnyRequest, status: int, error: tuple[str, str] | None) -> Response[str]:
    session = await signed_in(request)
    if not session.manages:
        raise Forbidden("只有账号管理员可以打开 / only for the account manager")
    try:
        rows = await queries.accounts(console_of(request).database)
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    return await page(
        request,
        "accounts.html",
        session,
        status=status,
        rows=rows,
        roles=[role.value for role in Role],
        error=error,
    )


@post("/accounts", status_code=200)
async def create_account(request: AnyRequest) -> Response[str]:
    """A new account with the ticked roles, recorded."""
    session = await signed_in(request)
    form = await form_of(request, session)
    if not session.manages:
        raise Forbidden("只有账号管理员可以打开 / only for the account manager")
    roles = [role for role in Role if form.get(f"role_{role.value}")]
    name = form.get("name", "").strip()[:NAME_LENGTH_MAX]
    accounts = console_of(request).accounts
    try:
        await accounts.note(session.name, "create_account", name, "、".join(roles))
        await accounts.create(name, form.get("password", ""), roles)
    except ValueError as error:
        zh, _, en = str(error).partition(" / ")
        return await _accounts(request, 400, (zh, en))
    except asyncpg.UniqueViolationError:
        return await _accounts(request, 409, ("账号已存在", "the account exists already"))
    except asyncpg.CheckViolationError:
        return await _accounts(
            request, 400, ("账号名须为小写字母开头的 2–32 位", "2–32 characters, a lower-case letter first")
        )
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    return _to("/accounts")
