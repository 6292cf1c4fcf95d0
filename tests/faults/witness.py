"""The witness: an outside consumer (librdkafka, read_committed) that reads every ledger topic from the
first record on, while faults happen.

It only collects. What it saw is compared at the end with what a fresh reader finds, so a record that
vanishes is noticed.
"""

import asyncio
import itertools
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from hub.config import Settings
from hub.kafka import open_reader
from tests.faults.town import MEMBERS

KEYED = ("case.inbound", "case.routed", "case.events", "case.outcomes")
TOPICS = (*KEYED, *(f"deliver.{member}" for member in MEMBERS))


@dataclass(frozen=True)
class Seen:
    """One committed record. at: when the witness got it, monotonic seconds; 0 in a later reading."""

    topic: str
    partition: int
    offset: int
    key: bytes
    headers: dict[str, bytes]
    value: bytes
    at: float = 0.0


class Witness:
    """Reads in a thread of its own until stopped; `seen` grows."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self.seen: list[Seen] = []
        self.trouble = ""

    def start(self) -> None:
        """Begin at the first record of every topic."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        settings = self._settings
        consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "group.id": "witness",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        places = [
            TopicPartition(settings.topic(topic), partition, 0)
            for topic in TOPICS
            for partition in range(settings.partitions if topic in KEYED else 1)
        ]
        consumer.assign(places)
        try:
            while not self._stop.is_set():
                for record in consumer.consume(500, 0.1):
                    if (error := record.error()) is not None:
                        if not error.retriable() and error.name() not in _PASSING:
                            self.trouble = str(error)
                        continue
                    self.seen.append(_seen(settings, record, time.monotonic()))
        except KafkaException as error:
            self.trouble = str(error)
        finally:
            consumer.close()


_PASSING = frozenset({"_ALL_BROKERS_DOWN", "_TRANSPORT", "_RESOLVE", "_TIMED_OUT", "_MAX_POLL_EXCEEDED"})


def _seen(settings: Settings, record: Any, at: float) -> Seen:
    return Seen(
        settings.bare(record.topic()),
        record.partition(),
        record.offset(),
        record.key() or b"",
        dict(record.headers() or ()),
        record.value() or b"",
        at,
    )


async def read_again(settings: Settings) -> list[Seen]:
    """Every committed record as a reader that begins now finds it (aiokafka)."""
    found: list[Seen] = []
    async with open_reader(settings) as reader:
        places = await reader.partitions([settings.topic(topic) for topic in TOPICS])
        async for batch in reader.read_to_stable(await reader.start_offsets(places)):
            found += [
                Seen(
                    settings.bare(r.topic),
                    r.partition,
                    r.offset,
                    r.key or b"",
                    dict(r.headers),
                    r.value or b"",
                )
                for r in batch
            ]
    return found


def longest_gap_s(seen: list[Seen], topic: str, began: float, ended: float) -> float:
    """The longest time between `began` and `ended` without a new record, over the topic's partitions."""
    arrivals: dict[int, list[float]] = defaultdict(list)
    for one in seen:
        if one.topic == topic and began <= one.at <= ended:
            arrivals[one.partition].append(one.at)
    return max((longest_pause_s(sorted(at), began, ended) for at in arrivals.values()), default=ended - began)


def longest_pause_s(at: list[float], began: float, ended: float) -> float:
    """The longest pause in ascending moments, the ends included."""
    edges = [began, *at, ended]
    return max(later - earlier for earlier, later in itertools.pairwise(edges))


async def caught_up(witness: Witness, settings: Settings, wait_s: float) -> list[Seen]:
    """What a fresh reader finds, once the witness has seen as much or wait_s is over."""
    until = time.monotonic() + wait_s
    again = await read_again(settings)
    while len(witness.seen) < len(again) and time.monotonic() < until:
        await asyncio.sleep(0.2)
    return again
