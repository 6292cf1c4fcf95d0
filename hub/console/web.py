"""What every page shares: the console's parts, who is signed in, the frame around a page with its "data as
of". No page of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final

import jinja2
from litestar import Request
from litestar.datastructures import Cookie
from litestar.response import Response

from hub.config import Settings
from hub.console import describe, queries
from hub.console.accounts import REASON_LENGTH_MAX, REASON_LENGTH_MIN, Accounts, Role
from hub.console.database import Database, DatabaseAway
from hub.console.labels import DISPOSITIONS, LANE_STATES, MEMBER_KINDS, OUTCOMES, ROLES, STAGES, TOPICS
from hub.console.live import Live
from hub.console.sessions import COOKIE, Session, Sessions
from hub.directory import Directory
from hub.expiry import ExpiryWatch
from hub.projector.masking import mask_text

LANGUAGE_COOKIE: Final = "govhub_lang"
STALE_SECONDS: Final = 10
# The ledger is read every two seconds while somebody looks; so long without a new one means Kafka is away.
LEDGER_STALE_SECONDS: Final = 15
PATH_LENGTH_MAX: Final = 64
HTML: Final = "text/html; charset=utf-8"
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class NotSignedIn(Exception):
    """No valid session: the login page follows."""


class Forbidden(Exception):
    """Signed in, but without the role or the form token; the text is shown."""


@dataclass(frozen=True)
class Freshness:
    """How old what the page shows is. stale: shown in red."""

    text: str
    stale: bool
    reason: str


@dataclass(frozen=True)
class Console:
    """The parts of the role, put together in app.py."""

    settings: Settings
    database: Database
    accounts: Accounts
    sessions: Sessions
    live: Live
    directory: Directory
    templates: jinja2.Environment
    expiry: ExpiryWatch


AnyRequest = Request[Any, Any, Any]


def console_of(request: AnyRequest) -> Console:
    """The console this request came to."""
    found: Console = request.app.state.console
    return found


async def signed_in(request: AnyRequest, *roles: Role) -> Session:
    """The session of this request, with one of the roles if any are named. Raises NotSignedIn, Forbidden."""
    console = console_of(request)
    session = console.sessions.read(request.cookies.get(COOKIE, ""))
    if session is None:
        raise NotSignedIn
    try:
        if not await console.accounts.active(session.name):
            raise NotSignedIn
    except DatabaseAway:
        pass  # the seal is proof enough to look on while the database is away
    if roles and not session.may(*roles):
        raise Forbidden(
            "需要角色 / needs one of the roles: " + "、".join(f"{ROLES[role][0]} {role}" for role in roles)
        )
    return session


async def form_of(request: AnyRequest, session: Session) -> Mapping[str, str]:
    """The posted form, its token checked. Raises Forbidden."""
    form = {key: str(value) for key, value in (await request.form()).items()}
    if not console_of(request).sessions.csrf_ok(session.nonce, form.get("csrf", "")):
        raise Forbidden("表单已过期，请返回重试 / the form has expired, go back and try again")
    return form


def path_of(request: AnyRequest, name: str) -> str:
    """A part of the address, bounded."""
    return str(request.path_params[name])[:PATH_LENGTH_MAX]


def reason_of(form: Mapping[str, str]) -> str:
    """Why an act is done. Raises Forbidden without a reason of sensible length."""
    reason = form.get("reason", "").strip()
    if not REASON_LENGTH_MIN <= len(reason) <= REASON_LENGTH_MAX:
        raise Forbidden(
            f"请填写理由（{REASON_LENGTH_MIN} 至 {REASON_LENGTH_MAX} 字）/ a reason is needed "
            f"({REASON_LENGTH_MIN} to {REASON_LENGTH_MAX} characters)"
        )
    return reason


async def note_act(request: AnyRequest, session: Session, act: str, object_: str, reason: str) -> None:
    """Before the act: what cannot be recorded is not done (R26). Raises DatabaseAway."""
    address = request.client.host if request.client else ""
    await console_of(request).accounts.note(session.name, act, object_, reason, address)


def see_other(path: str) -> Response[Any]:
    """After an act: the page that shows what became of it."""
    return Response("", status_code=303, headers={"Location": path})


def is_chinese(request: AnyRequest) -> bool:
    """Chinese unless the switch was set to English."""
    return request.cookies.get(LANGUAGE_COOKIE, "zh") != "en"


async def freshness(console: Console, chinese: bool) -> Freshness:
    """R25: the time up to which every record is in the tables; stale when the projector lags or PostgreSQL
    is away."""
    try:
        found = await queries.freshness(console.database)
    except DatabaseAway:
        return Freshness("—", True, "数据库不可用" if chinese else "database away")
    if found is None:
        return Freshness("—", True, "投影未运行" if chinese else "projector has not reported")
    as_of, lag = found
    age = (datetime.now(UTC) - as_of).total_seconds()
    if age <= STALE_SECONDS:
        return Freshness(describe.moment(as_of), False, "")
    reason = (
        f"投影落后 {int(age)} 秒，{lag} 条" if chinese else f"projector {int(age)} s behind, {lag} records"
    )
    return Freshness(describe.moment(as_of), True, reason)


async def page(
    request: AnyRequest,
    template: str,
    session: Session | None,
    *,
    status: int = 200,
    cookies: list[Cookie] | None = None,
    **values: object,
) -> Response[str]:
    """A whole page in its frame, with its "data as of"."""
    shown = await freshness(console_of(request), is_chinese(request)) if session else None
    return frame(request, template, session, shown, status=status, cookies=cookies, **values)


def frame(
    request: AnyRequest,
    template: str,
    session: Session | None,
    shown: Freshness | None,
    *,
    status: int = 200,
    cookies: list[Cookie] | None = None,
    **values: object,
) -> Response[str]:
    """The frame alone, for pages that show no data."""
    console = console_of(request)
    chinese = is_chinese(request)
    snapshot = console.live.touch() if session else None
    text = console.templates.get_template(template).render(
        zh=chinese,
        t=(lambda zh, en: zh) if chinese else (lambda zh, en: en),
        label=lambda table, key: _label(table, str(key), chinese),
        member=lambda id_: _member(console, id_, chinese),
        type_label=lambda type_: describe.type_label(type_, chinese),
        moment=describe.moment,
        masked=mask_text,
        session=session,
        csrf=console.sessions.csrf(session.nonce) if session else "",
        fresh=shown,
        expiring=[one.text(chinese) for one in console.expiry.due] if session else [],
        braked=snapshot.braked if snapshot else (),
        jumped=snapshot.jumped if snapshot else (),
        path=request.url.path,
        **values,
    )
    return Response(text, status_code=status, media_type=HTML, headers=HEADERS, cookies=cookies or [])


_TABLES: Final = {
    "disposition": DISPOSITIONS,
    "outcome": OUTCOMES,
    "lane": LANE_STATES,
    "kind": MEMBER_KINDS,
    "role": ROLES,
    "stage": STAGES,
    "topic": TOPICS,
}


def _label(table: str, key: str, chinese: bool) -> str:
    pair = _TABLES[table].get(key)
    return (pair[0] if chinese else pair[1]) if pair else key


def _member(console: Console, id_: str, chinese: bool) -> str:
    if id_ == "hub":
        return "枢纽" if chinese else "hub"
    member = console.directory.members.get(id_)
    return (member.name_zh if chinese else member.name_en) if member else id_


def environment() -> jinja2.Environment:
    """The templates of this package; every value is escaped."""

    def read(name: str) -> str | None:
        source = files("hub.console").joinpath("templates", name)
        return source.read_text("utf-8") if source.is_file() else None

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
