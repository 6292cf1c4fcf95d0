"""What state costs: a worker with 10 million live cases, the cost of a message from 10 k to 10 M, 300 lanes
in one process.

`python -m bench.state [quick]` (quick: a hundredth of the cases). Prints JSON, keeps it under bench/results/.

The stores are filled in bulk, not by routing 10 million cases: cases of five messages with random ids and
digests (which do not compress), under keys of the true form. What is measured afterwards is real: `govhub
serve router` opens these stores, routes messages of other cases beside them, is killed and opens them again.
"""

import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.load import case_messages, fill
from hub.config import Settings
from hub.embedded.kafka import EmbeddedKafka
from hub.kafka import Admin, open_reader, write_records
from hub.lanes.lane import Lane, LaneSpec
from hub.lanes.restore import Position
from hub.lanes.store import POSITION_KEY, Store, StoreMeta, StoreResources
from hub.provision import provision
from hub.routing.state import Case, encode

RESULTS = Path(__file__).parent / "results"
PARTITIONS = 12
LANES_MANY = 300
MESSAGES_A_CASE = 5
SLICE = 5_000
BATCH = 1_000
_ID_AND_DIGEST_BYTES = 50
_LETTERS = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def states(count: int) -> Iterator[tuple[bytes, bytes]]:
    """(store key, encoded state) of accepted cases."""
    seen = _ID_AND_DIGEST_BYTES * MESSAGES_A_CASE
    case = Case(
        seen=b"\x00" * seen,
        voices=["platform", "dept-a"],
        opened=True,
        stage="accepted",
        origin="platform",
        owner="dept-a",
        item="11460000MB1234567A4000101001000",
        region="460000",
        party="p" * 32,
        accepted=True,
        changed_ms=1_700_000_000_000,
    )
    before, after = encode(case).split(b"\x00" * seen)
    for at in range(0, count, SLICE):
        size = min(SLICE, count - at)
        ids, keys = os.urandom(size * seen), os.urandom(size * 17)
        letters = keys.translate(bytes(_LETTERS[n & 31] for n in range(256)))
        for n in range(size):
            yield b"c46" + letters[n * 17 : n * 17 + 17], before + ids[n * seen : n * seen + seen] + after


def fill_store(store: Store, count: int, meta: StoreMeta, extra: dict[bytes, bytes | None]) -> list[bytes]:
    """Write that many cases; returns some of their keys, to ask for."""
    asked: list[bytes] = []
    changes: dict[bytes, bytes | None] = dict(extra)
    every = max(1, count // 50_000)
    for n, (key, value) in enumerate(states(count)):
        changes[key] = value
        if n % every == 0:
            asked.append(key)
        if len(changes) >= SLICE:
            store.write(changes, meta)
            changes.clear()
    store.write(changes, meta)
    return asked


def cost_of_a_message(stores: list[Store], asked: list[list[bytes]]) -> dict[str, float]:
    """The state's share of a message: look its case up, write it back; microseconds of the lane's thread.
    Cases drawn at random from all there are, which is the worst for every cache, and from a hundredth of
    them, as most of a day's messages are about cases that were touched lately."""
    draw = random.Random(7)
    value = stores[0].get(asked[0][0])
    gets: list[float] = []
    hot: list[float] = []
    puts: list[float] = []
    for number in range(36):
        store, known = stores[number % len(stores)], asked[number % len(stores)]
        for pool, times in ((known, gets), (known[: len(known) // 100 + 1], hot)):
            keys = draw.choices(pool, k=BATCH)
            if times is hot:
                store.get_many(keys)
            began = time.thread_time()
            found = store.get_many(keys)
            times.append((time.thread_time() - began) / BATCH * 1e6)
            assert None not in found
        meta, changed = store.meta(), draw.choices(known, k=BATCH)
        assert meta is not None
        began = time.thread_time()
        store.write(dict.fromkeys(changed, value), meta)
        puts.append((time.thread_time() - began) / BATCH * 1e6)
    return {
        "get_any_us": _median(gets),
        "get_recent_us": _median(hot),
        "put_us": _median(puts),
    }


async def worker_with(bootstrap: str, scratch: Path, cases: int) -> dict[str, Any]:
    """A router with that many live cases in 12 lanes."""
    env = {
        "HUB_KAFKA_BOOTSTRAP": bootstrap,
        "HUB_TOPIC_PREFIX": f"n{cases}.",
        "HUB_DATA_DIR": str(scratch / str(cases)),
        "HUB_PARTITIONS": str(PARTITIONS),
        "HUB_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef",
    }
    settings = Settings.from_env(env)
    await provision(settings)
    began = time.perf_counter()
    cost = await _prefill(settings, cases)
    filled_s = time.perf_counter() - began
    disk = sum(file.stat().st_size for file in settings.data_dir.rglob("*") if file.is_file())
    return {
        "cases": cases,
        "filled_in_s": round(filled_s, 1),
        "disk_mb": disk >> 20,
        **cost,
        **await _routed(settings, env, scratch / f"{cases}.log"),
    }


async def _prefill(settings: Settings, cases: int) -> dict[str, float]:
    """Stores as if a worker had gone away in order: in step with a changelog whose last record is the
    position. Returns what a message costs in them."""
    async with Admin(settings) as admin:
        cluster_id = await admin.cluster_id()
    resources = StoreResources(settings)
    stores: list[Store] = []
    asked: list[list[bytes]] = []
    for partition in range(PARTITIONS):
        incarnation = uuid.uuid4().hex
        position = msgspec.msgpack.encode(
            Position({f"case.inbound-{partition}": 0, f"commands.router-{partition}": 0}, incarnation)
        )
        await write_records(settings, "router.changelog", partition, [(POSITION_KEY, position, [])])
        meta = StoreMeta(cluster_id, incarnation, 1, int(time.time() * 1000))
        spec = LaneSpec(
            "router", ("case.inbound", "commands.router"), partition, "router.changelog", partition
        )
        stores.append(Store(spec.store_path(settings), resources))
        asked.append(
            await asyncio.to_thread(
                fill_store, stores[-1], cases // PARTITIONS, meta, {POSITION_KEY: position}
            )
        )
    cost = cost_of_a_message(stores, asked)
    for store in stores:
        store.close()
    return cost


async def _routed(settings: Settings, env: dict[str, str], log: Path) -> dict[str, Any]:
    """Route 3,000 new cases of eight messages, killed and opened again in between."""
    messages = list(case_messages(3_000, 6))
    half = len(messages) // 2
    process, opened_s = await asyncio.to_thread(_open, env, log, 1)
    try:
        cpu, began = _cpu_s(process.pid), time.perf_counter()
        await fill(settings, messages[:half], PARTITIONS)
        await _ledger(settings, half)
        seconds, used = time.perf_counter() - began, _cpu_s(process.pid) - cpu
        rss = _status_mb(process.pid, "VmRSS"), _status_mb(process.pid, "VmHWM")
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        process, reopened_s = await asyncio.to_thread(_open, env, log, 2)
        await fill(settings, messages[half:], PARTITIONS)
        await _ledger(settings, len(messages))
        again = _status_mb(process.pid, "VmRSS"), _status_mb(process.pid, "VmHWM")
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
    return {
        "opened_s": opened_s,
        "reopened_after_kill_s": reopened_s,
        "rss_mb": max(rss[0], again[0]),
        "rss_highest_mb": max(rss[1], again[1]),
        "inputs_per_s": round(half / seconds),
        "cpu_us_an_input": round(used / half * 1e6, 1),
    }


def _open(env: dict[str, str], log: Path, generation: int) -> "tuple[subprocess.Popen[bytes], float]":
    """A router process; seconds from its start (imports, join and all) until every lane is open."""
    began = time.perf_counter()
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "hub", "serve", "router"],
            env={**os.environ, **env},
            stdout=out,
            stderr=out,
        )
    while log.read_text().count('"lane.open"') < PARTITIONS * generation:
        if process.poll() is not None or time.perf_counter() - began > 120:
            process.kill()
            raise RuntimeError(f"router did not open its lanes: {log.read_text()[-2_000:]}")
        time.sleep(0.02)
    return process, round(time.perf_counter() - began, 2)


async def _ledger(settings: Settings, count: int) -> None:
    async with open_reader(settings) as reader:
        places = await reader.partitions([settings.topic("case.routed")])
        reader.assign(dict.fromkeys(places, 0))
        seen = 0
        while seen < count:
            seen += len(await reader.poll(200, 50_000))


async def many_lanes(bootstrap: str, scratch: Path, lanes: int) -> dict[str, Any]:
    """That many open lanes in this process: descriptors and memory, before, open, and after a commit in
    each."""
    settings = Settings.from_env(
        {"HUB_KAFKA_BOOTSTRAP": bootstrap, "HUB_TOPIC_PREFIX": "many.", "HUB_DATA_DIR": str(scratch / "many")}
    )
    async with Admin(settings) as admin:
        for topic in ("in", "log"):
            await admin.create(settings.topic(topic), lanes, 1, {})
    before = _descriptors(), _status_mb(os.getpid(), "VmRSS")
    resources = StoreResources(settings)
    opened = [
        Lane(settings, LaneSpec("many", ("in",), n, "log", n), resources, "bench") for n in range(lanes)
    ]
    began = time.perf_counter()
    async with contextlib.AsyncExitStack() as stack:
        for lane in opened:
            stack.push_async_callback(lane.close)
        limit = asyncio.Semaphore(16)

        async def open_one(lane: Lane) -> None:
            async with limit:
                await lane.open()

        await asyncio.gather(*(open_one(lane) for lane in opened))
        open_s = time.perf_counter() - began
        after = _descriptors(), _status_mb(os.getpid(), "VmRSS")
        for _ in range(3):
            for lane in opened:
                await lane.commit({}, {b"k%d" % n: os.urandom(500) for n in range(200)}, [])
        worked = _descriptors(), _status_mb(os.getpid(), "VmRSS")
    return {
        "lanes": lanes,
        "open_s": round(open_s, 1),
        "descriptors": {"before": before[0], "open": after[0], "worked": worked[0]},
        "rss_mb": {"before": before[1], "open": after[1], "worked": worked[1]},
        "descriptors_a_lane": round((worked[0] - before[0]) / lanes, 1),
        "rss_kb_a_lane": round((worked[1] - before[1]) * 1024 / lanes),
    }


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _status_mb(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) >> 10
    raise LookupError(field)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 2)


def run(quick: bool) -> dict[str, Any]:
    """Everything; quick: a hundredth of the cases, a tenth of the lanes."""
    sizes, lanes = ((10_000, 100_000), 30) if quick else ((10_000, 1_000_000, 10_000_000), LANES_MANY)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        workers = []
        with EmbeddedKafka(scratch / "kafka", heap_mb=1024) as broker:
            many = asyncio.run(many_lanes(broker.bootstrap, scratch, lanes))
            print(many, flush=True)
            for size in sizes:
                workers.append(asyncio.run(worker_with(broker.bootstrap, scratch, size)))
                print(workers[-1], flush=True)
    return {"quick": quick, "many_lanes": many, "workers": workers}


def main() -> None:
    quick = "quick" in sys.argv[1:]
    report = run(quick)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"state{'-quick' if quick else ''}.json"
    file.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
