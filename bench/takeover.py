"""How long lanes stand still when a worker is killed or stopped in order, with a stand-by and without any
state at hand.

`python -m bench.takeover [quick]`: real processes over an embedded broker, a trickle of messages to every
lane; the figure is the longest time in which a lane of the worker that went routed nothing. Prints JSON,
keeps it under bench/results/.
"""

import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.load import case_messages
from hub import envelope
from hub.config import Settings
from hub.embedded.kafka import EmbeddedKafka
from hub.kafka import Reader, TopicPartition, open_producer, open_reader
from hub.provision import provision

RESULTS = Path(__file__).parent / "results"
PARTITIONS = 6
CASES = 600
EVERY_S = 0.02
ROUNDS = 3


class Workers:
    """Router processes, each with a data directory of its own."""

    def __init__(self, env: dict[str, str], scratch: Path) -> None:
        self._env = env
        self._scratch = scratch
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    async def join(self, name: str, *, standbys: bool = True) -> None:
        """Start a worker and wait until it has lanes."""
        had = self.opened(name)
        self.start(name, standbys=standbys)
        until = time.monotonic() + 60
        while self.opened(name) == had:
            if time.monotonic() > until:
                raise TimeoutError(f"worker {name} got no lane")
            await asyncio.sleep(0.1)

    def start(self, name: str, *, standbys: bool = True) -> None:
        own = {"HUB_DATA_DIR": str(self._scratch / name), "HUB_WORKER_ID": name}
        if not standbys:
            own["HUB_STANDBY_REPLICAS"] = "0"
        with (self._scratch / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "hub", "serve", "router"],
                env={**os.environ, **self._env, **own},
                stdout=log,
                stderr=log,
            )

    def opened(self, name: str) -> int:
        """How often this worker has opened a lane."""
        log = self._scratch / f"{name}.log"
        return log.read_text().count('"lane.open"') if log.exists() else 0

    def end(self, name: str, number: signal.Signals) -> None:
        process = self.running.pop(name)
        process.send_signal(number)
        process.wait()

    def forget(self, name: str) -> None:
        """The machine is a new one."""
        shutil.rmtree(self._scratch / name)

    def stop(self) -> None:
        for name in list(self.running):
            self.end(name, signal.SIGKILL)


class Watch:
    """When each lane last routed something, and the longest silence since `begin`."""

    def __init__(self, reader: Reader, places: list[TopicPartition]) -> None:
        self._reader = reader
        self._places = places
        self.last = dict.fromkeys(places, time.monotonic())
        self.gap = dict.fromkeys(places, 0.0)

    async def run(self) -> None:
        self._reader.assign(await self._reader.stable_offsets(self._places))
        while True:
            records = await self._reader.poll(50, 10_000)
            now = time.monotonic()
            for place in {TopicPartition(r.topic, r.partition) for r in records}:
                self.gap[place] = max(self.gap[place], now - self.last[place])
                self.last[place] = now

    def begin(self) -> None:
        now = time.monotonic()
        self.last = dict.fromkeys(self._places, now)
        self.gap = dict.fromkeys(self._places, 0.0)

    def longest(self) -> float:
        now = time.monotonic()
        return max(max(self.gap[place], now - self.last[place]) for place in self._places)

    async def until_all_speak(self, seconds_max: float) -> None:
        began, until = time.monotonic(), time.monotonic() + seconds_max
        while min(self.last.values()) <= began:
            if time.monotonic() > until:
                raise TimeoutError(f"lanes that route nothing: {self.last}")
            await asyncio.sleep(0.05)


async def run(bootstrap: str, scratch: Path, rounds: int = ROUNDS) -> dict[str, Any]:
    """Longest silence of a lane in seconds: {"killed_with_standby", "killed_without_state",
    "stopped_in_order", "session_timeout"}."""
    env = {
        "HUB_KAFKA_BOOTSTRAP": bootstrap,
        "HUB_PARTITIONS": str(PARTITIONS),
        "HUB_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef",
        "HUB_LOG_LEVEL": "INFO",
    }
    settings = Settings.from_env(env)
    await provision(settings)
    workers = Workers(env, scratch)
    feeding = asyncio.create_task(_feed(settings))
    kinds = (("killed_with_standby", signal.SIGKILL), ("stopped_in_order", signal.SIGTERM))
    without = "killed_without_state"
    figures: dict[str, list[float]] = {name: [] for name in (*dict(kinds), without)}
    try:
        async with open_reader(settings) as reader:
            watch = Watch(reader, await reader.partitions([settings.topic("case.routed")]))
            watching = asyncio.create_task(watch.run())
            for name in ("a", "b"):
                await workers.join(name)
            for number in range(rounds):
                for what, how in kinds:
                    figures[what].append(await _one(workers, watch, how, forget=False))
                figures[without].append(await _one(workers, watch, signal.SIGKILL, forget=True))
                last = {name: round(found[-1], 2) for name, found in figures.items()}
                print(f"{number + 1}/{rounds} {last}", flush=True)
            watching.cancel()
    finally:
        feeding.cancel()
        workers.stop()
    return {
        "session_timeout_s": settings.session_timeout_ms / 1000,
        "heartbeat_interval_s": settings.heartbeat_interval_ms / 1000,
        "lanes": PARTITIONS,
        "median_s": {name: round(statistics.median(found), 2) for name, found in figures.items()},
        "worst_s": {name: round(max(found), 2) for name, found in figures.items()},
        "runs_s": {name: [round(one, 2) for one in found] for name, found in figures.items()},
    }


async def _one(workers: Workers, watch: Watch, how: signal.Signals, *, forget: bool) -> float:
    """Worker `b` goes and comes back; the silence is measured until every lane routes again. forget: the one
    that takes over has never seen these lanes (its stores are taken away, and it starts anew beforehand)."""
    if forget:
        await asyncio.to_thread(workers.end, "a", signal.SIGTERM)
        workers.forget("a")
        await watch.until_all_speak(60)
        await workers.join("a", standbys=False)
    # The stand-bys come near meanwhile, and every lane is at work.
    await asyncio.sleep(3)
    await watch.until_all_speak(60)
    watch.begin()
    await asyncio.to_thread(workers.end, "b", how)
    await asyncio.sleep(0.5)
    await watch.until_all_speak(60)
    gap = watch.longest()
    if forget:
        await asyncio.to_thread(workers.end, "a", signal.SIGTERM)
        await workers.join("a")
    await workers.join("b")
    return gap


async def _feed(settings: Settings) -> None:
    """A message to some case of every lane, all the time: without input a lane is silent for no fault of its
    own."""
    messages = list(case_messages(CASES, 200))
    async with open_producer(settings) as producer:
        at = 0
        while True:
            wave = messages[at : at + 12]
            at = (at + 12) % len(messages)
            await asyncio.gather(
                *(
                    producer.send("case.inbound", one.subject.encode(), one.value, envelope.to_headers(one))
                    for one in wave
                )
            )
            await asyncio.sleep(EVERY_S)


def main() -> None:
    """All rounds, or one with `quick`."""
    quick = "quick" in sys.argv[1:]
    with (
        tempfile.TemporaryDirectory() as scratch,
        EmbeddedKafka(Path(scratch) / "kafka", heap_mb=512) as broker,
    ):
        report = asyncio.run(run(broker.bootstrap, Path(scratch), 1 if quick else ROUNDS))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"takeover{'-quick' if quick else ''}.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
