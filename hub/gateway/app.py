"""The gateway role: every part put together once, in the order in which it starts and stops.

No message logic: intake.py accepts, the doors (rest, soap, files) translate.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final, cast

import msgspec
import structlog
from litestar import Litestar, Request
from litestar.exceptions import HTTPException
from litestar.response import Response
from litestar.types import ASGIApp, ControllerRouterHandler, HTTPScope, Receive, Scope, Send

from hub import directory
from hub.config import Settings, SettingsError
from hub.ending import ended
from hub.gateway import docs_page, evidence, files, health, hub_door, registry, rest, server, sp_door, status
from hub.gateway.callers import Callers, caller_of
from hub.gateway.errors import Rejected
from hub.gateway.intake import Intake
from hub.gateway.known import Known
from hub.gateway.metrics import Metrics
from hub.gateway.producer import PatientProducer
from hub.gateway.records import Records
from hub.gateway.store import FileStore
from hub.gateway.wire import rejection, send_json, send_rejection
from hub.tables import follow_directory
from signing.digest import hmac_sm3

log = structlog.get_logger()

REQUESTS_IN_FLIGHT_MAX: Final = 1_000
# What a probe or an operator asks must be answered while members are being told to wait.
_ALWAYS: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class Context(msgspec.Struct, frozen=True):
    """What the gateway's doors work with."""

    settings: Settings
    callers: Callers
    producer: PatientProducer
    known: Known
    records: Records | None
    store: FileStore
    metrics: Metrics


def build_app(context: Context) -> ASGIApp:
    """The ASGI application with every route."""
    settings = context.settings
    intake = Intake(
        context.producer,
        context.known,
        context.metrics,
        province=settings.province,
        pseudonym_key=settings.pseudonym_key,
        record_bytes_max=settings.body_bytes_max,
    )
    app = Litestar(
        route_handlers=list(_handlers(context, intake)),
        openapi_config=None,
        exception_handlers={Rejected: _on_rejected, HTTPException: _on_http, Exception: _on_failure},
        request_max_body_size=None,
        debug=False,
    )
    messages = rest.door(context.callers, intake, context.metrics, body_bytes_max=settings.body_bytes_max)
    return _Gate(app, messages, context.metrics)


def _handlers(context: Context, intake: Intake) -> Iterable[ControllerRouterHandler]:
    settings = context.settings
    yield from sp_door.routes(
        context.callers, intake, context.metrics, province=settings.province, url=settings.gateway_url
    )
    answers = status.Status(context.records, context.known)
    yield from hub_door.routes(context.callers, intake, answers, context.metrics, url=settings.gateway_url)
    yield from status.routes(context.callers, answers)
    receipts = evidence.Receipts(settings, context.records)
    yield from evidence.routes(context.callers, answers, receipts)
    store = files.Files(context.callers, context.store, context.records, settings.file_bytes_max)
    yield from files.routes(context.callers, store)
    yield from registry.routes()
    yield from docs_page.routes(url=settings.gateway_url)
    yield from health.routes(context.producer, context.metrics)


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    *,
    listening: socket.socket | None = None,
    env: Mapping[str, str] = os.environ,
) -> None:
    """Run the gateway until `stop`. It starts without its broker and without PostgreSQL and answers 503 for
    what it cannot do meanwhile. env: where the members' inbound keys are taken from.

    Raises SettingsError, hub.directory.DirectoryError, or OSError when the address is taken.
    """
    if not settings.pseudonym_key:
        raise SettingsError("缺少环境变量 / missing environment variable: HUB_PSEUDONYM_KEY")
    members = directory.load(settings.directory_dir, region=settings.region).served.values()
    sock = listening or server.bind(settings.gateway_listen)
    records = Records(settings.database_url) if settings.database_url else None
    store = FileStore(settings.files_dir)
    store.clean()
    async with PatientProducer(settings).running() as producer, _opened(records):
        context = Context(
            settings=settings,
            callers=Callers([caller_of(member, env) for member in members], token_key=_token_key(settings)),
            producer=producer,
            known=Known(records.digests if records else None),
            records=records,
            store=store,
            metrics=Metrics(),
        )

        async def take(known: directory.Directory) -> None:
            context.callers.replace([caller_of(member, env) for member in known.served.values()])
            log.info("gateway.directory", version=known.version, members=len(known.served))

        following = asyncio.create_task(follow_directory(settings, take), name="directory")
        log.info("gateway.open", listen=sock.getsockname()[:2])
        try:
            await server.run(build_app(context), [sock], stop)
        finally:
            await ended(following)
    log.info("gateway.closed")


@contextlib.asynccontextmanager
async def _opened(records: Records | None) -> AsyncIterator[None]:
    if records is None:
        yield
        return
    await records.open()
    try:
        yield
    finally:
        await records.close()


class _Gate:
    """Bounds the requests under way and counts every answer; the busiest door is reached without
    Litestar."""

    def __init__(self, app: ASGIApp, messages: rest.Door, metrics: Metrics) -> None:
        self._app = app
        self._messages = messages
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        metrics = self._metrics
        if metrics.in_flight >= REQUESTS_IN_FLIGHT_MAX and scope["path"] not in _ALWAYS:
            metrics.request("gate", 503)
            await _send_busy(send)
            return

        metrics.in_flight += 1
        try:
            if scope["path"].rstrip("/") == rest.PATH:
                await self._submit(cast(HTTPScope, scope), receive, send)
                return

            async def counted(event: Any) -> None:
                if event["type"] == "http.response.start":
                    metrics.request(_door(scope["path"]), event["status"])
                await send(event)

            await self._app(scope, receive, counted)
        finally:
            metrics.in_flight -= 1

    async def _submit(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        # Counted before the answer leaves: who has it may ask for the figures next.
        try:
            receipt = await self._messages(scope, receive)
        except Rejected as error:
            refusal = error
        except Exception as error:
            log.error("gateway.failure", path=rest.PATH, exc_info=error)
            refusal = _failed()
        else:
            self._metrics.request("messages", 202)
            await send_json(send, 202, receipt)
            return
        self._metrics.request("messages", refusal.status)
        await send_rejection(send, refusal)


def _door(path: str) -> str:
    # Known names only: a caller's input must not become a label.
    first = path.strip("/").split("/", 2)
    name = first[1] if len(first) > 1 and first[0] in ("v1", "soap") else first[0]
    return name if name in _DOORS else "other"


_DOORS: Final = frozenset(
    {"messages", "cases", "files", "hub", "sp", "schemas", "subjects", "registry", "docs", "openapi.json"}
)


async def _send_busy(send: Send) -> None:
    busy = Rejected(
        503,
        "busy",
        f"同时处理的请求已达 {REQUESTS_IN_FLIGHT_MAX} 个，请稍后原样重发",
        f"{REQUESTS_IN_FLIGHT_MAX} requests are under way, send the same again later",
        retry_after_s=1,
    )
    await send_rejection(send, busy)


def _on_rejected(_: Request[Any, Any, Any], error: Rejected) -> Response[bytes]:
    return rejection(error)


def _on_http(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    # Litestar's own: no such path, method not allowed.
    zh = {404: "没有这个地址", 405: "该地址不支持此方法"}.get(error.status_code, "请求不能处理")
    return rejection(Rejected(error.status_code, "http", zh, error.detail or "the request cannot be served"))


def _on_failure(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("gateway.failure", path=request.scope["path"], exc_info=error)
    return rejection(_failed())


def _failed() -> Rejected:
    return Rejected(
        500,
        "internal",
        "枢纽内部错误，未出具回执，可原样重发",
        "internal error, no receipt was given; the same may be sent again",
    )


def _token_key(settings: Settings) -> bytes:
    # Every gateway must check every gateway's tokens; one secret less to hand out when none is set.
    return settings.token_key or hmac_sm3(settings.pseudonym_key, b"GOVHUB-TOKEN-KEY-1")
