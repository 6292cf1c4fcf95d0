"""From "accepted" to the call: gateway, router and delivery as shipped, one process each, one department that
answers at once.

First everything is pushed through as fast as it goes: the rate at which calls arrive is the capacity. Then
cases are sent at half of it, evenly; a case's time runs from its receipt at the sender to the arrival of the
call at the department, both seen by the same clock. Wanted: 250 ms at the 99th percentile.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from bench.gateway import PARALLEL, environment, requests
from bench.harness import Bench, Report
from bench.load import quiet_item
from hub import directory
from hub.config import Settings
from hub.embedded.process import free_port
from hub.provision import provision

WANTED_MS = 250
ROLES = ("gateway", "router", "delivery")
STEADY_S, STEADY_QUICK_S = 15, 6
_PATH = "/v1/messages"
_WAIT_S_MAX = 120


@dataclass
class Department:
    """Notes when a call for a case begins to arrive."""

    arrived: dict[str, float] = field(default_factory=dict)
    port: int = 0

    async def take(self, request: web.Request) -> web.Response:
        now = time.perf_counter()
        case = msgspec.json.decode(await request.read())["caseNo"]
        self.arrived.setdefault(case, now)
        return web.json_response({"status": "done"})


def run(bench: Bench) -> Report:
    """One run of each phase; the spread is over the cases."""
    found = asyncio.run(_measure(bench))
    times = sorted(found["ms"])
    cuts = statistics.quantiles(times, n=1000)
    line = {
        "": "accepted → call begins, ms",
        "cases": len(times),
        "cases per second": round(found["rate"]),
        "median": round(cuts[499], 1),
        "p95": round(cuts[949], 1),
        "p99": round(cuts[989], 1),
        "highest": round(times[-1], 1),
    }
    reached = "达到 / reached" if cuts[989] <= WANTED_MS else "未达到 / not reached"
    return Report(
        "end to end at half the capacity: gateway, router, delivery, one process each",
        [line],
        {},
        [
            f"容量 / capacity: {found['capacity']:,.0f} cases/s, calls arriving with all cores busy",
            f"p99 ≤ {WANTED_MS} ms: {reached}",
        ],
        {"capacity_per_second": round(found["capacity"]), "rate_per_second": round(found["rate"])},
    )


async def _measure(bench: Bench) -> dict[str, Any]:
    department = Department()
    server = web.AppRunner(_application(department), access_log=None)
    await server.setup()
    department.port = free_port()
    await web.TCPSite(server, "127.0.0.1", department.port).start()
    env = _environment(bench.bootstrap, bench.scratch / "latency", department.port)
    await provision(Settings.from_env(env))
    processes = [await asyncio.to_thread(_start, role, env) for role in ROLES]
    url = "http://" + env["HUB_GATEWAY_LISTEN"] + _PATH
    count = bench.sized(8_000, 1_000)
    steady_s = bench.sized(STEADY_S, STEADY_QUICK_S)
    prepared = requests(1_000_000, _item())
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            await _until_delivered(http, url, prepared, department, processes)
            receipts = await _as_fast_as_it_goes(http, url, prepared, count)
            capacity = await _capacity(receipts, department)
            rate = capacity / 2
            receipts = await _evenly(http, url, prepared, rate, round(rate * steady_s))
            await _all_arrived(receipts, department)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            await asyncio.to_thread(process.wait)
        await server.cleanup()
    return {
        "capacity": capacity,
        "rate": rate,
        "ms": [max(0.0, department.arrived[case] - at) * 1000 for case, at in receipts.items()],
    }


def _application(department: Department) -> web.Application:
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", department.take)
    return application


def _item() -> dict[str, str]:
    item, region, _, _ = quiet_item()
    return {"item": item, "region": region}


def _environment(bootstrap: str, data: Path, port: int) -> dict[str, str]:
    env = environment(bootstrap, "latency.", data)
    # Named in the directory; nothing of what is measured goes there.
    env["HUB_NATION_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:9/none"
    for member in directory.load().members:
        prefix = f"HUB_MEMBER_{member.upper().replace('-', '_')}_"
        env.setdefault(prefix + "URL", f"http://127.0.0.1:{port}")
        for name in ("INBOUND_KEY", "OUTBOUND_KEY", "SP_KEY", "SP_SECRET"):
            env.setdefault(prefix + name, f"bench-key-0123456789abcdef-{member}")
    return env


def _start(role: str, env: dict[str, str]) -> "subprocess.Popen[bytes]":
    own = {"HUB_METRICS_LISTEN": f"127.0.0.1:{free_port()}"}
    return subprocess.Popen([sys.executable, "-m", "hub", "serve", role], env={**os.environ, **env, **own})


async def _until_delivered(
    http: aiohttp.ClientSession,
    url: str,
    prepared: Any,
    department: Department,
    processes: "list[subprocess.Popen[bytes]]",
) -> None:
    """One case all the way: then every process is up and every lane is open."""
    until = time.monotonic() + _WAIT_S_MAX
    receipts: dict[str, float] = {}
    while time.monotonic() < until:
        try:
            await _send(http, url, next(prepared), receipts)
            break
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.2)
    while not department.arrived.keys() & receipts.keys():
        ended = [process.args for process in processes if process.poll() is not None]
        if ended or time.monotonic() > until:
            raise RuntimeError(f"the first case was not delivered; ended: {ended}")
        await asyncio.sleep(0.1)


async def _send(
    http: aiohttp.ClientSession, url: str, request: tuple[bytes, dict[str, str]], receipts: dict[str, float]
) -> None:
    while True:
        async with http.post(url, data=request[0], headers=request[1]) as response:
            said = await response.read()
        if response.status == 202:
            break
        if response.status != 503:
            raise RuntimeError(f"not accepted: {response.status} {said[:300]!r}")
        await asyncio.sleep(0.1)  # no broker for a moment: the same again, as a member would
    receipts[msgspec.json.decode(said)["caseNo"]] = time.perf_counter()


async def _as_fast_as_it_goes(
    http: aiohttp.ClientSession, url: str, prepared: Any, count: int
) -> dict[str, float]:
    receipts: dict[str, float] = {}
    waiting = (next(prepared) for _ in range(count))

    async def work() -> None:
        for request in waiting:
            await _send(http, url, request, receipts)

    await asyncio.gather(*(work() for _ in range(PARALLEL)))
    return receipts


async def _capacity(receipts: dict[str, float], department: Department) -> float:
    """Calls a second from the first receipt to the last call."""
    await _all_arrived(receipts, department)
    return len(receipts) / (max(department.arrived[case] for case in receipts) - min(receipts.values()))


async def _evenly(
    http: aiohttp.ClientSession, url: str, prepared: Any, rate: float, count: int
) -> dict[str, float]:
    """Open loop: a slow answer delays no later request."""
    receipts: dict[str, float] = {}
    tasks = []
    began = time.perf_counter()
    for number in range(count):
        wait = began + number / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(_send(http, url, next(prepared), receipts)))
    await asyncio.gather(*tasks)
    return receipts


async def _all_arrived(receipts: dict[str, float], department: Department) -> None:
    until = time.monotonic() + _WAIT_S_MAX
    while missing := [case for case in receipts if case not in department.arrived]:
        if time.monotonic() > until:
            raise RuntimeError(f"{len(missing)} of {len(receipts)} cases were not delivered")
        await asyncio.sleep(0.1)
