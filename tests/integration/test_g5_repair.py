"""G5, R27: an operator lets a case go on at a delivery lane: in order, under the same ids, and a command that
comes twice does nothing the second time (real broker, real HTTP)."""

import asyncio
import contextlib
import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner
from delivery_harness import (
    FakeTown,
    create_topics,
    delivering,
    give,
    member,
    once,
    outcomes,
    serving,
    settings_for,
    settled,
    until,
)

from adapters.ports import Dispatch, Reply, ReplyKind
from hub import directory
from hub.cli import govhub
from hub.config import Settings
from hub.delivery.commands import Command, Verb, encode
from hub.delivery.lane import DeliveryLane
from hub.delivery.role import DeliveryRole
from hub.delivery.trouble import Trouble, taken_again
from hub.directory.model import Guarantee
from hub.errors import BrokerAway
from hub.kafka import Admin, open_producer
from hub.lanes.lane import Lane
from signing.digest import sm3_hex
from tests.integration.test_g5_delivery_lane import Answers
from tests.servers import Kafka


@pytest.fixture
def settings(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> Settings:
    return settings_for(kafka, topic_prefix, tmp_path)


@pytest.fixture
async def topics(settings: Settings) -> None:
    await create_topics(settings)


async def order(settings: Settings, key: str, command: Verb, dispatch: str = "", **more: Any) -> None:
    """What the command line and the console write."""
    given = Command(command=command, by="wang", reason="已与成员核实", dispatch=dispatch, **more)
    async with open_producer(settings) as producer:
        await producer.send("commands.delivery.town", key.encode(), encode(given), [])


async def wrong(document: dict[str, Any], call: int) -> web.StreamResponse:
    return web.Response(status=400)


async def last(settings: Settings, wanted: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Wait until the ledger's last line of each of these dispatches says what is wanted."""
    for _ in range(150):
        lines = {line["dispatchId"]: line for line in await outcomes(settings)}
        if all(id_ in lines and lines[id_]["outcome"] == outcome for id_, outcome in wanted.items()):
            return lines
        await asyncio.sleep(0.1)
    raise AssertionError({id_: lines.get(id_, {}).get("outcome") for id_ in wanted})


@pytest.mark.parametrize("restarted", [False, True])
async def test_r27_redriven_case_goes_on_in_order_under_the_same_ids(
    settings: Settings, topics: None, restarted: bool
) -> None:
    """Also after a restart, and with more behind it than the store keeps the content of."""
    town = FakeTown()
    town.answer = wrong
    limits = {"parked_max": 1}
    async with serving(town) as url:
        known = member(url, Guarantee.IDEMPOTENT, **limits)
        async with contextlib.AsyncExitStack() as stack:
            stats = await stack.enter_async_context(delivering(settings, known))
            ((case, ids),) = (await give(settings, 1, 1)).items()
            # What comes from here on stands behind; taken in with the first it would all be kept in full.
            await until(lambda: stats.holds, "the case goes on")
            ids += (await give(settings, 1, 3, after=1))[case]
            await settled(settings, 4)
            if restarted:
                await stack.aclose()
                await stack.enter_async_context(delivering(settings, known))
            town.answer = town.take
            await order(settings, case, "redrive", ids[0], attempts=1)
            await order(settings, case, "redrive", ids[0], attempts=1)
            lines = await last(settings, dict.fromkeys(ids, "delivered"))
    assert town.order == {case: ids}
    assert set(town.effects.values()) == {1}
    assert lines[ids[3]]["behind"] is None
    released = [line["dispatchId"] for line in await outcomes(settings) if line["code"] == "released"]
    assert released == ids, "the ledger says in flight from the release on, each once"


async def lost(town: FakeTown, document: dict[str, Any], call: int) -> web.StreamResponse:
    await town.take(document, call)
    raise ConnectionResetError


async def test_g4_doubt_settled_as_not_delivered_is_called_once_more_and_not_twice(
    settings: Settings, topics: None
) -> None:
    town = FakeTown()
    town.idempotent = False
    town.answer = lambda document, call: lost(town, document, call)
    async with serving(town) as url, delivering(settings, member(url, Guarantee.BLIND)) as stats:
        case, ids = next(iter((await give(settings, 1, 2)).items()))
        await last(settings, {ids[0]: "in_doubt"})
        # The same click twice at once, and once more when the second call is lost as well: no third call.
        again = {"attempts": 1, "settled": "not_delivered"}
        for _ in range(2):
            await order(settings, case, "settle", ids[0], **again)
        await until(lambda: town.calls[ids[0]] == 2 and stats.holds, "not called again and in doubt again")
        await order(settings, case, "settle", ids[0], **again)
        await asyncio.sleep(0.5)
        assert town.calls == {ids[0]: 2}
        await order(settings, case, "redrive", ids[0], attempts=2)
        await order(settings, case, "settle", ids[1], attempts=2, settled="delivered")
        await asyncio.sleep(0.5)
        assert town.calls == {ids[0]: 2}, "a doubt is not redriven, and no other dispatch is settled for it"
        town.answer = town.take
        await order(settings, case, "settle", ids[0], attempts=2, settled="delivered", evidence="流水号 0077")
        lines = await last(settings, dict.fromkeys(ids, "delivered"))
    assert town.calls == {ids[0]: 2, ids[1]: 1}
    assert lines[ids[0]]["code"] == "settled"
    assert "wang: 已与成员核实" in lines[ids[0]]["detail"]
    assert "0077" in lines[ids[0]]["detail"]


async def test_g5_skipped_and_released_dispatches_let_the_next_go_on(
    settings: Settings, topics: None
) -> None:
    town = FakeTown()
    town.answer = wrong
    async with serving(town) as url, delivering(settings, member(url, Guarantee.IDEMPOTENT)) as stats:
        case, ids = next(iter((await give(settings, 1, 3)).items()))
        await last(settings, {ids[0]: "parked"})

        async def refuses(document: dict[str, Any], call: int) -> web.StreamResponse:
            return web.json_response({"status": "refused", "code": "E7"}, status=422)

        town.answer = refuses
        await order(settings, case, "skip", ids[0], attempts=1)
        await last(settings, {ids[0]: "cancelled", ids[1]: "refused", ids[2]: "parked"})
        assert stats.holds == 1
        town.answer = town.take
        await order(settings, case, "skip", ids[1], attempts=1)
        await order(settings, case, "release", ids[1], attempts=1)
        lines = await last(settings, {ids[2]: "delivered"})
        assert stats.holds == 0
    assert lines[ids[1]]["outcome"] == "refused", "what the member's business refused stays refused"
    assert town.order == {case: [ids[2]]}


async def test_r27_suspended_member_is_not_called_until_it_is_resumed(
    settings: Settings, topics: None
) -> None:
    """Also after a restart, and although its lane has taken in all it may: commands come through."""
    town = FakeTown()
    async with serving(town) as url:
        known = member(url, Guarantee.BLIND, taken_in_max=2)
        async with delivering(settings, known) as stats:
            await order(settings, "town", "suspend")
            while not stats.suspended:
                await asyncio.sleep(0.05)
            sent = await give(settings, 550, 1)
        async with delivering(settings, known) as stats:
            while stats.taken_in < 2:
                await asyncio.sleep(0.05)
            assert "已与成员核实" in stats.suspended
            assert stats.taken_in < 550
            assert town.calls == {}
            await order(settings, "town", "resume")
            await settled(settings, 550, 40)
    assert town.order == sent


async def test_g5_result_the_broker_refuses_parks_its_own_case_and_no_doubt_comes_of_the_others(
    settings: Settings, topics: None
) -> None:
    """Blind on purpose: what came back for the other calls must survive the reopening."""
    async with Admin(settings) as admin:
        await admin.alter_config(settings.topic("case.inbound"), {"max.message.bytes": "1500"})
    sent = await give(settings, 8, 1)
    (bad,) = next(iter(sent.values()))

    class Wordy(Answers):
        async def deliver(self, dispatch: Dispatch, may_start: Callable[[], bool]) -> Reply:
            if dispatch.id != bad:
                return self.reply
            return Reply(kind=ReplyKind.REFUSED, code="E1", detail="长" * 1_000)

    trouble, port = Trouble(), Wordy(Reply(kind=ReplyKind.DONE))
    known = member("http://127.0.0.1:1", Guarantee.BLIND)
    owner = asyncio.create_task(taken_again(lambda: once(settings, known, port, trouble), trouble, "town"))
    try:
        ids = [id_ for (id_,) in sent.values()]
        lines = await last(settings, {id_: "parked" if id_ == bad else "delivered" for id_ in ids})
    finally:
        owner.cancel()
        await asyncio.gather(owner, return_exceptions=True)
    assert lines[bad]["code"] == "output_refused"
    assert len(await outcomes(settings)) == 8


async def test_g4_answer_that_came_while_nothing_could_be_committed_is_no_doubt(
    settings: Settings, topics: None
) -> None:
    town = FakeTown()
    town.idempotent = False
    trouble = Trouble()

    def failing(lane: Lane, _: DeliveryLane) -> None:
        commit = lane.commit

        async def refused_with_outcomes(outputs: Any, *rest: Any) -> None:
            if outputs:
                raise BrokerAway("the broker goes away with the outcome on its way")
            await commit(outputs, *rest)

        lane.commit = refused_with_outcomes  # type: ignore[method-assign]

    async with serving(town) as url:
        known = member(url, Guarantee.BLIND)
        sent = await give(settings, 1, 1)
        with contextlib.suppress(BrokerAway):
            async with delivering(settings, known, prepare=failing, trouble=trouble):
                while not trouble.answers:
                    await asyncio.sleep(0.05)
        async with delivering(settings, known, trouble=trouble):
            lines = await settled(settings, 1)
    assert [line["outcome"] for line in lines] == ["delivered"]
    assert town.order == sent


async def test_g4_planned_stop_lets_a_blind_call_end_and_begins_no_other(
    settings: Settings, topics: None
) -> None:
    town = FakeTown()
    town.idempotent = False
    begun = asyncio.Event()

    async def slow(document: dict[str, Any], call: int) -> web.StreamResponse:
        begun.set()
        await asyncio.sleep(1.0)
        return await town.take(document, call)

    town.answer = slow
    async with serving(town) as url:
        known = member(url, Guarantee.BLIND, call_timeout_ms=5_000, calls_in_flight_max=1)
        sent = await give(settings, 2, 1)
        stop = asyncio.Event()
        role = DeliveryRole(settings, {"town": known}, "c", 1)
        work = asyncio.create_task(role.worker.run(stop))
        await begun.wait()
        stop.set()
        await work
        assert sum(town.calls.values()) == 1
        assert [line["outcome"] for line in await outcomes(settings)] == ["delivered"]
        async with delivering(settings, known):
            lines = await settled(settings, 2)
    assert {line["outcome"] for line in lines} == {"delivered"}
    assert town.order == sent


async def test_g5_what_stands_still_takes_no_memory(settings: Settings, topics: None) -> None:
    """Holds and what waits behind them are in the store: a member that refuses a whole day's cases for a
    wrong field must not fill the process."""
    town = FakeTown()
    town.answer = wrong
    works: list[DeliveryLane] = []
    async with (
        serving(town) as url,
        delivering(
            settings, member(url, Guarantee.IDEMPOTENT), prepare=lambda _, work: works.append(work)
        ) as stats,
    ):
        await give(settings, 60, 2)
        await settled(settings, 120)
        await asyncio.sleep(0.3)
        assert stats.holds == 60
        assert works[0]._book.cases == {}
        assert stats.taken_in == 0


async def test_r27_command_line_shows_first_and_then_does(
    settings: Settings, topics: None, tmp_path: Path
) -> None:
    """R20: what is on the member's own list was delivered; the list's digest is the evidence."""
    town = FakeTown()
    town.idempotent = False
    town.answer = lambda document, call: lost(town, document, call)
    env = {
        "HUB_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "HUB_TOPIC_PREFIX": settings.topic_prefix,
        "HUB_DIRECTORY_DIR": str(directory_with_town(tmp_path)),
    }

    async def typed(*words: str) -> str:
        done = await asyncio.to_thread(CliRunner(env=env).invoke, govhub, words)
        assert done.exit_code == 0, done.output
        return done.output

    async with serving(town) as url, delivering(settings, member(url, Guarantee.BLIND)):
        ids = [id_ for (id_,) in (await give(settings, 2, 1)).values()]
        await last(settings, dict.fromkeys(ids, "in_doubt"))
        shown = await typed("held", "town")
        assert all(id_ in shown for id_ in ids)
        file = tmp_path / "list.txt"
        file.write_text(f"{ids[0]}\n{'0' * 32}\n")
        order_ = ["settle", "--member", "town", "--from", str(file), "--reason", "成员清单核对"]
        assert "dry run" in await typed(*order_)
        await asyncio.sleep(0.5)
        assert len(await outcomes(settings)) == 2, "shown, not done"
        await typed(*order_, "--yes")
        lines = await last(settings, {ids[0]: "delivered", ids[1]: "in_doubt"})
    assert f"sm3:{sm3_hex(file.read_bytes())}" in lines[ids[0]]["detail"]


def directory_with_town(tmp_path: Path) -> Path:
    """The shipped directory and the member these tests deliver to."""
    folder = tmp_path / "directory"
    shutil.copytree(directory.DATA, folder)
    file = folder / "members.yaml"
    document = yaml.safe_load(file.read_text("utf-8"))
    document["members"]["town"] = copy.deepcopy(document["members"]["dept-a"])
    file.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    return folder
