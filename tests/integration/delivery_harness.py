"""What tests of a delivery lane share: a member over real HTTP, one lane at work, dispatches as the router
writes them, the outcomes."""

import asyncio
import contextlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from adapters.factory import open_port, port_config
from adapters.ports import MemberPort
from hub import envelope, ids
from hub.config import Settings
from hub.delivery.lane import DeliveryLane
from hub.delivery.stats import DeliveryStats
from hub.delivery.trouble import Trouble
from hub.directory.model import Adapter, Auth, Delivery, Guarantee, Member, MemberKind, Style
from hub.kafka import Admin, open_producer, open_reader
from hub.lanes.clock import ClockGuard
from hub.lanes.lane import Lane, LaneSpec
from hub.lanes.store import StoreResources
from schemas import codec, contracts, samples, validate
from tests.servers import Kafka

Handler = Callable[[dict[str, Any], int], Awaitable[web.StreamResponse]]


class FakeTown:
    """A member over real HTTP. `effects` counts what its business did per dispatch id; `answer` decides what
    it says."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()
        self.order: dict[str, list[str]] = defaultdict(list)
        self.calls: Counter[str] = Counter()
        self.queries = 0
        self.answer: Handler = self.take
        self.idempotent = True

    async def take(self, document: dict[str, Any], call: int) -> web.StreamResponse:
        dispatch = document["dispatchId"]
        if self.idempotent and self.effects[dispatch]:
            return web.json_response({"status": "already_done"})
        self.effects[dispatch] += 1
        self.order[document["caseNo"]].append(dispatch)
        return web.json_response({"status": "done"})

    async def dispatches(self, request: web.Request) -> web.StreamResponse:
        document = json.loads(await request.read())
        self.calls[document["dispatchId"]] += 1
        try:
            return await self.answer(document, self.calls[document["dispatchId"]])
        except ConnectionResetError:
            # The reply is lost: the connection ends before a byte of it is written.
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

    async def held(self, request: web.Request) -> web.Response:
        self.queries += 1
        return web.json_response({}, status=200 if self.effects[request.match_info["id"]] else 404)


def settings_for(kafka: Kafka, topic_prefix: str, data_dir: Path) -> Settings:
    """Settings of a test's own topics on the session's broker."""
    return Settings.from_env(
        {
            "HUB_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "HUB_TOPIC_PREFIX": topic_prefix,
            "HUB_DATA_DIR": str(data_dir),
            "HUB_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef",
        }
    )


async def create_topics(settings: Settings) -> None:
    """The topics one delivery lane reads and writes, one partition each."""
    async with Admin(settings) as admin:
        for name in ("case.inbound", "case.outcomes", "deliver.town", "commands.delivery.town"):
            await admin.create(settings.topic(name), 1, 1, {})
        await admin.create(settings.topic("delivery.town.changelog"), 1, 1, {"cleanup.policy": "compact"})


@contextlib.asynccontextmanager
async def serving(town: FakeTown) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hub/dispatches", town.dispatches)
    app.router.add_get("/hub/dispatches/{id}", town.held)
    # What is silent on purpose is not waited for at the end.
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def member(url: str, guarantee: Guarantee, **limits: int) -> Member:
    defaults = {
        "call_timeout_ms": 1_000,
        "retry_delay_ms_min": 20,
        "retry_delay_ms_max": 200,
        "attempts_max": 3,
    }
    return Member(
        id="town",
        name_zh="镇",
        name_en="town",
        kind=MemberKind.DEPARTMENT,
        org_code="11460000MB1A200105",
        regions=("460000",),
        adapter=Adapter(style=Style.REST, url=url),
        delivery=Delivery(guarantee=guarantee, **{**defaults, **limits}),
        auth=Auth(outbound_key="k" * 32),
        contact="-",
    )


SPEC = LaneSpec("delivery", ("deliver.town", "commands.delivery.town"), 0, "delivery.town.changelog", 0)


async def once(settings: Settings, known: Member, port: MemberPort, trouble: Trouble) -> None:
    """One opening of the lane, until it fails."""
    lane = Lane(settings, SPEC, StoreResources(settings), "c")
    try:
        await lane.open()
        clock = ClockGuard(settings)
        await DeliveryLane(settings, lane, known, port, 1, DeliveryStats(), clock, trouble).run()
    finally:
        await lane.close()


@contextlib.asynccontextmanager
async def delivering(
    settings: Settings,
    known: Member,
    port: MemberPort | None = None,
    prepare: Callable[[Lane, DeliveryLane], None] | None = None,
    trouble: Trouble | None = None,
) -> AsyncIterator[DeliveryStats]:
    """One delivery lane at work, as the role runs it. prepare: called with the open lane and its work before
    it begins. trouble: what an earlier opening learnt."""
    lane = Lane(settings, SPEC, StoreResources(settings), "c")
    stats = DeliveryStats()
    port = port or await open_port(port_config(known))
    try:
        await lane.open()
        worker = DeliveryLane(settings, lane, known, port, 1, stats, ClockGuard(settings), trouble)
        if prepare is not None:
            prepare(lane, worker)
        work = asyncio.create_task(worker.run())
        try:
            yield stats
        finally:
            if work.done():
                work.result()  # a lane that died is the test's first news
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
    finally:
        await port.close()
        await lane.close()


async def give(
    settings: Settings,
    cases: int,
    steps: int,
    *headers: tuple[str, bytes],
    to: str = "town",
    first: int = 0,
    after: int = 0,
) -> dict[str, list[str]]:
    """Dispatches as the router writes them: per case in order. first: number of the first case. after: steps
    given before. Returns case -> dispatch ids."""
    contract = contracts.load().by_type("case.withdrawn")
    value = codec.encode(contract, validate.check(contract, samples.body("case.withdrawn")))
    sent: dict[str, list[str]] = defaultdict(list)
    async with open_producer(settings) as producer:
        for step in range(after, after + steps):
            for number in range(first, first + cases):
                case = ids.case_number("platform", "", f"{number}")
                message = envelope.Message(
                    id=ids.message_id("platform", "", f"{case}/{step}", "case.withdrawn", 1),
                    source="platform",
                    type="case.withdrawn",
                    subject=case,
                    time_ms=1_700_000_000_000 + step,
                    value=value,
                )
                dispatch = ids.dispatch_id(message.id, to)
                extra = [("hub_dispatch", dispatch.encode()), ("hub_kind", b"case.withdrawn"), *headers]
                await producer.send(
                    "deliver." + to, case.encode(), value, envelope.to_headers(message, extra)
                )
                sent[case].append(dispatch)
    return sent


async def outcomes(settings: Settings) -> list[dict[str, Any]]:
    async with open_reader(settings) as reader:
        starts = await reader.start_offsets(await reader.partitions([settings.topic("case.outcomes")]))
        return [codec.decode(r.value)[1] async for batch in reader.read_to_stable(starts) for r in batch]


async def until(holds: Callable[[], object], what: str, wait_s: float = 30.0) -> None:
    """Poll until it holds; fails with `what`."""
    end = time.monotonic() + wait_s
    while not holds():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


async def settled(settings: Settings, count: int, wait_s: float = 20.0) -> list[dict[str, Any]]:
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        lines = await outcomes(settings)
        if len(lines) >= count:
            return lines
        await asyncio.sleep(0.1)
    raise AssertionError(f"{len(await outcomes(settings))} outcomes of {count}")
