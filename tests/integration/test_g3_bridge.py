"""G3: exactly once across regions. The cursor lies in the target, in the transaction of what was copied; a
log that is not the one it was taken from stops the lane."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from hub import ids
from hub.bridge.contracts import TargetContracts
from hub.bridge.lane import BridgeStats, Ends
from hub.bridge.model import Cursor, cursor_key, decode, encode
from hub.bridge.repair import set_cursor
from hub.bridge.role import find_ends
from hub.errors import Fenced, HubError, LaneStopped
from hub.kafka import LaneProducer, write_all
from hub.local.regions import NORTH, SOUTH
from schemas import codec, contracts
from tests.integration.bridge_harness import (
    Regions,
    Registry,
    acknowledging,
    arrived,
    committed,
    copying,
    dispatched,
    has,
    id_of,
    line,
    made_anew,
    message,
    outcome,
    running,
    told,
    trim,
    until,
    write,
)

DELIVER = "deliver." + SOUTH
LANE = f"{NORTH}/{DELIVER}-0"


async def copy(regions: Regions, ends: Ends, known: TargetContracts, numbers: range) -> None:
    """Write messages and let one lane copy them."""
    await write(regions.near, DELIVER, [dispatched(message(number)) for number in numbers])
    before = len(await arrived(regions))
    async with running(copying(ends, known)):

        async def all_there() -> bool:
            return len(await arrived(regions)) >= before + len(numbers)

        await until(all_there, "not copied")


# -- copying


async def test_a_copy_keeps_id_case_and_body_and_names_the_hub_it_left(
    regions: Regions, ends: Ends, known: TargetContracts
) -> None:
    await copy(regions, ends, known, range(3))
    for number, record in enumerate(await committed(regions.far, "case.inbound")):
        one, headers = message(number), dict(record.headers)
        assert (id_of(record), record.key.decode(), record.value) == (one.id, one.subject, one.value)
        assert headers["ce_via"] == NORTH.encode()
        assert not [name for name in headers if name.startswith("hub_")], "the dispatch stays at home"


async def test_g3_killed_bridges_copy_everything_once_and_in_order(regions: Regions, tmp_path: Path) -> None:
    """A real process, SIGKILLed while it copies."""
    count, cases = 2_000, 7
    sent = [message(number, case=number % cases) for number in range(count)]
    await write(regions.near, DELIVER, [dispatched(one) for one in sent])
    env = {**os.environ, **regions.env, "HUB_BATCH_RECORDS_MAX": "50", "HUB_SESSION_TIMEOUT_MS": "6000"}
    for goal in (count // 8, count // 3, count):
        with (tmp_path / "bridge.log").open("ab") as log:
            bridge = subprocess.Popen(
                [sys.executable, "-m", "hub", "serve", "bridge"], env=env, stdout=log, stderr=log
            )
        try:
            await until(lambda goal=goal: has(regions, goal), f"{goal} not copied", 60)
        finally:
            bridge.send_signal(signal.SIGKILL)
            bridge.wait()
    records = await committed(regions.far, "case.inbound")
    assert sorted(id_of(record) for record in records) == sorted(one.id for one in sent)
    for case in range(cases):
        subject = sent[case].subject.encode()
        expected = [one.id for one in sent if one.subject.encode() == subject]
        assert [id_of(r) for r in records if r.key == subject] == expected, "order of a case"


async def test_g3_the_copies_and_the_cursor_are_one_transaction(
    regions: Regions, ends: Ends, known: TargetContracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after sending and before the commit: neither the copies nor the cursor are there."""
    await write(regions.near, DELIVER, [dispatched(message(number)) for number in range(5)])

    async def dies(self: LaneProducer, *_: object) -> None:
        raise Fenced("killed before the commit")

    lane = copying(ends, known)
    with monkeypatch.context() as patched:
        patched.setattr(LaneProducer, "commit", dies)
        with pytest.raises(Fenced):
            async with running(lane) as task:
                await task
    assert await arrived(regions) == []
    await copy(regions, ends, known, range(5, 7))
    assert await arrived(regions) == [message(number).id for number in range(7)]


async def test_g3_a_successor_fences_its_predecessor(
    regions: Regions, ends: Ends, known: TargetContracts
) -> None:
    await write(regions.near, DELIVER, [dispatched(message(0))])
    old, new = copying(ends, known), copying(ends, known)
    await old.open()
    try:
        await new.open()
        await new.close()
        running_on = asyncio.create_task(old.run())  # not fenced it never ends, and copies

        async def ended_or_copied() -> bool:
            return running_on.done() or await has(regions, 1)

        await until(ended_or_copied, "neither fenced nor copied")
        assert running_on.done(), "two lanes copy the same partition"
        with pytest.raises(Fenced):
            running_on.result()
    finally:
        await old.close()
    assert await arrived(regions) == []


async def test_g3_the_cursor_is_read_past_open_transactions_of_other_lanes(
    regions: Regions, ends: Ends, known: TargetContracts
) -> None:
    """Another lane's open transaction holds the last stable offset below our last cursor: to begin at an
    older one would copy again."""
    other = LaneProducer(ends.target, f"{ends.target.topic_prefix}other")
    await other.start()
    async with running(copying(ends, known)):
        await write(regions.near, DELIVER, [dispatched(message(0))])
        await until(lambda: has(regions, 1), "not copied")
        await other._producer.begin_transaction()
        await other._producer.send_and_wait(ends.target.topic("bridge.changelog"), b"x", b"other")
        await write(regions.near, DELIVER, [dispatched(message(1))])
        await until(lambda: has(regions, 2), "not copied")

    async def end_the_other() -> None:
        await asyncio.sleep(2)  # longer than a lane needs to begin, else nothing is open when it reads
        await other._producer.abort_transaction()
        await other.close()

    ending = asyncio.create_task(end_the_other())
    await copy(regions, ends, known, range(2, 3))
    await ending
    assert await arrived(regions) == [message(number).id for number in range(3)]


async def test_what_has_been_through_the_other_hub_is_refused_and_not_copied(
    regions: Regions, ends: Ends, known: TargetContracts
) -> None:
    looping, good = message(1, via=SOUTH), message(2)
    await write(regions.near, DELIVER, [dispatched(looping)])
    await copy(regions, ends, known, range(2, 3))
    assert await arrived(regions) == [good.id]
    said = [codec.decode(record.value)[1] for record in await committed(regions.near, "case.outcomes")]
    assert [(body["dispatchId"], body["outcome"], body["code"]) for body in said] == [
        (ids.dispatch_id(looping.id, SOUTH), "refused", "via_loop")
    ]


async def test_a_schema_id_unknown_or_different_in_the_target_pauses_the_lane(
    regions: Regions, ends: Ends, known: TargetContracts, registry: Registry
) -> None:
    schema_id = contracts.load().by_type("case.submitted").schema_id
    stats = BridgeStats()
    await write(regions.near, DELIVER, [dispatched(message(0))])
    registry.missing.add(schema_id)
    async with running(copying(ends, known, stats)) as task:

        async def paused() -> bool:
            return f"schema id {schema_id}" in stats.paused

        await until(paused, "not paused")
        registry.missing, registry.other = set(), {schema_id}

        async def is_another() -> bool:
            return "another contract" in stats.paused

        await until(is_another, "a different contract under the same id is no agreement")
        assert await arrived(regions) == []
        assert not task.done()
        registry.other = set()
        await until(lambda: has(regions, 1), "does not go on by itself")
    assert stats.paused == ""
    assert await arrived(regions) == [message(0).id]


async def test_a_bridge_into_its_own_cluster_does_not_start(regions: Regions) -> None:
    wrong = msgspec.structs.replace(regions.near, bridge_target_bootstrap=regions.near.kafka_bootstrap)
    with pytest.raises(HubError, match="this very cluster"):
        await find_ends(wrong)


# -- the cursor against the log


async def stopped(ends: Ends, known: TargetContracts) -> str:
    """Why the lane does not open."""
    lane = copying(ends, known)
    try:
        with pytest.raises(LaneStopped) as caught:
            await lane.open()
    finally:
        await lane.close()
    return str(caught.value)


async def test_g3_a_cursor_of_another_log_stops_the_lane_and_says_why(
    regions: Regions, ends: Ends, known: TargetContracts
) -> None:
    await copy(regions, ends, known, range(3))
    key = cursor_key(LANE)
    held = {r.key: r.value for r in await committed(regions.far, "bridge.changelog")}
    cursor = decode(held[key], Cursor)
    (name,) = cursor.marks
    mark = cursor.marks[name]
    assert (mark.next, mark.offset, mark.id) == (3, 2, message(2).id)
    replace = msgspec.structs.replace
    other = {
        "another cluster": replace(cursor, cluster_id="other"),
        "was made anew": replace(cursor, marks={name: replace(mark, topic_id="other")}),
        "before the cursor": replace(cursor, marks={name: replace(mark, next=9, offset=8)}),
        "copied last differs": replace(cursor, marks={name: replace(mark, digest="0" * 64)}),
        "last differs from": replace(cursor, marks={name: replace(mark, timestamp_ms=1)}),
        "differs from the cursor": replace(cursor, marks={name: replace(mark, id="0" * 32)}),
    }
    for reason, forged in other.items():
        await write_all(regions.far, "bridge.changelog", [(key, encode(forged))])
        assert reason in await stopped(ends, known)
    await write_all(regions.far, "bridge.changelog", [(key, encode(cursor))])
    await copy(regions, ends, known, range(3, 4))
    assert await arrived(regions) == [message(number).id for number in range(4)]


async def test_g3_a_topic_made_anew_stops_the_lane_although_its_records_are_the_same(
    regions: Regions, ends: Ends, known: TargetContracts
) -> None:
    await copy(regions, ends, known, range(2))
    await made_anew(regions.near, DELIVER)
    await write(regions.near, DELIVER, [dispatched(message(number)) for number in range(2)])
    assert "made anew" in await stopped(ends, known)
    # A person compared both books and says where it goes on.
    await set_cursor(ends, f"{DELIVER}-0", 2, "records 0 and 1 are over there")
    await copy(regions, ends, known, range(2, 3))
    assert await arrived(regions) == [message(number).id for number in range(3)]
    with pytest.raises(HubError, match="outside the log"):
        await set_cursor(ends, f"{DELIVER}-0", 99, "a slip of the finger")


async def test_g3_a_log_that_begins_beyond_the_cursor_stops_the_lane(
    regions: Regions, ends: Ends, known: TargetContracts
) -> None:
    """Trimmed up to what was copied it goes on; one record further and it stops."""
    await copy(regions, ends, known, range(3))
    await trim(regions.near, DELIVER, 3)
    await copy(regions, ends, known, range(3, 4))
    await write(regions.near, DELIVER, [dispatched(message(number)) for number in range(4, 6)])
    await trim(regions.near, DELIVER, 5)
    assert "beyond the cursor" in await stopped(ends, known)
    await set_cursor(ends, f"{DELIVER}-0", 5, "record 4 was handed over by telephone")
    async with running(copying(ends, known)):
        await until(lambda: has(regions, 5), "does not go on")
    assert await arrived(regions) == [message(number).id for number in (0, 1, 2, 3, 5)]


async def test_g3_without_a_cursor_a_trimmed_log_stops_the_lane(
    regions: Regions, ends: Ends, known: TargetContracts
) -> None:
    await write(regions.near, DELIVER, [dispatched(message(number)) for number in range(2)])
    await trim(regions.near, DELIVER, 1)
    assert "no cursor" in await stopped(ends, known)


# -- acknowledgements


async def test_the_other_region_is_told_what_became_of_its_message(
    regions: Regions, known: TargetContracts
) -> None:
    """Parked and in doubt at once, delivered when every member has it; across a restart; and what changes
    after the end."""
    one, ours, turned_away = message(1, via=NORTH), message(2), message(3, via=NORTH)
    dispatch = ids.dispatch_id(one.id, SOUTH)
    back = await find_ends(regions.far)

    async def tells(*expected: tuple[str, str, str]) -> None:
        async with running(acknowledging(back, known)):

            async def said() -> bool:
                return len(await told(regions.near)) >= len(expected)

            await until(said, f"not told: {expected[-1]}")
        assert await told(regions.near) == list(expected)

    await write(
        regions.far,
        "case.routed",
        [line(one, "routed", "dept-b", "window-sanya"), line(ours, "routed", "dept-b")],
    )
    await write(regions.far, "case.outcomes", [outcome(ours, "dept-b", "delivered")])
    await write(regions.far, "case.outcomes", [outcome(one, "dept-b", "delivered")])
    await write(regions.far, "case.outcomes", [outcome(one, "window-sanya", "in_doubt", "timeout")])
    first = (dispatch, "in_doubt", "timeout")
    await tells(first)
    await write(regions.far, "case.outcomes", [outcome(one, "window-sanya", "parked", "malformed")])
    second = (dispatch, "parked", "malformed")
    await tells(first, second)
    await write(regions.far, "case.outcomes", [outcome(one, "window-sanya", "delivered")])
    third = (dispatch, "delivered", "")
    await tells(first, second, third)
    await write(regions.far, "case.outcomes", [outcome(one, "window-sanya", "refused", "later")])
    await write(regions.far, "case.routed", [line(turned_away, "refused", reason="contradiction")])
    refused = (ids.dispatch_id(turned_away.id, SOUTH), "refused", "contradiction")
    last = (dispatch, "refused", "later")
    async with running(acknowledging(back, known)):

        async def all_said() -> bool:
            return len(await told(regions.near)) >= 5

        await until(all_said, "not told")
    assert set(await told(regions.near)) == {first, second, third, last, refused}
    left = {r.key: r.value for r in await committed(regions.near, "bridge.changelog")}
    assert [key for key, value in left.items() if value is not None] == [
        cursor_key(f"{SOUTH}/case.outcomes-0")
    ], "nothing is kept of what has ended"


async def test_an_acknowledgement_has_a_derived_id_and_is_never_acknowledged(
    regions: Regions, ends: Ends, known: TargetContracts
) -> None:
    one = message(1, via=NORTH)
    await write(regions.far, "case.routed", [line(one, "refused", reason="contradiction")])
    async with running(acknowledging(await find_ends(regions.far), known)):

        async def said() -> bool:
            return bool(await told(regions.near))

        await until(said, "not told")
    (record,) = [r for r in await committed(regions.near, "case.outcomes") if "ce_id" in dict(r.headers)]
    dispatch = ids.dispatch_id(one.id, SOUTH)
    assert id_of(record) == ids.originated_id(dispatch, "acknowledged", "refused")
    # The other direction reads it, and a message of the south behind it, which it must tell.
    behind = message(2, via=SOUTH)
    await write(regions.near, "case.routed", [line(behind, "routed")], record.partition)
    async with running(acknowledging(ends, known, record.partition)):

        async def told_back() -> bool:
            return bool(await told(regions.far))

        await until(told_back, "not told")
    assert [line_[0] for line_ in await told(regions.far)] == [ids.dispatch_id(behind.id, NORTH)]
