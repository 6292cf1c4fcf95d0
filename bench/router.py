"""The router as shipped: `govhub serve router` in a process of its own works off a filled case.inbound.

Yardstick in the same run: librdkafka (confluent-kafka) copying the same records, consumer to idempotent
producer, no transaction.
"""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.load import case_messages, fill
from hub.config import Settings
from hub.kafka import open_reader
from hub.provision import provision

PARTITIONS = 3


async def run(bootstrap: str, prefix: str, data: Path, cases: int, steps: int) -> dict[str, Any]:
    """One measurement: {"inputs", "seconds", "per_second", "cpu_seconds", "per_cpu_second"} of one router
    process."""
    env = {
        "HUB_KAFKA_BOOTSTRAP": bootstrap,
        "HUB_TOPIC_PREFIX": prefix,
        "HUB_DATA_DIR": str(data),
        "HUB_PARTITIONS": str(PARTITIONS),
        "HUB_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef",
        "HUB_LOG_LEVEL": "WARNING",
    }
    settings = Settings.from_env(env)
    await provision(settings)
    messages = list(case_messages(cases, steps))
    await fill(settings, messages, PARTITIONS)
    process = await asyncio.to_thread(
        subprocess.Popen,  # the server measured: a process of its own
        [sys.executable, "-m", "hub", "serve", "router"],
        env={**os.environ, **env},
    )
    try:
        return await _watch(settings, process, len(messages))
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def _watch(settings: Settings, process: "subprocess.Popen[bytes]", count: int) -> dict[str, Any]:
    """From the first committed ledger line to the last; start-up is not the subject."""
    async with open_reader(settings) as reader:
        places = await reader.partitions([settings.topic("case.routed")])
        reader.assign(dict.fromkeys(places, 0))
        first, first_cpu, seen, began_with = 0.0, 0.0, 0, 0
        while seen < count:
            got = len(await reader.poll(200, 50_000))
            if got and not first:
                first, first_cpu, began_with = time.perf_counter(), cpu_seconds(process.pid), got
            seen += got
            if process.poll() is not None:
                raise RuntimeError(f"router ended with {process.returncode}")
        seconds, cpu = time.perf_counter() - first, cpu_seconds(process.pid) - first_cpu
    inputs = count - began_with
    return {
        "inputs": inputs,
        "seconds": round(seconds, 3),
        "per_second": round(inputs / seconds),
        "cpu_seconds": round(cpu, 3),
        "per_cpu_second": round(inputs / cpu) if cpu else None,
    }


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def copy(bootstrap: str, topic: str, count: int) -> dict[str, Any]:
    """librdkafka: every record of `topic` copied to `<topic>.copy`, acknowledged; the yardstick of the same
    broker and minute."""
    from confluent_kafka import Consumer, Producer

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench-{time.monotonic_ns()}",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    producer = Producer(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "queue.buffering.max.messages": 500_000}
    )
    consumer.subscribe([topic])
    began, done, cpu = 0.0, 0, 0.0
    while done < count:
        for record in consumer.consume(5_000, 1.0):
            if record.error():
                raise RuntimeError(str(record.error()))
            if not began:
                began, cpu = time.perf_counter(), time.process_time()
            producer.produce(
                topic + ".copy", record.value(), record.key(), headers=record.headers(), on_delivery=None
            )
            done += 1
        producer.poll(0)
    producer.flush(60)
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    consumer.close()
    return {
        "inputs": done,
        "seconds": round(seconds, 3),
        "per_second": round(done / seconds),
        "cpu_seconds": round(used, 3),
        "per_cpu_second": round(done / used),
    }
