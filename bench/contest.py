"""One contestant works off one filled input topic: started, watched from outside, ended, its outputs checked.

Progress is what the contestant committed, the same question to all of them. The first fifth of the input is
warm-up for everybody (a JIT compiler, connections, caches) and not measured.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # public, not marked so

from bench.harness import Bench, Figures, cpu_seconds
from bench.load import case_messages, distinct, fill, total
from hub.config import Settings
from hub.provision import provision

WARM_UP = 0.2
STEPS = 18
STALL_S_MAX = 60.0
STOP_S_MAX = 30.0
_LOOK_S = 0.02
_NOT_YET = (KafkaError._UNKNOWN_PARTITION, KafkaError.NOT_LEADER_FOR_PARTITION)
_SIZE = {"max.message.bytes": "1114112"}


@dataclass(frozen=True)
class Job:
    """What a contestant is given. name: unique, for groups, transactional ids and topics. inputs: records on
    the topic, repeats included; distinct: without them."""

    name: str
    bootstrap: str
    topic: str
    partitions: int
    inputs: int
    distinct: int
    scratch: Path


@dataclass(frozen=True)
class Contestant:
    """command, environment: of one worker process. group: whose committed offsets are its progress; None: the
    ends of its one output topic are. outputs: topic -> partitions, created before and deleted after.
    complete: groups of topics that together must hold every distinct id once at the end; counted: topics that
    must hold every input. slow: given a tenth of the input."""

    name: str
    command: Callable[[Job, int], Sequence[str]]
    environment: Callable[[Job, int], Mapping[str, str]]
    group: Callable[[Job], str] | None
    outputs: Callable[[Job], Mapping[str, int]]
    complete: Callable[[Job], Sequence[Sequence[str]]] = lambda job: ()
    counted: Callable[[Job], Sequence[str]] = lambda job: ()
    changelogs: Callable[[Job], Sequence[str]] = lambda job: ()
    workers: int = 1
    slow: bool = False


def input_job(bench: Bench, prefix: str, partitions: int, cases: int, *, quiet: bool = True) -> Job:
    """Fill `<prefix>case.inbound` once, 20 messages a case; every measurement reads the same records. A
    pattern: `contest` makes a job of it for each measurement."""
    settings = Settings.from_env(
        {
            "HUB_KAFKA_BOOTSTRAP": bench.bootstrap,
            "HUB_TOPIC_PREFIX": prefix,
            "HUB_PARTITIONS": str(partitions),
        }
    )
    asyncio.run(provision(settings))
    asyncio.run(fill(settings, case_messages(cases, STEPS, quiet=quiet, repeated=True), partitions))
    inputs, ids = total(cases, STEPS), distinct(cases, STEPS)
    return Job(
        prefix, bench.bootstrap, prefix + "case.inbound", partitions, inputs, ids, bench.scratch / prefix
    )


def contest(
    bench: Bench, contestants: Sequence[Contestant], job: Job, few: Job
) -> tuple[dict[str, list[Figures]], list[str]]:
    """Each in turn, again and again, so that a busy minute of the machine meets all of them. One that fails
    is left out, and the second value says why. few: the input of the slow ones."""
    measured: dict[str, list[Figures]] = {}
    failed: dict[str, str] = {}
    for number in range(bench.runs):
        for place, one in enumerate(contestants):
            if one.name in failed:
                continue
            given = few if one.slow else job
            name = f"{job.name}{place}.{number}"
            try:
                figures = measure(bench, one, replace(given, name=name, scratch=bench.scratch / name))
            except Failed as failure:
                failed[one.name] = str(failure)
                measured.pop(one.name, None)
                bench.say(str(failure))
                continue
            measured.setdefault(one.name, []).append(figures)
            bench.say(
                f"{number + 1}/{bench.runs} {one.name}: {figures.per_second:,.0f}/s, "
                f"{figures.per_cpu_second:,.0f} per CPU-second"
            )
    return measured, [f"{name}: {text}" for name, text in failed.items()]


class Failed(Exception):
    """A contestant ended early, stalled, or its outputs are not what they must be: its rate means nothing."""


def measure(bench: Bench, one: Contestant, job: Job) -> Figures:
    """One measurement. Raises Failed."""
    admin = AdminClient({"bootstrap.servers": bench.bootstrap})
    job.scratch.mkdir(parents=True)
    _create(admin, one, job)
    _rewind(one, job)
    log = (job.scratch / "log").open("wb")
    processes = [
        subprocess.Popen(
            list(one.command(job, number)),
            env={**os.environ, **one.environment(job, number)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        for number in range(one.workers)
    ]
    try:
        figures = _watch(one, job, processes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            _ended(process)
        log.close()
    try:
        _check(one, job)
    finally:
        _remove(admin, one, job)
    return figures


def _watch(one: Contestant, job: Job, processes: "list[subprocess.Popen[bytes]]") -> Figures:
    pids = [process.pid for process in processes]
    look = _ends(one, job) if one.group is None else _committed(one, job)
    began, cpu, first, seen, moved = 0.0, 0.0, 0, 0, time.monotonic()
    while True:
        done = look()
        now = time.perf_counter()
        if done > seen:
            seen, moved = done, time.monotonic()
        if not began and done >= WARM_UP * job.inputs:
            began, cpu, first = now, cpu_seconds(pids), done
        if done >= job.inputs:
            if first >= job.inputs:
                raise Failed(f"{one.name}: done between two looks; it needs more input to be measured")
            return Figures(done - first, now - began, cpu_seconds(pids) - cpu)
        gone = [process.returncode for process in processes if process.poll() is not None]
        if gone:
            raise Failed(f"{one.name} ended with {gone}: {_tail(job)}")
        if time.monotonic() - moved > STALL_S_MAX:
            raise Failed(f"{one.name} stands at {seen} of {job.inputs}: {_tail(job)}")
        time.sleep(_LOOK_S)


def _committed(one: Contestant, job: Job) -> Callable[[], int]:
    assert one.group is not None
    # Not a member: it only asks what the group has committed.
    reader = _reader(job, one.group(job))
    places = [TopicPartition(job.topic, number) for number in range(job.partitions)]

    def look() -> int:
        return sum(max(place.offset, 0) for place in reader.committed(places, timeout=30))

    return look


def _ends(one: Contestant, job: Job) -> Callable[[], int]:
    reader = _reader(job)
    places = [TopicPartition(topic, n) for topic, count in one.outputs(job).items() for n in range(count)]

    def look() -> int:
        try:
            return sum(reader.get_watermark_offsets(place, timeout=10)[1] for place in places)
        except KafkaException as error:
            # The client, or the broker, does not know a topic that was made a moment ago.
            if error.args[0].code() not in _NOT_YET:
                raise
            return 0

    return look


def _check(one: Contestant, job: Job) -> None:
    """Outputs complete and each once, before a rate is believed. An id is the ce_id header."""
    partitions = one.outputs(job)
    for topics in one.complete(job):
        ids = Counter(id_ for topic in topics for id_ in _ids(job, topic, partitions[topic]))
        twice = sum(1 for count in ids.values() if count > 1)
        if len(ids) != job.distinct or twice:
            raise Failed(f"{one.name}: {topics}: {len(ids)} of {job.distinct} ids, {twice} more than once")
    for topic in one.counted(job):
        found = sum(1 for _ in _ids(job, topic, partitions[topic]))
        if found != job.inputs:
            raise Failed(f"{one.name}: {topic}: {found} of {job.inputs} records")


def _ids(job: Job, topic: str, partitions: int) -> list[str]:
    reader = _reader(job)
    left = {}
    for number in range(partitions):
        low, high = reader.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
        if high > low:
            left[number] = high
    reader.assign([TopicPartition(topic, number, 0) for number in left])
    found = []
    try:
        while left:
            for record in reader.consume(10_000, 0.2):
                if record.error():
                    raise KafkaException(record.error())
                headers: dict[str, Any] = dict(record.headers() or ())
                found.append(str(headers["ce_id"], "ascii"))
            for place in reader.position([TopicPartition(topic, number) for number in left]):
                if place.offset >= left[place.partition]:
                    del left[place.partition]
    finally:
        reader.close()
    return found


def _reader(job: Job, group: str = "") -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": job.bootstrap,
            "group.id": group or f"bench-check-{time.monotonic_ns()}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )


def _create(admin: AdminClient, one: Contestant, job: Job) -> None:
    wanted = [
        NewTopic(topic, count, 1, config={**_SIZE, "cleanup.policy": "delete"})
        for topic, count in one.outputs(job).items()
    ] + [
        NewTopic(topic, job.partitions, 1, config={**_SIZE, "cleanup.policy": "compact"})
        for topic in one.changelogs(job)
    ]
    _delete(admin, [topic.topic for topic in wanted])
    until = time.monotonic() + STOP_S_MAX
    while wanted:
        left = []
        for topic, future in zip(wanted, admin.create_topics(wanted).values(), strict=True):
            try:
                future.result()
            except KafkaException as error:
                # One that was just deleted may be known for a moment longer.
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS or time.monotonic() > until:
                    raise
                left.append(topic)
        wanted = left
        time.sleep(_LOOK_S if left else 0)


def _rewind(one: Contestant, job: Job) -> None:
    """A group's name may be fixed (the router's is): what an earlier run committed is not this one's."""
    if one.group is None:
        return
    reader = _reader(job, one.group(job))
    zero = [TopicPartition(job.topic, number, 0) for number in range(job.partitions)]
    until = time.monotonic() + STOP_S_MAX
    while True:
        try:
            reader.commit(offsets=zero, asynchronous=False)
            break
        except KafkaException:
            if time.monotonic() > until:  # somebody is still a member
                raise
            time.sleep(_LOOK_S)
    reader.close()


def _delete(admin: AdminClient, topics: Sequence[str]) -> None:
    for future in admin.delete_topics(list(topics)).values() if topics else ():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise


def _remove(admin: AdminClient, one: Contestant, job: Job) -> None:
    """Topics, group and files of this measurement: an hour of them would fill a disk."""
    known = admin.list_topics(timeout=10).topics
    wanted = {*one.outputs(job), *one.changelogs(job)}
    _delete(admin, [topic for topic in known if topic in wanted or job.name in topic])
    shutil.rmtree(job.scratch)


def _ended(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(job: Job) -> str:
    return (job.scratch / "log").read_text("utf-8", "replace")[-2_000:]
