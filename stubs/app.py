"""Puts one simulated member together and serves it until it is told to stop. The only place that knows all of
them.
"""

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from stubs.credit import credit_application
from stubs.dept_b import dept_b_application
from stubs.nation import nation_application
from stubs.rest_members import rest_application
from stubs.settings import StubSettings, from_env
from stubs.storage import Storage

SHUTDOWN_MS_MAX: Final = 1_000  # calls still being answered get this long

Background = Callable[[], Any]


async def serve(name: str, env: Mapping[str, str]) -> None:
    """Serve the stub called `name` until SIGTERM or SIGINT; prints one JSON line {"stub", "url"} when it
    listens.

    Raises StubSettingsError naming the variable, OSError when the address is taken.
    """
    logging.basicConfig(
        level=env.get("HUB_LOG_LEVEL", "WARNING").upper(),
        format=f"%(asctime)s {name} %(levelname)s %(name)s %(message)s",
    )
    settings = from_env(name, env)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    storage = Storage(settings.directory)
    try:
        async with running(settings, storage) as url:
            print(json.dumps({"stub": name, "url": url}), flush=True)
            await stop.wait()
    finally:
        storage.close()


@contextlib.asynccontextmanager
async def running(settings: StubSettings, storage: Storage) -> AsyncIterator[str]:
    """The member's server and its background work; gives the URL it listens on."""
    app, background = _build(settings, storage)
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_MS_MAX / 1000
    )
    await runner.setup()
    task = asyncio.create_task(background(), name=f"{settings.name}-background")
    task.add_done_callback(_stop_on_failure)
    try:
        site = web.TCPSite(runner, *settings.address, backlog=1024)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await runner.cleanup()


def _stop_on_failure(task: asyncio.Task[None]) -> None:
    # A member whose sender died looks healthy and says nothing: end the process instead, its supervisor
    # restarts it.
    if not task.cancelled() and task.exception() is not None:
        logging.getLogger("stubs.app").critical(
            "后台任务失败 / background work failed", exc_info=task.exception()
        )
        signal.raise_signal(signal.SIGTERM)


def _build(settings: StubSettings, storage: Storage) -> tuple[web.Application, Background]:
    match settings.name:
        case "dept-b":
            return dept_b_application(settings, storage)
        case "nation":
            return nation_application(settings, storage)
        case "credit":
            return credit_application(settings, storage)
        case _:
            return rest_application(settings, storage)
