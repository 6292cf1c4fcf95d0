"""Role views: one faust app, one window: cases per department per minute from case.events. The only module
that imports faust.

State is memory and disposable: every start reads the window's span of the log again. Nothing is decided by
these figures.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import faust
import structlog
from aiohttp import web
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport

from hub.config import Settings
from hub.health import CONTENT_TYPE, render_metrics
from hub.projector.owners import owner_lookup
from hub.projector.rows import EVENTS, OwnerOf

MINUTE_MS: Final = 60_000
MINUTES_KEPT: Final = 60
MINUTES_SHOWN: Final = 30
DEPARTMENTS_MAX: Final = 2_000
OPENING: Final = "case.submitted"
# The two overrides below reach into private parts; other versions must be looked at before they are used.
FAUST_VERSION: Final = "0.15.3"
START_TIMEOUT_SECONDS: Final = 60
STOP_TIMEOUT_SECONDS: Final = 15

log = structlog.get_logger("views")


class Window:
    """Tumbling minutes, the last MINUTES_KEPT of them: cases per department. A record counts once, however
    often it is read."""

    def __init__(self) -> None:
        self._minutes: OrderedDict[int, Counter[str]] = OrderedDict()
        self._next: dict[int, int] = {}
        self.counted = 0

    def add(self, partition: int, offset: int, at_ms: int, department: str) -> None:
        """One opened case. at_ms: when the hub routed it, ms since the epoch."""
        if offset < self._next.get(partition, 0):
            return  # a rebalance begins the span again
        self._next[partition] = offset + 1
        minute = at_ms - at_ms % MINUTE_MS
        counts = self._minutes.setdefault(minute, Counter())
        if department not in counts and len(counts) >= DEPARTMENTS_MAX:
            department = ""
        counts[department] += 1
        self.counted += 1
        while len(self._minutes) > MINUTES_KEPT:
            del self._minutes[min(self._minutes)]

    def shown(self, now_ms: int) -> list[dict[str, Any]]:
        """The last MINUTES_SHOWN minutes up to now, empty ones too: {"start": ms, "counts": {member:
        cases}}."""
        last = now_ms - now_ms % MINUTE_MS
        starts = range(last - (MINUTES_SHOWN - 1) * MINUTE_MS, last + 1, MINUTE_MS)
        return [{"start": start, "counts": dict(self._minutes.get(start, {}))} for start in starts]


class _ReadCommittedThread(AIOKafkaConsumerThread):
    """faust reads uncommitted records unless it runs its own exactly_once: an aborted case would be
    counted."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # before start(), which makes the fetcher
        return consumer

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Begin at the window's span whatever the group committed: the state is not older than the
        process."""
        positions: Mapping[Any, int] = await self.call_thread(self._seek_to_span)
        return positions

    async def _seek_to_span(self) -> dict[Any, int]:
        consumer = self._ensure_consumer()
        places = consumer.assignment()
        if not places:
            return {}
        since = int(time.time() * 1_000) - MINUTES_KEPT * MINUTE_MS
        found = await consumer.offsets_for_times(dict.fromkeys(places, since))
        ends = await consumer.end_offsets(places)
        positions = {place: found[place].offset if found.get(place) else ends[place] for place in places}
        for place, offset in positions.items():
            consumer.seek(place, offset)
        return positions


class _ReadCommittedConsumer(Consumer):
    def _new_consumer_thread(self) -> Any:
        return _ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)


class _ReadCommittedTransport(Transport):
    Consumer = _ReadCommittedConsumer


class _App(faust.App):
    def _new_transport(self) -> Any:
        return _ReadCommittedTransport(self.conf.broker_consumer, self)


def build_app(settings: Settings, window: Window, owner_of: OwnerOf) -> Any:
    """The faust app: one agent over case.events. Raises RuntimeError for a faust that was not looked at."""
    if faust.__version__ != FAUST_VERSION:
        raise RuntimeError(f"faust {faust.__version__} 未经验证 / not verified, need {FAUST_VERSION}")
    brokers = ";".join(f"kafka://{address.strip()}" for address in settings.kafka_bootstrap.split(","))
    app = _App(
        # Its own group: every process of this role sees all partitions and none waits for another.
        f"{settings.topic_prefix}govhub.views.{settings.worker_id or 'w'}-{time.time_ns():x}",
        broker=brokers,
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="latest",
        broker_commit_interval=30.0,
        datadir=str(settings.data_dir / "views"),
    )
    topic = app.topic(settings.topic(EVENTS), key_serializer="raw", value_serializer="raw", key_type=bytes)

    @app.agent(topic)
    async def count(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            headers = dict(message.headers)
            if headers.get("ce_type") != OPENING.encode():
                continue
            item, region = (headers.get(name, b"").decode() for name in ("ce_item", "ce_region"))
            window.add(
                message.partition, message.offset, int(message.timestamp * 1_000), owner_of(item, region)
            )

    return app


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the faust app and its own small web server until stop is set."""
    window = Window()
    app = build_app(settings, window, owner_lookup(settings))
    runner = web.AppRunner(_web(window, app), access_log=None)
    await runner.setup()
    try:
        host, _, port = settings.views_listen.rpartition(":")
        await web.TCPSite(runner, host, int(port)).start()
        app.finalize()
        async with asyncio.timeout(START_TIMEOUT_SECONDS):
            await app.start()
        log.info("counting", version=FAUST_VERSION)
        crashed = asyncio.create_task(app.wait_until_stopped())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((crashed, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not stop.is_set():
            raise RuntimeError("faust 已停止 / faust stopped by itself") from app.crash_reason
        crashed.cancel()
    finally:
        await runner.cleanup()
        async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
            await app.stop()


def _web(window: Window, app: Any) -> web.Application:
    async def minutes(_: web.Request) -> web.Response:
        now = int(time.time() * 1_000)
        return web.json_response({"asOf": now, "windowMs": MINUTE_MS, "minutes": window.shown(now)})

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        ready = bool(app.started) and not app.rebalancing
        return web.json_response({"status": "ready" if ready else "not_ready"}, status=200 if ready else 503)

    async def metrics(_: web.Request) -> web.Response:
        text = render_metrics({"govhub_views_counted_total": window.counted})
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.add_routes(
        [
            web.get("/views/cases-per-minute", minutes),
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
        ]
    )
    return application
