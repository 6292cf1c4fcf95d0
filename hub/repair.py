"""An operator's side of delivery lanes' commands: what stands still at a member, read from its lane's
changelog, and the writing of commands. What a command does is in hub/delivery/commands.py."""

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec

from hub.config import Settings
from hub.delivery.commands import TOPIC, Command, encode
from hub.delivery.model import ALL_HOLDS, ALL_QUEUES, Hold, Outcome, decode_entry, decode_hold
from hub.directory.model import Guarantee
from hub.errors import HubError
from hub.kafka import IntakeProducer, open_producer, open_reader
from signing.digest import sm3_hex

_AT_ONCE: Final = 200


class Standstill(msgspec.Struct, frozen=True, kw_only=True):
    """One case that stands still at one member. attempts: calls of the dispatch it stands still at. behind:
    dispatches that wait."""

    member: str
    case_no: str
    dispatch: str
    attempts: int
    outcome: Outcome
    code: str = ""
    detail: str = ""
    since_ms: int = 0
    behind: int = 0

    def command(self, command: Command) -> Command:
        """The command for this standstill and no other."""
        return msgspec.structs.replace(command, dispatch=self.dispatch, attempts=self.attempts)


class NotAllowed(HubError):
    """An act that one person may not do alone (R27)."""


async def standstills(settings: Settings, member: str) -> list[Standstill]:
    """Everything that stands still at a member, oldest first; the lane's changelog is the truth. Raises
    BrokerAway, HubError for a member without a lane."""
    holds: dict[bytes, Hold] = {}
    attempts: dict[bytes, tuple[str, int]] = {}
    async with open_reader(settings) as reader:
        places = await reader.partitions([settings.topic(f"delivery.{member}.changelog")])
        if not places:
            raise HubError(f"成员 {member} 没有投递通道 / member {member} has no delivery lane")
        async for records in reader.read_to_stable(await reader.start_offsets(places)):
            for record in records:
                if record.key[:1] == ALL_HOLDS[0]:
                    if record.value is None:
                        holds.pop(record.key, None)
                    else:
                        holds[record.key] = decode_hold(record.value)
                elif record.key[:1] == ALL_QUEUES[0]:
                    if record.value is None:
                        attempts.pop(record.key, None)
                    else:
                        entry = decode_entry(record.value)
                        attempts[record.key] = (entry.dispatch_id, entry.attempts)
    calls = dict(attempts.values())
    found = [
        Standstill(
            member=member,
            case_no=hold.subject,
            dispatch=hold.dispatch_id,
            attempts=calls.get(hold.dispatch_id, 0),
            outcome=hold.outcome,
            code=hold.code,
            detail=hold.detail,
            since_ms=hold.since_ms,
            behind=hold.behind,
        )
        for hold in holds.values()
    ]
    return sorted(found, key=lambda standstill: standstill.since_ms)


def act_id(member: str, command: Command, chosen: Iterable[Standstill]) -> str:
    """The same bulk proposed twice is one act: 16 hex digits over what it would do."""
    lines = sorted(f"{one.dispatch}:{one.attempts}" for one in chosen)
    return sm3_hex("\n".join([member, command.command, command.settled, *lines]).encode())[:16]


def check_alone(settings: Settings, guarantee: Guarantee, count: int) -> None:
    """R27: one person alone redrives at most redrive_alone_max cases of one member, never of a blind one.
    Raises NotAllowed."""
    if count > 1 and guarantee is Guarantee.BLIND:
        raise NotAllowed(
            "盲成员的批量重投须第二人复核（R27）/ a bulk at a blind member needs a second person"
        )
    if count > settings.redrive_alone_max:
        raise NotAllowed(
            f"超过 {settings.redrive_alone_max} 件须第二人复核（R27）/ "
            f"more than {settings.redrive_alone_max} cases need a second person"
        )


async def write_commands(settings: Settings, member: str, commands: Iterable[tuple[str, Command]]) -> int:
    """Hand commands to the lane of one member; returns how many. Writing them again is safe: each names its
    standstill. Raises BrokerAway; what was written before it stands."""
    topic = TOPIC + member
    waiting = list(commands)
    async with open_producer(settings) as producer:
        for start in range(0, len(waiting), _AT_ONCE):
            part = waiting[start : start + _AT_ONCE]
            await asyncio.gather(*(_write(producer, topic, key, command) for key, command in part))
    return len(waiting)


async def _write(producer: IntakeProducer, topic: str, key: str, command: Command) -> None:
    await producer.send(topic, key.encode(), encode(command), [])
