"""What a person may tell router lanes: the writing of records of commands.router. What a command does is the
lane's (hub/router/lane.py); who may give one is the business of the console and the command line."""

import msgspec

from hub.config import Settings
from hub.errors import HubError
from hub.kafka import open_producer, write_records
from hub.router.brake import RELEASE
from hub.router.lane import Command

TOPIC = "commands.router"
INBOUND = "case.inbound"


def partition_of_lane(settings: Settings, lane: str) -> int:
    """lane: as the console names it, `case.inbound-<partition>`. Raises HubError for a lane there is none
    of."""
    topic, _, partition = lane.rpartition("-")
    if topic != INBOUND or not partition.isascii() or not partition.isdigit():
        raise HubError(f"没有这条路由通道 / no such router lane: {lane}")
    if int(partition) >= settings.partitions:
        raise HubError(f"没有这条路由通道 / no such router lane: {lane}")
    return int(partition)


async def release_brake(settings: Settings, lane: str, by: str, reason: str) -> None:
    """Let a router lane's park brake off (R24). Raises BrokerAway, HubError for a lane there is none of."""
    partition = partition_of_lane(settings, lane)
    value = msgspec.json.encode(Command(RELEASE, by, reason))
    await write_records(settings, TOPIC, partition, [(lane.encode(), value, [])])


async def redrive_case(settings: Settings, number: str, by: str, reason: str) -> None:
    """Hand a redrive to the lane that owns the case; the lane carries it out in its own transaction. Raises
    BrokerAway."""
    value = msgspec.json.encode(Command("redrive", by, reason))
    async with open_producer(settings) as producer:
        await producer.send(TOPIC, number.encode(), value, [])
