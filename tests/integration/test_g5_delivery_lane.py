"""G5: nothing that one record, one answer or one member does stops a delivery lane, makes it spin or parks
what it should not (real broker, real HTTP)."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
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

from adapters.ports import Dispatch, Reply, ReplyKind, Submission
from hub.config import Settings
from hub.delivery.lane import DeliveryLane
from hub.delivery.model import ALL_INTENTS, decode_intent, queue_key
from hub.directory.model import Guarantee
from hub.errors import LaneStopped
from hub.kafka import open_producer
from hub.lanes.lane import Lane
from tests.servers import Kafka


@pytest.fixture
def settings(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> Settings:
    return settings_for(kafka, topic_prefix, tmp_path)


@pytest.fixture
async def topics(settings: Settings) -> None:
    await create_topics(settings)


async def unavailable(document: dict[str, Any], call: int) -> web.StreamResponse:
    return web.Response(status=503)


async def silent(document: dict[str, Any], call: int) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        (b"46A", []),
        (None, [("hub_dispatch", b"00" * 16)]),
        (b"46A", [("hub_dispatch", b"00" * 16), ("hub_kind", b"case.withdrawn")]),
        (b"\xff\xfe", [("hub_dispatch", b"00" * 16), ("ce_id", b"\xff")]),
    ],
    ids=["no dispatch id", "no key", "no envelope", "not text"],
)
async def test_g5_record_nobody_can_read_is_passed_and_the_next_is_delivered(
    settings: Settings, topics: None, key: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    town = FakeTown()
    async with open_producer(settings) as producer:
        await producer.send("deliver.town", key, b"\x00", headers)  # type: ignore[arg-type]
    sent = await give(settings, 1, 1)
    async with serving(town) as url:
        async with delivering(settings, member(url, Guarantee.IDEMPOTENT)):
            await settled(settings, 1)
        async with delivering(settings, member(url, Guarantee.IDEMPOTENT)):
            await asyncio.sleep(0.5)  # what was passed must not come back at a reopening either
    assert town.order == sent


class Answers:
    """A port whose every call is answered the same."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    async def deliver(self, dispatch: Dispatch, may_start: Callable[[], bool]) -> Reply:
        return self.reply

    async def query(self, dispatch: Dispatch) -> Reply:
        return Reply(kind=ReplyKind.ABSENT)

    async def close(self) -> None:
        return None


async def test_g5_message_in_an_answer_that_breaks_its_contract_parks_the_case_and_not_the_lane(
    settings: Settings, topics: None
) -> None:
    bad = Submission(type="credit.answered", source_ref="x", body={"grade": "purple"}, occurred_at="")
    port = Answers(Reply(kind=ReplyKind.DONE, answer=bad))
    async with delivering(settings, member("http://127.0.0.1:1", Guarantee.IDEMPOTENT), port):
        await give(settings, 2, 1)
        lines = await settled(settings, 2)
    assert [(line["outcome"], line["code"]) for line in lines] == [("parked", "answer_invalid")] * 2


@pytest.mark.parametrize("detail", ["", "\x00\x07", "x" * 5_000, "\ud800"])
async def test_g5_whatever_a_refusal_says_it_reaches_the_sender(
    settings: Settings, topics: None, detail: str
) -> None:
    port = Answers(Reply(kind=ReplyKind.REFUSED, code="", detail=detail))
    async with delivering(settings, member("http://127.0.0.1:1", Guarantee.IDEMPOTENT), port):
        await give(settings, 1, 1)
        lines = await settled(settings, 1)
    assert [line["outcome"] for line in lines] == ["refused"]


async def test_g5_open_breaker_over_an_empty_queue_still_takes_in(settings: Settings, topics: None) -> None:
    """Credit queries lapse while the library is away: nothing is left to probe with, and the lane must not
    wait for ever."""
    town = FakeTown()
    town.answer = unavailable
    now_ms = int(time.time() * 1000)

    def clocked(_: Lane, worker: DeliveryLane) -> None:
        worker._clock.now_ms = lambda: now_ms  # type: ignore[method-assign]

    async with (
        serving(town) as url,
        delivering(settings, member(url, Guarantee.IDEMPOTENT), prepare=clocked) as stats,
    ):
        await give(settings, 4, 1, ("hub_until", b"%d" % (now_ms + 1)))
        await until(lambda: stats.breaker != "closed", "the breaker stays closed")
        now_ms += 2
        lines = await settled(settings, 4)
        assert {line["outcome"] for line in lines} == {"cancelled"}
        town.answer = town.take
        await give(settings, 6, 2)
        await settled(settings, 4 + 12)
    assert sum(town.effects.values()) == 12


async def test_g5_lane_does_not_spin_while_its_member_is_away(settings: Settings, topics: None) -> None:
    town = FakeTown()
    town.answer = unavailable
    turns = 0

    def counted(_: Lane, worker: DeliveryLane) -> None:
        turn = worker._turn

        async def counting(records: Any) -> None:
            nonlocal turns
            turns += 1
            await turn(records)

        worker._turn = counting  # type: ignore[method-assign]

    slow = {"retry_delay_ms_min": 200, "retry_delay_ms_max": 5_000}
    async with (
        serving(town) as url,
        delivering(settings, member(url, Guarantee.IDEMPOTENT, **slow), prepare=counted) as stats,
    ):
        await give(settings, 10, 1)
        # Cases fall due at once from here on, and the breaker's delay has grown beyond theirs.
        await until(lambda: sum(town.calls.values()) >= 12 and stats.breaker == "open", "no probe")
        turns = 0
        await asyncio.sleep(1.0)
    assert turns < 30


async def test_g4_call_does_not_start_when_the_commit_of_its_intent_took_too_long(
    settings: Settings, topics: None
) -> None:
    """A process stopped between the broker's commit and its own reading of the answer: a successor may have
    judged the call meanwhile, so the window is measured from before the commit."""
    town = FakeTown()
    commits = 0

    def slowed(lane: Lane, working: DeliveryLane) -> None:
        commit = lane.commit

        async def slowly(*args: Any) -> None:
            nonlocal commits
            window_s = working._window.ms / 1000
            await commit(*args)
            commits += 1
            if commits <= 2:  # each outgrows the window that the one before it left
                await asyncio.sleep(window_s * 1.2)
                assert town.calls == {}

        lane.commit = slowly  # type: ignore[method-assign]

    known = {"start_within_ms": 100}
    async with (
        serving(town) as url,
        delivering(settings, member(url, Guarantee.BLIND, **known), prepare=slowed),
    ):
        await give(settings, 1, 1)
        await until(lambda: commits >= 2 or town.calls, "nothing was tried again")
        assert town.calls == {}
        lines = await settled(settings, 1)
    assert [line["outcome"] for line in lines] == ["delivered"]


def commits_take(lane: Lane, seconds: float) -> None:
    """Every commit of this lane answers so much later."""
    commit = lane.commit

    async def slowly(*args: Any) -> None:
        await commit(*args)
        await asyncio.sleep(seconds)

    lane.commit = slowly  # type: ignore[method-assign]


async def test_g5_calls_start_although_every_commit_takes_longer_than_the_members_window(
    settings: Settings, topics: None
) -> None:
    """A broker of three away on a busy machine: every commit took three seconds, and with a window of one
    nobody was called for 105 seconds. The intent says how wide the window was, for whoever opens the lane
    next."""
    town, open_intents = FakeTown(), []
    seen: list[Lane] = []

    def slowed(lane: Lane, _: DeliveryLane) -> None:
        seen.append(lane)
        commits_take(lane, 0.3)

    async def looks(document: dict[str, Any], call: int) -> web.StreamResponse:
        open_intents.extend(decode_intent(raw) for _, raw in seen[0].range(*ALL_INTENTS, 10))
        return await town.take(document, call)

    town.answer = looks
    known = {"start_within_ms": 100}
    async with (
        serving(town) as url,
        delivering(settings, member(url, Guarantee.BLIND, **known), prepare=slowed),
    ):
        await give(settings, 1, 1)
        lines = await settled(settings, 1)
    assert [line["outcome"] for line in lines] == ["delivered"]
    assert [intent.window_ms >= 600 for intent in open_intents] == [True]


async def test_g4_successor_waits_for_the_window_of_the_intent_it_finds(
    settings: Settings, topics: None
) -> None:
    """The predecessor's commits were slow and its window wide: its call may begin later than
    start_within_ms says."""
    town = FakeTown()
    begun = asyncio.Event()

    async def stalls(document: dict[str, Any], call: int) -> web.StreamResponse:
        begun.set()
        await asyncio.sleep(30)
        return web.Response()

    town.answer = stalls
    known = member("", Guarantee.BLIND, start_within_ms=100, call_timeout_ms=200).delivery
    async with serving(town) as url:
        blind = msgspec.structs.replace(member(url, Guarantee.BLIND), delivery=known)
        async with delivering(settings, blind, prepare=lambda lane, _: commits_take(lane, 1.0)):
            await give(settings, 1, 1)
            await begun.wait()
        opening = time.monotonic()
        async with delivering(settings, blind):
            lines = await settled(settings, 1)
    assert [line["outcome"] for line in lines] == ["in_doubt"]
    assert time.monotonic() - opening > 2.0, "twice the commit's second"


async def test_g5_silent_blind_member_does_not_get_every_case_in_doubt(
    settings: Settings, topics: None
) -> None:
    town = FakeTown()
    town.answer = silent
    limits = {"call_timeout_ms": 100, "calls_in_flight_max": 2, "retry_delay_ms_min": 30_000}
    async with (
        serving(town) as url,
        delivering(settings, member(url, Guarantee.BLIND, **limits, retry_delay_ms_max=60_000)) as stats,
    ):
        await give(settings, 20, 1)
        await until(lambda: stats.breaker == "open" or sum(town.calls.values()) > 4, "nothing was called")
        await until(lambda: stats.calling == 0, "calls without an answer")
        doubted = len(await outcomes(settings))
    assert doubted <= 4
    assert sum(town.calls.values()) == doubted


async def test_g5_restart_while_a_blind_member_is_away_puts_nothing_in_doubt(
    settings: Settings, topics: None
) -> None:
    """The member said it took nothing, so the intent is no open question to a successor."""
    town = FakeTown()
    town.answer = unavailable
    limits = {
        "call_timeout_ms": 1_000,
        "start_within_ms": 500,
        "retry_delay_ms_min": 5_000,
        "retry_delay_ms_max": 60_000,
    }
    async with serving(town) as url:
        for _ in range(2):
            async with delivering(settings, member(url, Guarantee.BLIND, **limits)) as stats:
                await give(settings, 4, 1)
                away = lambda stats=stats: stats.breaker != "closed" and not stats.calling  # noqa: E731
                await until(away, "nobody was called")
                assert await outcomes(settings) == []
        town.answer = town.take
        async with delivering(settings, member(url, Guarantee.BLIND, **limits)):
            lines = await settled(settings, 4)
    assert Counter(line["outcome"] for line in lines)["in_doubt"] == 0


async def test_g4_dispatch_that_comes_twice_while_it_waits_is_called_once(
    settings: Settings, topics: None
) -> None:
    town = FakeTown()
    town.idempotent = False
    sent = await give(settings, 1, 2)
    await give(settings, 1, 2)
    async with serving(town) as url, delivering(settings, member(url, Guarantee.BLIND)):
        await settled(settings, 2)
        await asyncio.sleep(0.5)
        assert len(await outcomes(settings)) == 2
    assert town.order == sent
    assert set(town.calls.values()) == {1}


async def test_g5_queue_entry_of_another_release_stops_this_lane_and_says_why(
    settings: Settings, topics: None
) -> None:
    def written(lane: Lane, _: DeliveryLane) -> None:
        lane.store.write({queue_key("46A", 7): b"\x09later"}, lane.store.meta())  # type: ignore[arg-type]

    await give(settings, 1, 1)
    town = FakeTown()
    async with serving(town) as url:
        async with delivering(settings, member(url, Guarantee.IDEMPOTENT)):
            await settled(settings, 1)
        with pytest.raises(LaneStopped, match="46A"):
            async with delivering(settings, member(url, Guarantee.IDEMPOTENT), prepare=written):
                await asyncio.sleep(1.0)
