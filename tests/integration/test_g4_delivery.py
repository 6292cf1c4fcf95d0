"""G4/G5: exactly-once effect at a member over HTTP, order per case, one bad case alone stands still (real
broker, real HTTP)."""

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from delivery_harness import (
    FakeTown,
    create_topics,
    delivering,
    give,
    member,
    outcomes,
    serving,
    settings_for,
    settled,
    until,
)

from hub import envelope, ids
from hub.config import Settings
from hub.directory.model import Guarantee
from hub.kafka import open_reader
from tests.servers import Kafka


@pytest.fixture
def settings(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> Settings:
    return settings_for(kafka, topic_prefix, tmp_path)


@pytest.fixture
async def topics(settings: Settings) -> None:
    await create_topics(settings)


async def test_every_dispatch_has_one_effect_in_order_per_case(settings: Settings, topics: None) -> None:
    town = FakeTown()
    async with serving(town) as url, delivering(settings, member(url, Guarantee.IDEMPOTENT)):
        sent = await give(settings, 10, 5)
        lines = await settled(settings, 50)
    assert Counter(line["outcome"] for line in lines) == {"delivered": 50}
    assert all(count == 1 for count in town.effects.values())
    assert town.order == sent


async def test_lost_replies_are_repeated_under_the_same_id_and_absorbed(
    settings: Settings, topics: None
) -> None:
    town = FakeTown()

    async def half_lost(document: dict[str, Any], call: int) -> web.StreamResponse:
        done = await town.take(document, call)
        if call == 1 and len(town.effects) % 2:
            raise ConnectionResetError
        return done

    town.answer = half_lost
    async with serving(town) as url, delivering(settings, member(url, Guarantee.IDEMPOTENT)):
        sent = await give(settings, 6, 2)
        lines = await settled(settings, 12)
    assert {line["outcome"] for line in lines} == {"delivered"}
    assert set(town.effects.values()) == {1}
    assert town.order == sent


async def test_dead_member_parks_nothing_and_everything_arrives_when_it_is_back(
    settings: Settings, topics: None
) -> None:
    town = FakeTown()
    up = False

    async def away(document: dict[str, Any], call: int) -> web.StreamResponse:
        return await town.take(document, call) if up else web.Response(status=503)

    town.answer = away
    async with (
        serving(town) as url,
        delivering(settings, member(url, Guarantee.IDEMPOTENT, attempts_max=1)) as stats,
    ):
        sent = await give(settings, 8, 2)
        probed = lambda: stats.breaker != "closed" and sum(town.calls.values()) > 8  # noqa: E731
        await until(lambda: stats.holds or probed(), "the lane goes on calling nobody")
        assert await outcomes(settings) == []
        up = True
        lines = await settled(settings, 16)
    assert {line["outcome"] for line in lines} == {"delivered"}
    assert town.order == sent


async def test_one_bad_case_parks_with_what_is_behind_it_and_the_others_go_on(
    settings: Settings, topics: None
) -> None:
    town = FakeTown()
    bad = ids.case_number("platform", "", "3")

    async def picky(document: dict[str, Any], call: int) -> web.StreamResponse:
        return web.Response(status=400) if document["caseNo"] == bad else await town.take(document, call)

    town.answer = picky
    async with serving(town) as url, delivering(settings, member(url, Guarantee.IDEMPOTENT)):
        sent = await give(settings, 5, 3)
        lines = await settled(settings, 15)
    parked = [line for line in lines if line["outcome"] == "parked"]
    assert [line["dispatchId"] for line in parked] == sent[bad]
    assert [line["behind"] for line in parked] == [None, sent[bad][0], sent[bad][0]]
    assert sum(line["outcome"] == "delivered" for line in lines) == 12


async def test_refusal_by_the_members_business_goes_back_to_the_hub_as_a_message(
    settings: Settings, topics: None
) -> None:
    town = FakeTown()

    async def refuses(document: dict[str, Any], call: int) -> web.StreamResponse:
        return web.json_response({"status": "refused", "code": "E7", "detail": "不属于本局"}, status=422)

    town.answer = refuses
    async with serving(town) as url, delivering(settings, member(url, Guarantee.IDEMPOTENT)):
        sent = await give(settings, 1, 1)
        lines = await settled(settings, 1)
        async with open_reader(settings) as reader:
            starts = await reader.start_offsets(await reader.partitions([settings.topic("case.inbound")]))
            back = [r async for batch in reader.read_to_stable(starts) for r in batch]
    dispatch = next(iter(sent.values()))[0]
    assert (lines[0]["outcome"], lines[0]["code"]) == ("refused", "E7")
    message = envelope.from_record(back[0].headers, back[0].value)
    assert message.type == "dispatch.refused"
    assert message.id == ids.originated_id(dispatch, "dispatch.refused")
    assert message.attributes["dispatch"] == dispatch


async def test_blind_member_whose_reply_is_lost_is_in_doubt_and_never_called_twice(
    settings: Settings, topics: None
) -> None:
    town = FakeTown()
    town.idempotent = False

    async def lost(document: dict[str, Any], call: int) -> web.StreamResponse:
        await town.take(document, call)
        raise ConnectionResetError

    town.answer = lost
    async with serving(town) as url, delivering(settings, member(url, Guarantee.BLIND)):
        sent = await give(settings, 1, 2)
        lines = await settled(settings, 2)
        await asyncio.sleep(1.0)
    first, second = next(iter(sent.values()))
    assert [(line["dispatchId"], line["outcome"]) for line in lines] == [
        (first, "in_doubt"),
        (second, "parked"),
    ]
    assert town.effects == {first: 1}


async def test_queryable_member_is_asked_and_not_called_twice(settings: Settings, topics: None) -> None:
    town = FakeTown()
    town.idempotent = False

    async def lost_once(document: dict[str, Any], call: int) -> web.StreamResponse:
        done = await town.take(document, call)
        if call == 1:
            raise ConnectionResetError
        return done

    town.answer = lost_once
    async with (
        serving(town) as url,
        delivering(settings, member(url, Guarantee.QUERYABLE, query_after_ms=50)),
    ):
        await give(settings, 2, 1)
        lines = await settled(settings, 2)
    assert {line["outcome"] for line in lines} == {"delivered"}
    assert set(town.effects.values()) == {1}
    assert town.queries >= 2


async def test_successor_of_a_killed_lane_settles_what_it_left(settings: Settings, topics: None) -> None:
    """The predecessor dies with the call under way: the intent is committed, the outcome is not."""
    town = FakeTown()
    town.idempotent = False
    begun = asyncio.Event()

    async def stalls(document: dict[str, Any], call: int) -> web.StreamResponse:
        done = await town.take(document, call)
        begun.set()
        await asyncio.sleep(30)
        return done

    town.answer = stalls
    limits = {"call_timeout_ms": 500, "start_within_ms": 200, "query_after_ms": 50}
    async with serving(town) as url:
        async with delivering(settings, member(url, Guarantee.QUERYABLE, **limits)):
            sent = await give(settings, 1, 1)
            await begun.wait()
        town.answer = town.take
        async with delivering(settings, member(url, Guarantee.QUERYABLE, **limits)):
            lines = await settled(settings, 1)
    dispatch = next(iter(sent.values()))[0]
    assert [(line["dispatchId"], line["outcome"]) for line in lines] == [(dispatch, "delivered")]
    assert town.effects == {dispatch: 1}
    assert town.queries >= 1


async def test_successor_of_a_killed_lane_leaves_a_blind_call_in_doubt(
    settings: Settings, topics: None
) -> None:
    town = FakeTown()
    town.idempotent = False
    begun = asyncio.Event()

    async def stalls(document: dict[str, Any], call: int) -> web.StreamResponse:
        await town.take(document, call)
        begun.set()
        await asyncio.sleep(30)
        return web.Response()

    town.answer = stalls
    limits = {"call_timeout_ms": 500, "start_within_ms": 200, "query_after_ms": 50}
    async with serving(town) as url:
        async with delivering(settings, member(url, Guarantee.BLIND, **limits)):
            await give(settings, 1, 1)
            await begun.wait()
        town.answer = town.take
        async with delivering(settings, member(url, Guarantee.BLIND, **limits)):
            lines = await settled(settings, 1)
    assert [line["outcome"] for line in lines] == ["in_doubt"]
    assert set(town.calls.values()) == {1}


async def test_dispatch_nobody_waits_for_any_more_is_cancelled_and_holds_nothing(
    settings: Settings, topics: None
) -> None:
    """R22: a credit query that the router stopped waiting for must not keep the books open at a silent
    library."""
    town = FakeTown()

    async def silent(document: dict[str, Any], call: int) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    town.answer = silent
    async with (
        serving(town) as url,
        delivering(settings, member(url, Guarantee.IDEMPOTENT, call_timeout_ms=200)),
    ):
        lapses_ms = int(time.time() * 1000) + 1_000
        await give(settings, 1, 1, ("hub_until", b"%d" % lapses_ms))
        lines = await settled(settings, 1)
    assert [(line["outcome"], line["code"]) for line in lines] == [("cancelled", "lapsed")]
    assert sum(town.calls.values()) > 1


async def test_late_arrivals_of_a_held_case_wait_behind_it(settings: Settings, topics: None) -> None:
    """G5: what comes for a case after its dispatch was parked must not overtake it, also after a restart."""
    town = FakeTown()

    async def refuses_all(document: dict[str, Any], call: int) -> web.StreamResponse:
        return web.Response(status=400)

    town.answer = refuses_all
    async with serving(town) as url:
        async with delivering(settings, member(url, Guarantee.IDEMPOTENT)):
            first = await give(settings, 1, 1)
            await settled(settings, 1)
        town.answer = town.take
        async with delivering(settings, member(url, Guarantee.IDEMPOTENT)):
            both = await give(settings, 1, 2)
            lines = await settled(settings, 2)
    case = next(iter(first))
    assert town.effects == {}
    assert [line["outcome"] for line in lines] == ["parked"] * 2
    assert [line["behind"] for line in lines] == [None, both[case][0]], "and not behind its own repetition"
