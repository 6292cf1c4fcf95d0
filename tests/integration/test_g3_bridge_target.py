"""G3, the other end: what the target cluster refuses for good pauses its lane and is skipped by nobody, and a
cluster that is not the recorded one gets nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import msgspec
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from hub import envelope
from hub.bridge.changelog import own_entry
from hub.bridge.contracts import TargetContracts
from hub.bridge.lane import BridgeStats, Ends
from hub.bridge.model import NO_LANE, Target, decode, encode, target_key
from hub.bridge.repair import accept_target, set_cursor
from hub.bridge.role import find_ends, serve
from hub.config import Settings
from hub.embedded.process import free_port
from hub.errors import HubError, LaneStopped, WriteRefused
from hub.kafka import Admin, LaneProducer, write_all
from hub.local.regions import SOUTH
from hub.status import LaneReport
from tests.integration.bridge_harness import (
    Regions,
    arrived,
    committed,
    copying,
    dispatched,
    has,
    made_anew,
    message,
    running,
    until,
    write,
)

DELIVER = "deliver." + SOUTH
BYTES_MAX = 8_000


async def configure(settings: Settings, topic: str, **config: str) -> None:
    """Replace a topic's configuration, as an operator of the other region would."""
    async with Admin(settings) as admin:
        await admin.alter_config(
            settings.topic(topic), {name.replace("_", "."): value for name, value in config.items()}
        )


def too_large(one: envelope.Message) -> envelope.Message:
    return msgspec.structs.replace(one, value=one.value + bytes(BYTES_MAX))


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """The whole role. Gives what its probes answer; of /readyz the reason."""
    listen, stop = f"127.0.0.1:{free_port()}", asyncio.Event()
    role = asyncio.create_task(serve(msgspec.structs.replace(settings, metrics_listen=listen), stop))

    async def asked(path: str) -> str:
        try:
            async with aiohttp.ClientSession() as http, http.get(f"http://{listen}{path}") as answer:
                said: str = (await answer.json())["reason"] if path == "/readyz" else await answer.text()
                return said
        except aiohttp.ClientError:
            assert not role.done(), role.exception()
            return "no answer"

    try:
        yield asked
    finally:
        stop.set()
        await role


async def test_g3_a_record_the_target_refuses_pauses_the_lane_which_says_so_and_goes_on(
    regions: Regions,
) -> None:
    """Too large over there: what lies before it is copied, nothing behind it."""
    async with Admin(regions.near) as admin:
        await admin.create(regions.near.topic("hub.status"), 1, 1, {})
    await configure(regions.far, "case.inbound", max_message_bytes=str(BYTES_MAX))
    sent = [message(number) for number in range(5)]
    sent[2] = too_large(sent[2])
    await write(regions.near, DELIVER, [dispatched(one) for one in sent])
    async with serving(regions.near) as asked:

        async def said() -> bool:
            return sent[2].id in await asked("/readyz")

        await until(said, "the operator is not told")
        reason = await asked("/readyz")
        assert f"{DELIVER}-0@2 {sent[2].id}" in reason, "which one"
        assert regions.far.topic("case.inbound") + "-" in reason, "refused where"
        assert "目标区域拒收" in reason, "what happened"
        assert "max.message.bytes" in reason, "what to do"
        assert await arrived(regions) == [one.id for one in sent[:2]], "nothing behind it"

        async def reported() -> bool:
            status = await committed(regions.near, "hub.status")
            lines = [msgspec.json.decode(record.value, type=LaneReport) for record in status]
            return any(line.state == "waiting" and sent[2].id in line.reason for line in lines)

        await until(reported, "the console is not told")
        await configure(regions.far, "case.inbound", max_message_bytes=str(1 << 20))
        await until(lambda: has(regions, 5), "does not go on by itself")

        async def ready() -> bool:
            return not await asked("/readyz")

        await until(ready, "still says so")
        assert f'govhub_bridge_paused{{lane="{DELIVER}-0"}} 0' in await asked("/metrics")
    assert await arrived(regions) == [one.id for one in sent]


@contextlib.asynccontextmanager
async def denied(
    regions: Regions, kind: ResourceType = ResourceType.TOPIC, name: str = "case.inbound"
) -> AsyncIterator[None]:
    """Nobody may write this in the other region."""
    admin = AdminClient({"bootstrap.servers": regions.far.kafka_bootstrap})
    place = (kind, regions.far.topic(name), ResourcePatternType.LITERAL, "User:*", "*")
    rules = [
        (*place, AclOperation.ALL, AclPermissionType.ALLOW),
        (*place, AclOperation.WRITE, AclPermissionType.DENY),
    ]
    for made in admin.create_acls([AclBinding(*rule) for rule in rules]).values():
        await asyncio.to_thread(made.result, 20)
    try:
        yield
    finally:
        for gone in admin.delete_acls([AclBindingFilter(*rule) for rule in rules]).values():
            await asyncio.to_thread(gone.result, 20)


@contextlib.asynccontextmanager
async def too_old(regions: Regions) -> AsyncIterator[None]:
    """The other region takes no record that is older than a day."""
    name = "message_timestamp_before_max_ms"
    await configure(regions.far, "case.inbound", **{name: "86400000"})
    try:
        yield
    finally:
        await configure(regions.far, "case.inbound", **{name: str(2**63 - 1)})


async def write_old(regions: Regions, one: envelope.Message) -> None:
    """A dispatch that lay there for years."""
    key, value, headers, _ = dispatched(one)
    producer = LaneProducer(regions.near, f"{regions.near.topic_prefix}years-ago")
    await producer.start()
    try:
        await producer.commit({(regions.near.topic(DELIVER), 0): [(key, value, headers, 1)]}, {}, "")
    finally:
        await producer.close()


@pytest.mark.parametrize("refusing", [denied, too_old])
async def test_g3_a_write_that_is_not_allowed_over_there_pauses_the_lane(
    regions: Regions,
    ends: Ends,
    known: TargetContracts,
    refusing: Callable[[Regions], "contextlib.AbstractAsyncContextManager[None]"],
) -> None:
    stats = BridgeStats()
    await write_old(regions, message(0))
    async with refusing(regions):
        with pytest.raises(WriteRefused):
            async with running(copying(ends, known, stats)) as task:
                await task
        assert f"{DELIVER}-0@0 {message(0).id}" in stats.trouble
        assert regions.far.topic("case.inbound") in stats.trouble
    assert await arrived(regions) == []
    async with running(copying(ends, known, stats)):
        await until(lambda: has(regions, 1), "does not go on")
    assert stats.trouble == ""
    assert await arrived(regions) == [message(0).id]


async def test_a_bridge_that_is_not_let_in_says_so(
    regions: Regions, ends: Ends, known: TargetContracts
) -> None:
    lane = copying(ends, known)
    async with denied(regions, ResourceType.TRANSACTIONAL_ID, "bridge." + lane.name):
        try:
            with pytest.raises(WriteRefused, match="does not let this bridge write"):
                await lane.open()
        finally:
            await lane.close()


# -- which cluster it is


async def recorded(regions: Regions) -> Target:
    raw = await own_entry(regions.near, NO_LANE, target_key(SOUTH))
    assert raw is not None
    return decode(raw, Target)


async def stopped(ends: Ends, known: TargetContracts) -> str:
    """Why the lane does not open."""
    lane = copying(ends, known)
    try:
        with pytest.raises(LaneStopped) as caught:
            await lane.open()
    finally:
        await lane.close()
    return str(caught.value)


async def test_g3_a_third_cluster_gets_nothing_until_a_person_accepts_it(
    regions: Regions, known: TargetContracts
) -> None:
    """It has no cursor: everything would be sent again from the start of the log."""
    first, again = await asyncio.gather(find_ends(regions.near), find_ends(regions.near))
    real = await recorded(regions)
    assert first.recorded == again.recorded == real, "the first contact records it, once"
    await write(regions.near, DELIVER, [dispatched(message(0))])
    other = msgspec.structs.replace(real, cluster_id="the one until now")
    key = target_key(SOUTH)
    await write_all(regions.near, "bridge.changelog", [(key, encode(other))])
    third = await find_ends(regions.near)
    why = await stopped(third, known)
    assert "another cluster than the one recorded" in why
    assert f"the one until now → {real.cluster_id}" in why, "which one was meant, which one answers"
    with pytest.raises(LaneStopped):
        await set_cursor(third, f"{DELIVER}-0", 1, "a cursor in the wrong cluster")
    with pytest.raises(HubError, match="the cluster that answers"):
        await accept_target(third, "a slip of the finger", "…")
    assert await arrived(regions) == []
    await accept_target(third, real.cluster_id, "the south has moved")
    async with running(copying(await find_ends(regions.near), known)):
        await until(lambda: has(regions, 1), "accepted, and still nothing is copied")


async def test_g3_a_target_that_lost_its_cursors_gets_nothing_again(
    regions: Regions, ends: Ends, known: TargetContracts
) -> None:
    """The same cluster, its bridge.changelog made anew."""
    await write(regions.near, DELIVER, [dispatched(message(0))])
    async with running(copying(ends, known)):
        await until(lambda: has(regions, 1), "not copied")
    await made_anew(regions.far, "bridge.changelog")
    assert "the cursors are lost" in await stopped(await find_ends(regions.near), known)
    assert await arrived(regions) == [message(0).id]
