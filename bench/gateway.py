"""The gateway as shipped: signed cases a second, each acknowledged with acks=all, over real HTTP from another
process. Yardstick: the same messages produced one by one by the gateway's own producer without HTTP.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from bench.harness import Bench, Figures, Report, cpu_seconds, figures_of, ratio, row
from bench.load import case_messages
from hub import envelope
from hub.config import Settings
from hub.kafka import open_producer
from hub.local.cluster import free_ports
from hub.provision import provision
from schemas import samples
from signing.http_auth import sign_request

PARALLEL = 64
GATEWAY = "govhub gateway"
BARE = "its producer alone"
_KEY = "bench-key-0123456789abcdef01234567"
_PATH = "/v1/messages"


def run(bench: Bench) -> Report:
    """In turn, so that a busy minute of the machine meets both."""
    count = bench.sized(12_000, 1_500)
    measured: dict[str, list[Figures]] = {GATEWAY: [], BARE: []}
    messages = [one for one in case_messages(count, 0) if one.type == "case.submitted"]
    for number in range(bench.runs):
        prefix, data = f"g{number}.", bench.scratch / f"gateway{number}"
        measured[GATEWAY].append(asyncio.run(signed(bench.bootstrap, prefix, data, count)))
        measured[BARE].append(asyncio.run(bare(bench.bootstrap, prefix, data, messages)))
        for name, figures in measured.items():
            last = figures[-1]
            bench.say(
                f"{number + 1}/{bench.runs} {name}: {last.per_second:,.0f}/s, "
                f"{last.per_cpu_second:,.0f} per CPU-second"
            )
    return Report(
        f"gateway, one process, {PARALLEL} requests at once: cases acknowledged with acks=all",
        [row(name, figures) for name, figures in measured.items()],
        {f"{GATEWAY} / {BARE}": ratio(measured, GATEWAY, BARE)},
        ["每个请求单独签名，收到凭证为止 / each request signed by itself, until its receipt has come"],
        figures_of(measured),
    )


def environment(bootstrap: str, prefix: str, data: Path) -> dict[str, str]:
    """Settings of one gateway without a database."""
    port = free_ports(1)[0]
    return {
        "HUB_KAFKA_BOOTSTRAP": bootstrap,
        "HUB_TOPIC_PREFIX": prefix,
        "HUB_DATA_DIR": str(data),
        "HUB_PARTITIONS": "3",
        "HUB_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef",
        "HUB_TOKEN_KEY": "0123456789abcdef0123456789abcdef",
        "HUB_GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "HUB_MEMBER_PLATFORM_INBOUND_KEY": _KEY,
        "HUB_LOG_LEVEL": "WARNING",
    }


def requests(count: int, changes: Mapping[str, str] | None = None) -> Iterator[tuple[bytes, dict[str, str]]]:
    """Signed submissions of different cases, one after the other. changes: to the body."""
    body = {**samples.body("case.submitted"), **(changes or {})}
    for number in range(count):
        document = {
            "type": "case.submitted",
            "sourceRef": f"bench-{number}",
            "caseRef": f"bench-{number}",
            "occurredAt": "2026-01-05T09:30:00+08:00",
            "body": body,
        }
        raw = json.dumps(document, ensure_ascii=False).encode()
        now_ms = int(time.time() * 1000)
        headers = sign_request(
            _KEY.encode(), "platform", "POST", _PATH, raw, timestamp_ms=now_ms, nonce=f"bench-{number:012d}"
        )
        yield raw, {**headers, "Content-Type": "application/json"}


async def signed(bootstrap: str, prefix: str, data: Path, count: int) -> Figures:
    """One measurement: cases a second with receipts, wall and per CPU-second of the gateway process."""
    env = environment(bootstrap, prefix, data)
    await provision(Settings.from_env(env))
    process = await asyncio.to_thread(
        subprocess.Popen,  # the server measured: a process of its own
        [sys.executable, "-m", "hub", "serve", "gateway"],
        env={**os.environ, **env},
    )
    url = f"http://{env['HUB_GATEWAY_LISTEN']}"
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=PARALLEL)) as http:
            await _ready(http, url, process)
            waiting = iter(list(requests(count)))
            cpu, began = cpu_seconds([process.pid]), time.perf_counter()
            refused = sum(await asyncio.gather(*(_send(http, url, waiting) for _ in range(PARALLEL))))
            seconds, used = time.perf_counter() - began, cpu_seconds([process.pid]) - cpu
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)
    if refused:
        raise RuntimeError(f"{refused} of {count} requests were not accepted")
    return Figures(count, seconds, used)


async def _ready(http: aiohttp.ClientSession, url: str, process: "subprocess.Popen[bytes]") -> None:
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"gateway ended with {process.returncode}")
        try:
            async with http.get(url + "/readyz") as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)


async def _send(http: aiohttp.ClientSession, url: str, waiting: Any) -> int:
    refused = 0
    for raw, headers in waiting:
        async with http.post(url + _PATH, data=raw, headers=headers) as response:
            await response.read()
            refused += response.status != 202
    return refused


async def bare(bootstrap: str, prefix: str, data: Path, messages: list[envelope.Message]) -> Figures:
    """The yardstick: the same producer, as many sends in flight, no HTTP and no validation."""
    settings = Settings.from_env(environment(bootstrap, prefix, data))
    waiting = iter(messages)
    async with open_producer(settings) as producer:

        async def work() -> None:
            for one in waiting:
                await producer.send("case.inbound", one.subject.encode(), one.value, envelope.to_headers(one))

        cpu, began = time.process_time(), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(PARALLEL)))
        return Figures(len(messages), time.perf_counter() - began, time.process_time() - cpu)
