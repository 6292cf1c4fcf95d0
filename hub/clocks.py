"""A person's side of clocks that jumped: which lanes stand by one, as they say themselves, and the command
that the new time is right. What that does is in hub/lanes/clock.py."""

from collections.abc import Iterable

import msgspec

from hub.config import Settings
from hub.delivery import commands as delivery
from hub.errors import HubError
from hub.kafka import write_records
from hub.router import lane as router
from hub.router.orders import TOPIC as ROUTER_COMMANDS
from hub.status import LaneReport, read_status

_DELIVER = "deliver."


async def jumped(settings: Settings, lanes: Iterable[str] = ()) -> list[LaneReport]:
    """Lanes whose process has stopped its timers after a jump. lanes: only these. Raises BrokerAway, HubError
    for a named lane whose clock did not jump."""
    found = [one for one in await read_status(settings) if one.clock_jump_ms]
    wanted = set(lanes)
    if missing := wanted - {one.lane for one in found}:
        raise HubError(f"时钟没有跳变 / its clock did not jump: {', '.join(sorted(missing))}")
    return [one for one in found if not wanted or one.lane in wanted]


async def acknowledge(settings: Settings, lanes: Iterable[LaneReport], by: str, reason: str) -> int:
    """Tell each of these lanes that the time of its process is right after the jump it reports; returns how
    many were told. The first lane of a process that consumes it does it, the others find nothing to do. An
    owner whose clock jumped otherwise, or not at all, does nothing. Raises BrokerAway."""
    told = 0
    for one in lanes:
        topic, _, partition = one.lane.rpartition("-")
        if one.role == "router":
            command = router.Command("acknowledge_clock", by, reason, one.clock_jump_ms)
            commands, key, value = ROUTER_COMMANDS, one.lane, msgspec.json.encode(command)
        else:
            member = topic.removeprefix(_DELIVER)
            order = delivery.Command(
                command="acknowledge_clock", by=by, reason=reason, jump_ms=one.clock_jump_ms
            )
            commands, key, value = delivery.TOPIC + member, member, delivery.encode(order)
        await write_records(settings, commands, int(partition), [(key.encode(), value, [])])
        told += 1
    return told
