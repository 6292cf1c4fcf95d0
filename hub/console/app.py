"""Role console: puts its parts together, serves the pages and its own health. Start and stop order live
here."""

import asyncio
from importlib.resources import files
from typing import Any, Final

import structlog
from litestar import Litestar, get
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.response import Redirect, Response

from hub import directory
from hub.config import Settings
from hub.console import entry, lanes, notices, pages, repair
from hub.console.accounts import Accounts
from hub.console.database import Database, DatabaseAway
from hub.console.live import Live
from hub.console.sessions import COOKIE, Sessions
from hub.console.web import AnyRequest, Console, Forbidden, NotSignedIn, console_of, environment, frame
from hub.ending import ended
from hub.expiry import ExpiryWatch, folders_of
from hub.gateway import server
from hub.health import CONTENT_TYPE, render_metrics
from signing.digest import hmac_sm3

BODY_BYTES_MAX: Final = 64 * 1024
FIRST_ACCOUNT_RETRY_SECONDS: Final = 2.0
STATIC: Final = {"console.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8"}

log = structlog.get_logger("console")


def build(settings: Settings) -> Console:
    """The console's parts. Raises DirectoryError."""
    database = Database(settings.database_url)
    key = hmac_sm3(settings.token_key, b"GOVHUB-CONSOLE-SESSION-1") if settings.token_key else b""
    return Console(
        settings=settings,
        database=database,
        accounts=Accounts(database),
        sessions=Sessions(key),
        live=Live(settings),
        directory=directory.load(settings.directory_dir, region=settings.region),
        templates=environment(),
        expiry=ExpiryWatch(folders_of(settings), settings.data_dir / "certificates-told.json"),
    )


def build_app(console: Console) -> Litestar:
    """The ASGI application with every route."""
    return Litestar(
        route_handlers=[
            *(pages.overview, pages.cases, pages.timeline, pages.unmask, pages.standing, pages.audit),
            notices.notice,
            *(repair.standstill_page, repair.act_on_standstill, repair.parked_case_page, repair.redrive_case),
            *(repair.member_page, repair.switch_member),
            *(lanes.brake_page, lanes.release_brake, lanes.clock_page, lanes.acknowledge_clock),
            *(repair.bulk_page, repair.propose_bulk, repair.second_person),
            *(entry.login_page, entry.log_in, entry.log_out, entry.language),
            *(entry.accounts_page, entry.create_account),
            *(static, healthz, readyz, metrics),
        ],
        state=State({"console": console}),
        exception_handlers={
            NotSignedIn: _on_not_signed_in,
            Forbidden: _on_forbidden,
            HTTPException: _on_http,
            Exception: _on_failure,
        },
        request_max_body_size=BODY_BYTES_MAX,
        openapi_config=None,
        debug=False,
    )


@get("/static/{name:str}", sync_to_thread=False)
def static(request: AnyRequest) -> Response[bytes]:
    """Style sheet and refresh script."""
    name = request.path_params["name"]
    if name not in STATIC:
        return Response(b"", status_code=404)
    content = files("hub.console").joinpath("static", name).read_bytes()
    return Response(content, media_type=STATIC[name], headers={"Cache-Control": "max-age=300"})


@get("/healthz", sync_to_thread=False)
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@get("/readyz", sync_to_thread=False)
def readyz(request: AnyRequest) -> Response[dict[str, str]]:
    """Ready while Kafka answers; PostgreSQL is not asked (R25: pages say themselves what is away)."""
    error = console_of(request).live.snapshot.error
    return Response({"status": error or "ready"}, status_code=503 if error else 200)


@get("/metrics", sync_to_thread=False)
def metrics(request: AnyRequest) -> Response[bytes]:
    """The ledger as last read, for a scraper."""
    snapshot = console_of(request).live.snapshot
    values: dict[str, float] = {"govhub_console_ledger_at_seconds": snapshot.at}
    if snapshot.report is not None:
        report = snapshot.report
        for name in report.messages.__struct_fields__:
            values[f'govhub_ledger_messages{{state="{name}"}}'] = getattr(report.messages, name)
        for name in report.dispatches.__struct_fields__:
            values[f'govhub_ledger_dispatches{{state="{name}"}}'] = getattr(report.dispatches, name)
    return Response(render_metrics(values).encode(), media_type=CONTENT_TYPE)


def _on_not_signed_in(_: AnyRequest, __: Exception) -> Response[Any]:
    return Redirect("/login")


def _on_forbidden(request: AnyRequest, error: Exception) -> Response[str]:
    return _told(request, 403, str(error))


def _on_http(request: AnyRequest, error: Exception) -> Response[str]:
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = "没有这个页面 / there is no such page" if status == 404 else f"请求无效 / bad request ({status})"
    return _told(request, status, text)


def _on_failure(request: AnyRequest, error: Exception) -> Response[str]:
    log.error("page_failed", path=request.url.path, exc_info=error)
    return _told(request, 500, "页面出错，已记录 / the page failed; this was logged")


def _told(request: AnyRequest, status: int, text: str) -> Response[str]:
    session = console_of(request).sessions.read(request.cookies.get(COOKIE, ""))
    return frame(request, "told.html", session, None, status=status, text=text)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until stop is set. Needs Kafka and PostgreSQL, but starts and stays up without either."""
    console = build(settings)
    listening = server.bind(settings.console_listen)
    async with asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(console.live.run(), name="ledger"),
            tasks.create_task(_first_account(console), name="first account"),
            tasks.create_task(console.expiry.run(), name="certificates"),
        ]
        try:
            await server.run(build_app(console), [listening], stop)
        finally:
            await asyncio.gather(*(ended(task) for task in background))
    await console.database.close()


async def _first_account(console: Console) -> None:
    while True:
        try:
            await console.accounts.ensure_first(console.settings.console_admin_password)
        except DatabaseAway:
            await asyncio.sleep(FIRST_ACCOUNT_RETRY_SECONDS)
        else:
            return
