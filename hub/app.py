"""Starts one role in this process and stops it in order: the only place that knows which roles there are."""

import asyncio
import gc
import importlib
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from hub.config import Settings

Serve = Callable[[Settings, asyncio.Event], Awaitable[None]]

# role -> module with `async def serve(settings, stop)`; imported only when that role is started.
ROLES: Final = {
    "gateway": "hub.gateway.app",
    "router": "hub.router",
    "delivery": "hub.delivery.role",
    "evidence": "hub.evidence.role",
    "notices": "hub.notices.app",
    "projector": "hub.projector.app",
    "views": "hub.views",
    "console": "hub.console.app",
    "sync": "hub.sync",
    "bridge": "hub.bridge",
}

# Objects made before a collection, young collections before a middle one, middle ones before a full one.
GC_THRESHOLDS: Final = (20_000, 20, 100)
# From the reading of a batch to its commit a router lane makes tens of thousands that all go by reference
# counting; looked at meanwhile, they took a seventh of its time. At most some 20 MB wait in cycles.
GC_YOUNG_MAX: Final = {"router": 200_000}


def configure_logs(level: str) -> None:
    """One JSON line an event on standard error; never a body, never a key."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


def run_role(role: str, settings: Settings) -> None:
    """Run a role until SIGTERM or Ctrl-C. Raises what the role raises."""
    configure_logs(settings.log_level)
    serve: Serve = importlib.import_module(ROLES[role]).serve

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        structlog.contextvars.bind_contextvars(role=role)
        await serve(settings, stop)

    import uvloop

    _spare_collector(GC_YOUNG_MAX.get(role, GC_THRESHOLDS[0]))
    uvloop.run(main())


def _spare_collector(young_max: int = GC_THRESHOLDS[0]) -> None:
    """What the imports made lives as long as the process: never looked at again. Younger objects are looked
    at less often; nearly all of them go by reference counting."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(young_max, *GC_THRESHOLDS[1:])
