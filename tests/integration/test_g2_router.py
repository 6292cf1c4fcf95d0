"""G2 with real processes: router workers are killed while they work, and every message is routed exactly
once, in order per case."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.load import plain_item
from hub import directory, envelope, ids
from hub.config import Settings
from hub.kafka import Record, open_producer, open_reader
from hub.provision import provision
from schemas import codec, contracts, samples, validate
from tests.servers import Kafka

CASES = 60
STEPS = 12


@pytest.fixture
def env(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> dict[str, str]:
    return {
        "HUB_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "HUB_TOPIC_PREFIX": topic_prefix,
        "HUB_DATA_DIR": str(tmp_path),
        "HUB_PARTITIONS": "3",
        "HUB_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef",
        "HUB_BATCH_RECORDS_MAX": "20",
    }


@contextlib.contextmanager
def router(env: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "hub", "serve", "router"],
            env={**os.environ, **env},
            stdout=out,
            stderr=out,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def message(
    type_: str, case: str, source: str, key: str, time_ms: int, **attributes: str
) -> envelope.Message:
    """A message as a gateway writes it."""
    contract = contracts.load().by_type(type_)
    body = validate.check(contract, samples.body(type_))
    lifted = validate.routing(contract, body, lambda kind, number: f"p{number[-6:]}")
    region, item = lifted.pop("region", ""), lifted.pop("item", "")
    return envelope.Message(
        id=ids.message_id(source, "", key, type_, 1),
        source=source,
        type=type_,
        subject=case,
        time_ms=time_ms,
        value=codec.encode(contract, body),
        region=attributes.pop("region", region),
        item=attributes.pop("item", item),
        source_key=key,
        digest=ids.content_digest(type_, [key, time_ms]),
        attributes={**lifted, **attributes},
    )


# What is older than closed_case_keep_days would be refused as archived.
YESTERDAY_MS = int(time.time() * 1000) - 86_400_000


def a_case(number: int) -> list[envelope.Message]:
    item, region, owner, org = plain_item()
    case = ids.case_number("platform", "", f"case {number}")
    at = YESTERDAY_MS
    place = {"item": item, "region": region}
    steps = [message("case.submitted", case, "platform", f"{case}/0", at, itemVersion="1", **place)]
    steps.append(message("case.accepted", case, owner, f"{case}/1", at + 1_000, org=org, region=region))
    steps += [
        message("case.process_step", case, owner, f"{case}/{n}", at + n * 1_000, org=org)
        for n in range(2, STEPS)
    ]
    return steps


async def committed(settings: Settings, topic: str) -> list[Record]:
    async with open_reader(settings) as reader:
        starts = await reader.start_offsets(await reader.partitions([settings.topic(topic)]))
        return [r async for batch in reader.read_to_stable(starts) for r in batch]


async def ledger(settings: Settings) -> list[dict[str, Any]]:
    return [codec.decode(record.value)[1] for record in await committed(settings, "case.routed")]


async def routed(settings: Settings, count: int, wait_s: float) -> list[dict[str, Any]]:
    until = time.monotonic() + wait_s
    lines: list[dict[str, Any]] = []
    while time.monotonic() < until:
        lines = await ledger(settings)
        if len({line["messageId"] for line in lines}) >= count:
            return lines
        await asyncio.sleep(0.3)
    raise AssertionError(f"{len({line['messageId'] for line in lines})} of {count} messages in the ledger")


async def test_killed_routers_lose_nothing_and_route_nothing_twice(
    env: dict[str, str], tmp_path: Path
) -> None:
    settings = Settings.from_env(env)
    await provision(settings)
    cases = [a_case(number) for number in range(CASES)]
    expected = {one.id for case in cases for one in case}

    async def submit(steps: range) -> None:
        async with open_producer(settings) as producer:
            for step in steps:
                await asyncio.gather(*(_produce(producer, case[step]) for case in cases))
                await asyncio.sleep(0.1)  # so that a kill falls between messages, not after the last

    log = tmp_path / "router.log"
    third = STEPS // 3
    for kill in range(2):
        with router(env, log) as process:
            submitting = asyncio.create_task(submit(range(kill * third, (kill + 1) * third)))
            await routed(settings, kill * third * CASES + 40, 60)
            process.send_signal(signal.SIGKILL)
        await submitting
    with router(env, log):
        await submit(range(2 * third, STEPS))
        lines = await routed(settings, len(expected), 90)

    assert Counter(line["disposition"] for line in lines) == {"routed": len(expected)}, log.read_text()[
        -2_000:
    ]
    assert Counter(line["messageId"] for line in lines) == dict.fromkeys(expected, 1)
    listed = {dispatch["id"]: dispatch["member"] for line in lines for dispatch in line["dispatches"]}
    dispatched: Counter[str] = Counter()
    order: dict[tuple[str, str], list[str]] = defaultdict(list)
    for member in directory.load().members:
        for record in await committed(settings, f"deliver.{member}"):
            headers = dict(record.headers)
            dispatched[headers["hub_dispatch"].decode()] += 1
            order[member, record.key.decode()].append(headers["ce_id"].decode())
    assert dispatched == dict.fromkeys(listed, 1), "the ledger lists exactly the dispatches there are"
    for (member, case), got in order.items():
        sent = [one.id for one in next(c for c in cases if c[0].subject == case)]
        assert got == [id_ for id_ in sent if id_ in set(got)], f"order at {member}"


async def _produce(producer: Any, one: envelope.Message) -> None:
    await producer.send("case.inbound", one.subject.encode(), one.value, envelope.to_headers(one))


async def test_repeated_messages_are_routed_once_and_conflicts_are_told(
    env: dict[str, str], tmp_path: Path
) -> None:
    """G8, R2: same id and content is nothing new; same id with other content is refused to its sender, both
    digests named."""
    settings = Settings.from_env(env)
    await provision(settings)
    first = a_case(1)[0]
    other = message(
        "case.submitted", first.subject, "platform", first.source_key, first.time_ms + 1, itemVersion="1"
    )
    assert other.id == first.id
    assert other.digest != first.digest
    async with open_producer(settings) as producer:
        for one in (first, first, other, other, first):
            await _produce(producer, one)
    with router(env, tmp_path / "router.log"):
        lines = await routed(settings, 2, 60)
        await asyncio.sleep(1.0)
        lines = await ledger(settings)
    own = [line for line in lines if not line["originated"]]
    notices = [line for line in lines if line["originated"]]
    assert [line["disposition"] for line in own if line["messageId"] == first.id] == ["routed"]
    assert [(line["type"], line["dispatches"][0]["member"]) for line in notices] == [
        ("case.refusal", "platform")
    ]
    refusal = next(
        codec.decode(r.value)[1]
        for r in await committed(settings, "deliver.platform")
        if dict(r.headers)["ce_type"] == b"case.refusal"
    )
    assert {refusal["firstDigest"], refusal["secondDigest"]} == {first.digest, other.digest}
