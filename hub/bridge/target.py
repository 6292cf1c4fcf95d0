"""Which cluster a region is: asked there, and remembered on our own bridge.changelog at the first contact.

A bridge whose setting leads to a third cluster finds no cursor there and would send everything again.
"""

import asyncio
import time
from typing import Final

import structlog

from hub.bridge.changelog import CHANGELOG, own_entry
from hub.bridge.model import NO_LANE, Target, decode, encode, target_key
from hub.config import Settings
from hub.errors import BrokerAway, Fenced
from hub.kafka import Admin, LaneProducer, Output
from hub.kafka.topic_ids import topic_ids

log = structlog.get_logger()

_FENCED_AGAIN_S: Final = 0.2
_FENCED_TIMES_MAX: Final = 50


async def look(target: Settings) -> Target:
    """The cluster as it answers now. Raises BrokerAway, LookupError when it has no bridge.changelog."""
    async with Admin(target) as admin:
        cluster_id = await admin.cluster_id()
    topic = target.topic(CHANGELOG)
    return Target(cluster_id, (await topic_ids(target, [topic]))[topic])


async def remember(source: Settings, region: str, found: Target, *, anew: bool = False) -> Target:
    """What is recorded of this region; at the first contact, or anew, it is what was found. Raises
    BrokerAway, ValueError for a record of another format."""
    for _ in range(_FENCED_TIMES_MAX):
        try:
            return await _remember(source, region, found, anew=anew)
        except Fenced:
            # Two processes of this bridge began at once; the later one writes, or finds it written.
            await asyncio.sleep(_FENCED_AGAIN_S)
    raise BrokerAway(f"{region}: 目标集群的记录写不成 / the record of the target cluster cannot be written")


async def _remember(source: Settings, region: str, found: Target, *, anew: bool) -> Target:
    key = target_key(region)
    raw = await own_entry(source, NO_LANE, key)
    if raw is not None and not anew:
        return decode(raw, Target)
    producer = LaneProducer(source, f"{source.topic_prefix}bridge.target.{region}")
    try:
        await producer.start()
        # Read again: until this start another process may have written it.
        raw = await own_entry(source, NO_LANE, key)
        if raw is not None and not anew:
            return decode(raw, Target)
        written: list[Output] = [(key, encode(found), [], int(time.time() * 1000))]
        await producer.commit({(source.topic(CHANGELOG), 0): written}, {}, "")
    finally:
        await producer.close()
    log.info("bridge.target_recorded", region=region, cluster=found.cluster_id, changelog=found.changelog_id)
    return found
