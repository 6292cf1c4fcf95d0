"""Cases that live in more than one region: which other hubs a message goes to, and whose word stands. Pure;
who copies is hub/bridge.

A hub that takes part in a case sees every message of it, so that its own router can decide by the whole life.
"""

from collections.abc import Iterable
from typing import Final

from hub.envelope import Message
from hub.routing.model import Outgoing
from hub.routing.state import Case
from hub.routing.tables import Tables

VIA_SEPARATOR: Final = ","
# The attribute that names the member a hub-made message is for, when that member is connected elsewhere.
ADDRESSEE: Final = "to"


def passed(via: str) -> tuple[str, ...]:
    """The hubs a message has come through, first to last."""
    return tuple(via.split(VIA_SEPARATOR)) if via else ()


def hubs_of(members: Iterable[str], message: Message, tables: Tables) -> tuple[Outgoing, ...]:
    """One dispatch to each other hub that one of these members is connected to. Only the hub where a message
    came in sends it on: to all of them, so what came through another hub goes nowhere else."""
    if not tables.remote or message.via:
        return ()
    hubs = dict.fromkeys(tables.remote.get(member, "") for member in members)
    return tuple(Outgoing(hub, message.type) for hub in hubs if hub)


def judged_by_owner(case: Case, message: Message, tables: Tables) -> bool:
    """Whether this comes from the hub of the deciding department: what two regions say at the same moment
    is judged there, and its word stands."""
    home = tables.remote.get(case.owner)
    return home is not None and passed(message.via)[-1:] == (home,)
