"""Two clusters with the topics a bridge touches, a registry that can disagree, and lanes that are opened in
this process."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from hub import envelope, ids
from hub.bridge.acknowledging import ROUTED, Acknowledging
from hub.bridge.contracts import TargetContracts
from hub.bridge.copying import Copying
from hub.bridge.lane import BridgeLane, BridgeStats, Ends
from hub.bridge.shelf import Shelf
from hub.config import Settings
from hub.kafka import Admin, Output, Record, open_reader, write_records
from hub.local.regions import NORTH, SOUTH, write_directory
from schemas import codec, contracts, samples, validate
from tests.servers import Kafka

KEYED = ("case.inbound", "case.routed", "case.outcomes")
PARTITIONS = 2
Line = tuple[str, str, str]


class Regions:
    """`near` (the north) copies to `far` (the south); `back` is the other direction."""

    def __init__(self, near: Kafka, far: Kafka, prefix: str, path: Path, registry: str) -> None:
        write_directory(path / "directory")
        self.env = {
            "HUB_KAFKA_BOOTSTRAP": near.bootstrap,
            "HUB_TOPIC_PREFIX": prefix,
            "HUB_DATA_DIR": str(path),
            "HUB_DIRECTORY_DIR": str(path / "directory"),
            "HUB_PARTITIONS": str(PARTITIONS),
            "HUB_REGION": NORTH,
            "HUB_BRIDGE_TARGET_REGION": SOUTH,
            "HUB_BRIDGE_TARGET_BOOTSTRAP": far.bootstrap,
            "HUB_BRIDGE_TARGET_TOPIC_PREFIX": prefix,
            "HUB_BRIDGE_TARGET_REGISTRY": registry,
            "HUB_BRIDGE_RETRY_MS": "50",
            "HUB_POLL_WAIT_MS": "20",
        }
        self.near = Settings.from_env(self.env)
        swapped = {"HUB_REGION": SOUTH, "HUB_BRIDGE_TARGET_REGION": NORTH}
        swapped |= {
            "HUB_KAFKA_BOOTSTRAP": far.bootstrap,
            "HUB_BRIDGE_TARGET_BOOTSTRAP": near.bootstrap,
        }
        self.far = Settings.from_env(self.env | swapped)

    async def make_topics(self) -> None:
        for settings, other in ((self.near, SOUTH), (self.far, NORTH)):
            async with Admin(settings) as admin:
                wanted = dict.fromkeys(KEYED, PARTITIONS) | {"deliver." + other: 1, "bridge.changelog": 1}
                for topic, count in wanted.items():
                    await admin.create(settings.topic(topic), count, 1, {})


class Registry:
    """The read side of a schema registry. missing: ids it answers 404 for; other: ids with another
    contract."""

    def __init__(self) -> None:
        self.missing: set[int] = set()
        self.other: set[int] = set()
        self.asked: list[int] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        id_ = int(request.match_info["id"])
        self.asked.append(id_)
        if id_ in self.missing:
            return web.json_response({"error_code": 40403}, status=404)
        avro: Any = contracts.load().by_id(id_).avro
        if id_ in self.other:
            avro = {**avro, "fields": avro["fields"][1:]}
        return web.json_response({"schema": msgspec.json.encode(avro).decode()})

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Registry"]:
        app = web.Application()
        app.router.add_get("/schemas/ids/{id}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        try:
            yield self
        finally:
            await runner.cleanup()


def message(number: int, case: int = 0, via: str = "") -> envelope.Message:
    """The submission of a case, or a later word about it."""
    contract = contracts.load().by_type("case.submitted")
    body = validate.check(contract, samples.body("case.submitted"))
    return envelope.Message(
        id=ids.message_id("platform", "", f"message {number}", "case.submitted", 1),
        source="platform",
        type="case.submitted",
        subject=ids.case_number("platform", "", f"case {case}"),
        time_ms=2_000_000_000_000 + number,  # never older than closed_case_keep_days
        value=codec.encode(contract, body),
        via=via,
    )


def dispatched(one: envelope.Message, member: str = SOUTH) -> Output:
    """As the router writes it on deliver.<hub>."""
    extra = [("hub_dispatch", ids.dispatch_id(one.id, member).encode()), ("hub_kind", one.type.encode())]
    return one.subject.encode(), one.value, envelope.to_headers(one, extra), one.time_ms


def line(one: envelope.Message, disposition: str, *members: str, reason: str = "") -> Output:
    """As the router writes it on case.routed."""
    body = samples.body("hub.routed") | {
        "messageId": one.id,
        "caseNo": one.subject,
        "disposition": disposition,
        "reason": reason or None,
        "zh": None,
        "en": None,
        "dispatches": [
            {"id": ids.dispatch_id(one.id, member), "member": member, "kind": one.type} for member in members
        ],
        "originated": False,
        "type": one.type,
    }
    contract = contracts.load().by_type("hub.routed")
    value = codec.encode(contract, validate.check(contract, body))
    return one.subject.encode(), value, [("ce_via", one.via.encode())] if one.via else [], 1


def outcome(one: envelope.Message, member: str, what: str, code: str = "") -> Output:
    """As a delivery lane writes it on case.outcomes."""
    dispatch = ids.dispatch_id(one.id, member)
    body = samples.body("hub.outcome") | {
        "dispatchId": dispatch,
        "messageId": one.id,
        "caseNo": one.subject,
        "member": member,
        "kind": one.type,
        "outcome": what,
        "code": code or None,
        "detail": None,
    }
    contract = contracts.load().by_type("hub.outcome")
    value = codec.encode(contract, validate.check(contract, body))
    headers = [("hub_dispatch", dispatch.encode())] + ([("ce_via", one.via.encode())] if one.via else [])
    return one.subject.encode(), value, headers, 1


async def write(settings: Settings, topic: str, outputs: Sequence[Output], partition: int = 0) -> None:
    records = [(key or b"", value or b"", headers) for key, value, headers, _ in outputs]
    await write_records(settings, topic, partition, records)


async def committed(settings: Settings, topic: str) -> list[Record]:
    async with open_reader(settings) as reader:
        starts = await reader.start_offsets(await reader.partitions([settings.topic(topic)]))
        return [r async for batch in reader.read_to_stable(starts) for r in batch]


def id_of(record: Record) -> str:
    return str(dict(record.headers)["ce_id"].decode())


async def told(settings: Settings) -> list[Line]:
    """(dispatch id, outcome, code) of the acknowledgements on a case.outcomes."""
    bodies = [
        codec.decode(r.value)[1]
        for r in await committed(settings, "case.outcomes")
        if "ce_id" in dict(r.headers)
    ]
    return [(body["dispatchId"], body["outcome"], body["code"] or "") for body in bodies]


async def until(holds: Callable[[], Awaitable[bool]], what: str, wait_s: float = 30) -> None:
    """Poll until it holds; fails with `what`."""
    end = time.monotonic() + wait_s
    while not await holds():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.05)


async def arrived(regions: Regions) -> list[str]:
    return [id_of(record) for record in await committed(regions.far, "case.inbound")]


async def has(regions: Regions, count: int) -> bool:
    return len(await arrived(regions)) >= count


async def made_anew(settings: Settings, bare: str) -> None:
    """The topic deleted and created again, with one partition: another topic under the same name."""
    topic = settings.topic(bare)
    async with Admin(settings) as admin:
        await admin.delete_topics([topic])

        async def gone() -> bool:
            return topic not in await admin.list_topics()

        await until(gone, "not deleted")
        await admin.create(topic, 1, 1, {})

        async def there() -> bool:
            return topic in await admin.list_topics()

        await until(there, "not made")


def copying(ends: Ends, registry: TargetContracts, stats: BridgeStats | None = None) -> BridgeLane:
    """The lane over deliver.<target>, not yet open."""
    source = ends.source
    work = Copying(source.region, ends.target.region)
    name = f"{source.region}/deliver.{ends.target.region}-0"
    return BridgeLane(ends, name, 0, work, registry, stats or BridgeStats())


def acknowledging(ends: Ends, registry: TargetContracts, partition: int = 0) -> BridgeLane:
    """The lane over a partition of the ledgers, not yet open."""
    source = ends.source
    name = f"{source.region}/case.outcomes-{partition}"
    shelf = Shelf(source.data_dir, source.bridge_open_cache_bytes, source.store_bytes_max)
    work = Acknowledging(name, source.region, ends.target.region, source.topic(ROUTED), shelf)
    return BridgeLane(ends, name, partition, work, registry, BridgeStats())


@contextlib.asynccontextmanager
async def running(lane: BridgeLane) -> AsyncIterator["asyncio.Task[None]"]:
    """The lane, opened and at work. What it raises is raised at the end."""
    try:
        await lane.open()
        task = asyncio.create_task(lane.run())
        try:
            yield task
        finally:
            if task.done():
                task.result()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    finally:
        await lane.close()


async def trim(settings: Settings, topic: str, before: int) -> None:
    """Delete a topic's records below an offset, as an operator would."""
    from confluent_kafka import TopicPartition as Place
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    place = Place(settings.topic(topic), 0, before)
    for future in admin.delete_records([place]).values():
        await asyncio.to_thread(future.result, 20)
