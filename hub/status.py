"""What roles say of themselves: a line per lane on the compacted topic hub.status every two seconds, read by
the console.

Neither PostgreSQL nor a lane's transaction is involved (R25), and nothing decides by it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec
import structlog

from hub.config import Settings
from hub.ending import ended
from hub.kafka import BrokerAway, IntakeProducer, open_reader

log = structlog.get_logger()

TOPIC: Final = "hub.status"
INTERVAL_S: Final = 2.0


class LaneReport(msgspec.Struct, frozen=True, kw_only=True):
    """One lane as an operator sees it. state: opening | open | waiting | stopped. done: routed or delivered
    since the process began."""

    role: str
    lane: str
    state: str
    worker: str = ""
    reason: str = ""
    reopened: int = 0
    taken_in: int = 0
    calling: int = 0
    done: int = 0
    holds: int = 0
    breaker: str = ""
    suspended: str = ""
    last_delivery_ms: int = 0
    # By how much the clock of the lane's process jumped, 0 = it did not: its timers are stopped.
    clock_jump_ms: int = 0
    at_ms: int = 0

    @property
    def key(self) -> bytes:
        """The record's key: a lane has one line, whoever owns it."""
        return f"{self.role}|{self.lane}".encode()


async def read_status(settings: Settings) -> list[LaneReport]:
    """What every lane said last, in the order of role and name. Raises BrokerAway."""
    found: dict[bytes, LaneReport] = {}
    async with open_reader(settings) as reader:
        places = await reader.partitions([settings.topic(TOPIC)])
        async for records in reader.read_to_stable(await reader.start_offsets(places)):
            for record in records:
                if record.value is not None:
                    found[record.key] = msgspec.json.decode(record.value, type=LaneReport)
    return [report for _, report in sorted(found.items())]


@contextlib.asynccontextmanager
async def publish_status(
    settings: Settings, role: str, reports: Callable[[], list[LaneReport]]
) -> AsyncIterator[None]:
    """Publish the role's lanes every INTERVAL_S while the body runs; a broker that is away is only logged."""
    task = asyncio.create_task(_publish(settings, reports), name=f"status of {role}")
    try:
        yield
    finally:
        await ended(task)


async def _publish(settings: Settings, reports: Callable[[], list[LaneReport]]) -> None:
    producer = IntakeProducer(settings)
    try:
        while True:
            try:
                await producer.start()
                break
            except BrokerAway:
                await asyncio.sleep(INTERVAL_S)
                producer = IntakeProducer(settings)
        while True:
            for report in reports():
                line = msgspec.structs.replace(
                    report, at_ms=int(time.time() * 1000), worker=settings.worker_id
                )
                try:
                    await producer.send(TOPIC, line.key, msgspec.json.encode(line), [])
                except BrokerAway as error:
                    log.warning("status.unsent", reason=str(error))
            await asyncio.sleep(INTERVAL_S)
    finally:
        await producer.stop()
