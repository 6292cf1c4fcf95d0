"""G7 against a real broker: what routers hand over gets signed roots, also when evidence processes die, and a
case's exported file holds without the hub."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from hub import envelope
from hub.config import Settings
from hub.errors import LaneStopped
from hub.evidence import role as evidence
from hub.evidence.document import Document
from hub.evidence.export import NoEvidence, export
from hub.evidence.lane import ROOTS
from hub.evidence.leaves import SignedRoot
from hub.evidence.verify import verify
from hub.kafka import Admin, open_producer, open_reader, partition_of, write_records
from hub.provision import provision
from hub.router import role as router
from signing.evidence import RootStatement, chain_break
from signing.timestamp_protocol import RESPONSE_TYPE, answer
from tests.evidence_files import PASSPHRASE, PROVIDER, identity, keys, trust
from tests.integration.test_g2_router import a_case
from tests.servers import Kafka

Serve = Callable[[Settings, asyncio.Event], Awaitable[None]]


@pytest.fixture
def settings(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> Settings:
    return Settings.from_env(
        {
            "HUB_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "HUB_TOPIC_PREFIX": topic_prefix,
            "HUB_DATA_DIR": str(tmp_path),
            "HUB_PARTITIONS": "2",
            "HUB_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef",
            "HUB_EVIDENCE_DIR": str(keys()),
            "HUB_EVIDENCE_PASSPHRASE": PASSPHRASE.decode(),
            "HUB_EVIDENCE_INTERVAL_MS": "300",
        }
    )


@contextlib.asynccontextmanager
async def running(serve: Serve, settings: Settings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await task


@contextlib.asynccontextmanager
async def killed(serve: Serve, settings: Settings) -> AsyncIterator[None]:
    """A role that ends without any of its own endings."""
    task = asyncio.create_task(serve(settings, asyncio.Event()))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def submit(settings: Settings, messages: list[envelope.Message]) -> None:
    async with open_producer(settings) as producer:
        for one in messages:
            await producer.send("case.inbound", one.subject.encode(), one.value, envelope.to_headers(one))


async def evidence_of(settings: Settings, case: str, lines: int, wait_s: float = 40) -> Document:
    """The case's file once it holds so many lines."""
    until, found = time.monotonic() + wait_s, 0
    while time.monotonic() < until:
        with contextlib.suppress(NoEvidence):
            document = await export(settings, case)
            found = len(document.handovers)
            if found >= lines and not document.unsigned:
                return document
        await asyncio.sleep(0.2)
    raise AssertionError(f"{found} of {lines} lines of {case} under a signed root")


async def statements(settings: Settings) -> dict[str, list[RootStatement]]:
    found: dict[str, list[RootStatement]] = {}
    async with open_reader(settings) as reader:
        starts = await reader.start_offsets(await reader.partitions([settings.topic(ROOTS)]))
        async for records in reader.read_to_stable(starts):
            for record in records:
                root = msgspec.json.decode(record.value, type=SignedRoot)
                statement = RootStatement.from_bytes(root.statement.encode())
                found.setdefault(statement.lane, []).append(statement)
    return found


async def test_g7_every_line_is_under_one_root_also_after_deaths(settings: Settings) -> None:
    await provision(settings)
    cases = [a_case(number) for number in range(4)]
    async with running(router.serve, settings):
        for part in range(2):
            async with killed(evidence.serve, settings):
                for case in cases:
                    await submit(settings, case[part * 6 : part * 6 + 6])
                await evidence_of(settings, cases[-1][0].subject, part * 6 + 1)
        async with running(evidence.serve, settings):
            documents = [await evidence_of(settings, case[0].subject, len(case)) for case in cases]

    for document in documents:
        report = verify(document, trust(), PROVIDER, now=datetime.now(UTC))
        assert report.ok, [finding for finding in report.findings if not finding.ok]
        lines = [one.leaf["line"] for one in document.handovers if one.lane.startswith("case.routed")]
        assert len({line["messageId"] for line in lines}) == len(lines) == len(cases[0]), "each line once"
    for lane in (await statements(settings)).values():
        assert chain_break(lane) is None
        assert [statement.sequence for statement in lane] == list(range(len(lane)))


async def test_g7_the_same_evidence_is_given_for_ever(settings: Settings) -> None:
    await provision(settings)
    case = a_case(1)
    async with running(router.serve, settings), running(evidence.serve, settings):
        await submit(settings, case)
        first = await evidence_of(settings, case[0].subject, len(case))
        await submit(settings, a_case(2))
        await evidence_of(settings, a_case(2)[0].subject, len(case))
    again = await export(settings, case[0].subject)
    assert msgspec.structs.replace(again, exported_at="") == msgspec.structs.replace(first, exported_at="")


async def test_g7_a_stamp_service_that_is_away_delays_roots_and_loses_nothing(settings: Settings) -> None:
    """The stamp comes from outside, by HTTP; while it does not come nothing is signed."""
    await provision(settings)
    asked: list[int] = []

    async def stamp(request: web.Request) -> web.Response:
        asked.append(len(asked))
        if len(asked) == 1:
            return web.Response(status=503)
        body = answer(
            PROVIDER,
            identity("tsa"),
            await request.read(),
            at=datetime.now(UTC).replace(microsecond=0),
            serial=len(asked),
            policy="1.2.3",
        )
        return web.Response(body=body, content_type=RESPONSE_TYPE)

    application = web.Application()
    application.router.add_post("/tsa", stamp)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    remote = msgspec.structs.replace(settings, evidence_tsa_url=f"http://127.0.0.1:{port}/tsa")
    case = a_case(3)
    try:
        async with running(router.serve, settings), running(evidence.serve, remote):
            await submit(settings, case)
            document = await evidence_of(settings, case[0].subject, len(case))
    finally:
        await runner.cleanup()
    assert len(asked) > 1
    assert verify(document, trust(), PROVIDER, now=datetime.now(UTC)).ok


async def test_g7_over_a_ledger_that_somebody_wrote_into_nothing_more_is_signed(settings: Settings) -> None:
    await provision(settings)
    case = a_case(4)
    number = case[0].subject.encode()
    async with running(router.serve, settings):
        await submit(settings, case[:5])
        async with running(evidence.serve, settings):
            await evidence_of(settings, case[0].subject, 5)
        partition = partition_of(number, settings.partitions)
        await write_records(settings, "case.routed", partition, [(number, b"not the router's", [])])
        await submit(settings, case[5:])
        async with Admin(settings) as admin:
            cluster_id = await admin.cluster_id()
        role = evidence.EvidenceRole(settings, await evidence.open_signer(settings), cluster_id)
        with pytest.raises(LaneStopped, match="nothing more is signed"):
            await asyncio.wait_for(evidence.run_lane(role, partition), 30)
