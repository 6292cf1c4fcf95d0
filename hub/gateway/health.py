"""/healthz, /readyz and /metrics (R25): alive, able to give receipts, and how it goes."""

from typing import Any, Protocol

from litestar import get
from litestar.response import Response
from litestar.types import ControllerRouterHandler

from hub.gateway.metrics import Metrics
from hub.gateway.wire import reply


class Reachable(Protocol):
    """Something that knows whether the broker can be reached now."""

    async def reachable(self) -> bool: ...


def routes(producer: Reachable, metrics: Metrics) -> list[ControllerRouterHandler]:
    """The handlers, open to everyone: they say nothing about members."""

    @get("/healthz")
    async def healthz() -> Response[bytes]:
        return reply({"status": "ok"})

    @get("/readyz")
    async def readyz() -> Response[bytes]:
        ready = await producer.reachable()
        return reply({"status": "ready" if ready else "broker_away"}, 200 if ready else 503)

    @get("/metrics")
    async def prometheus() -> Response[Any]:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [healthz, readyz, prometheus]
