"""Disks that fill up, and everything being away for longer than Kafka remembers things."""

import asyncio
import os
from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from tests.faults.faults_of_members import away
from tests.faults.run import BLIND_DOUBT, Cell, Run
from tests.faults.witness import Seen
from tests.faults.world import Shape, can_mount

FULL_S = 8.0
STOPPED_S = 75.0
STORE_MIB = 48
BROKER_MIB = 160
# A minute is the least that Kafka takes.
FORGETFUL = {"offsets.retention.minutes": "1", "offsets.retention.check.interval.ms": "1000"}
SHORT_LOG = {
    "log.retention.ms": "3000",
    "log.retention.check.interval.ms": "1000",
    "log.roll.ms": "2000",
    "log.segment.delete.delay.ms": "500",
}


def fill(disk: Path) -> Path:
    """Take every byte that is left."""
    filler = disk / "filler"
    with filler.open("wb") as out:
        try:
            while True:
                out.write(b"\0" * 65_536)
                out.flush()
        except OSError:
            pass
    return filler


def no_mount() -> str:
    """Why a disk of a given size cannot be had here."""
    return "" if can_mount() else "a small disk needs root and mount / 需要 root 与 mount"


async def store_full(run: Run) -> None:
    """A router's and the delivery process's disks are full for a while."""
    disks = [run.world.base / "data" / name for name in ("router-1", "delivery-1")]
    fillers = [await asyncio.to_thread(fill, disk) for disk in disks]
    await asyncio.sleep(FULL_S)
    run.facts["free while full"] = [os.statvfs(disk).f_bavail for disk in disks]
    for filler in fillers:
        filler.unlink()
    await run.more(60)


async def broker_full(run: Run) -> None:
    """The broker's disk is full: it stops by itself; it is given room and started again."""
    assert run.world.kafka is not None
    filler = await asyncio.to_thread(fill, run.world.base / "kafka")
    kafka = run.world.kafka
    for _ in range(60):
        if not kafka.running:
            break
        await asyncio.sleep(0.5)
    run.facts["broker stopped by itself"] = not kafka.running
    filler.unlink()
    if not kafka.running:
        await asyncio.to_thread(kafka.stop)
        await asyncio.to_thread(kafka.start)
    await run.more(80)


async def longer_than_offsets(run: Run) -> None:
    """All roles are stopped until the group's offsets have expired; messages keep coming meanwhile."""
    await asyncio.to_thread(run.world.stop_roles)
    await asyncio.sleep(STOPPED_S)
    left = await asyncio.to_thread(_offsets, run)
    run.facts["group offsets left"] = left
    await asyncio.to_thread(run.world.start_roles)
    await run.more(200)


def _offsets(run: Run) -> int:
    client = AdminClient({"bootstrap.servers": run.world.witness_bootstrap})
    groups = [run.world.settings.topic_prefix + name for name in ("govhub.router", "govhub.delivery")]
    count = 0
    for group in groups:
        asked = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        count += sum(place.offset >= 0 for place in asked[group].result().topic_partitions)
    return count


async def offsets_expired(run: Run, seen: list[Seen]) -> list[str]:
    """The cell means nothing unless they did."""
    return [] if run.facts["group offsets left"] == 0 else ["the group's offsets had not expired"]


async def nothing_expired(run: Run, seen: list[Seen]) -> list[str]:
    """Every partition still begins at its first record."""
    first: dict[tuple[str, int], int] = {}
    for one in seen:
        place = one.topic, one.partition
        first[place] = min(first.get(place, one.offset), one.offset)
    return [f"{place} begins at {offset}" for place, offset in first.items() if offset > 2]


CELLS = (
    Cell(
        "disk-full-store",
        f"disks of a router and of the delivery process full for {FULL_S:.0f} s",
        store_full,
        Shape(tmpfs={"data/router-1": STORE_MIB, "data/delivery-1": STORE_MIB}),
        imposed_s=FULL_S,
        skip=no_mount,
    ),
    Cell(
        "disk-full-broker",
        "the broker's disk full; room is made, it is started again",
        broker_full,
        Shape(own_broker=True, tmpfs={"kafka": BROKER_MIB}),
        skip=no_mount,
    ),
    Cell(
        "stopped-longer-than-offsets",
        f"all roles stopped {STOPPED_S:.0f} s, offset retention 60 s",
        longer_than_offsets,
        Shape(own_broker=True, routers=1, broker=FORGETFUL),
        allowed=BLIND_DOUBT,
        check=offsets_expired,
        imposed_s=STOPPED_S,
        rate=15.0,
        drain_s=120.0,
    ),
    Cell(
        "away-longer-than-retention",
        "a member away 12 s, the broker's default retention 3 s",
        away("bureau"),
        Shape(own_broker=True, routers=1, broker=SHORT_LOG),
        allowed=BLIND_DOUBT,
        check=nothing_expired,
        imposed_s=12.0,
    ),
)
