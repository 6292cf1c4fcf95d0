"""The hub's own lane with nothing to decide: every record copied in the lane's transactions, position and
store written as ever. What the protocol costs, and the upper bound of any router on it."""

import asyncio
import signal
from pathlib import Path

import uvloop

from bench.peers.work import Given, given
from hub.app import _spare_collector
from hub.config import Settings
from hub.kafka import Admin
from hub.lanes.lane import Lane, LaneSpec
from hub.lanes.store import StoreResources

WAIT_MS = 200


async def _lane(lane: Lane, target: tuple[str, int], records_max: int) -> None:
    await lane.open()
    ahead = None
    try:
        while True:
            records = await (ahead or lane.poll(WAIT_MS, records_max))
            ahead = None
            if records:
                outputs = [(r.key, r.value, list(r.headers), r.timestamp) for r in records]
                ahead = asyncio.create_task(lane.poll(WAIT_MS, records_max))
                await lane.commit({target: outputs}, {}, records)
    finally:
        if ahead is not None:
            ahead.cancel()
        await lane.close()


async def _main(job: Given) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Settings.from_env(
        {"HUB_KAFKA_BOOTSTRAP": job.bootstrap, "HUB_DATA_DIR": str(Path(job.scratch) / "data")}
    )
    async with Admin(settings) as admin:
        cluster = await admin.cluster_id()
    resources = StoreResources(settings)
    tasks = []
    for number in range(job.partitions):
        spec = LaneSpec(job.name, (job.topic,), number, job.outputs["changelog"], number)
        lane = Lane(settings, spec, resources, cluster)
        target = (job.outputs["copy"], number)
        tasks.append(asyncio.create_task(_lane(lane, target, settings.batch_records_max)))
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for ended in done:
        ended.result()


if __name__ == "__main__":
    _spare_collector()
    uvloop.run(_main(given()))
