"""/healthz, /readyz and /metrics of a role that has no web server of its own (R25). Only this small server
lives here."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

Ready = Callable[[], str]
"""Returns "" when ready, otherwise why not."""
Metrics = Callable[[], Mapping[str, float]]
"""Metric name (with labels in braces, if any) -> value."""

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def render_metrics(values: Mapping[str, float]) -> str:
    """Prometheus text format 0.0.4."""
    return "".join(
        f"{name} {value:g}\n" if value != int(value) else f"{name} {int(value)}\n"
        for name, value in values.items()
    )


@asynccontextmanager
async def health_server(listen: str, ready: Ready, metrics: Metrics) -> AsyncIterator[None]:
    """Serve on listen (host:port) while the block runs; with an empty listen nothing is served. Raises
    OSError when the port is taken."""
    if not listen:
        yield
        return

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        reason = ready()
        return web.json_response(
            {"status": "not_ready" if reason else "ready", "reason": reason}, status=503 if reason else 200
        )

    async def text(_: web.Request) -> web.Response:
        return web.Response(body=render_metrics(metrics()).encode(), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", text)]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        host, _, port = listen.rpartition(":")
        await web.TCPSite(runner, host, int(port)).start()
        yield
    finally:
        await runner.cleanup()
