"""G6: the books balance by id. Hand-made topics on a real broker: a lost id, a duplicated one, an aborted
transaction, an open one, a late
change. The verdict must show each, and nothing else.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hub.books import checkpoint as checkpoints
from hub.books.model import Report, Trouble
from hub.books.reconcile import reconcile
from hub.delivery.model import queue_key
from hub.envelope import Message
from hub.ids import dispatch_id
from tests.ledger_topics import (
    MEMBERS,
    Log,
    Written,
    delivery,
    event,
    inbound,
    message,
    outcome,
    refusal_of,
    routed,
    whole_case,
)
from tests.servers import Kafka


@pytest.fixture
async def log(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> Log:
    return await Log.create(kafka.bootstrap, topic_prefix, tmp_path)


@dataclass
class OwnBook:
    """A member's own book, served over HTTP as members serve theirs, 100 lines a page."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def add(self, id_: str, effects: int = 1) -> None:
        line = {
            "dispatchId": id_,
            "messageId": "m",
            "kind": "k",
            "caseNo": "c",
            "effects": effects,
            "repeats": 0,
        }
        self.lines.append({"seq": len(self.lines) + 1, **line})

    async def page(self, request: web.Request) -> web.Response:
        after = int(request.query["after"])
        entries = self.lines[after : after + 100]
        return web.json_response({"entries": entries, "next": after + len(entries)})


@pytest.fixture
async def own_book() -> AsyncIterator[OwnBook]:
    book = OwnBook()
    application = web.Application()
    application.add_routes([web.get("/book", book.page)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    book.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield book
    await runner.cleanup()


def troubles(report: Report) -> list[tuple[Trouble, str]]:
    return sorted((problem.trouble, problem.id) for problem in report.problems)


async def test_everything_went_well(log: Log) -> None:
    cases = [message(f"c{n}") for n in range(20)]
    refused = message("refused")
    notice = refusal_of(refused)
    log.commit([record for m in cases for record in whole_case(m)])
    log.commit(
        [
            inbound(refused),
            routed(refused, disposition="refused"),
            routed(notice, ["platform"], originated=True),
        ]
    )
    log.commit([event(notice), delivery(notice, "platform"), outcome(notice, "platform")])
    log.commit(log.positions_at_end())
    report = await reconcile(log.settings)
    assert report.messages_line == "messages: accepted=21 routed=20 refused=1 held=0 parked=0 in_flight=0"
    assert report.books_line == (
        "books: dispatches=41 delivered=41 refused=0 parked=0 in_doubt=0 cancelled=0 in_flight=0 "
        "lost=0 duplicated=0 balanced=yes"
    )
    assert report.messages.originated == 1
    assert report.open_ids == 0


async def test_every_disposition_and_outcome_has_its_column(log: Log) -> None:
    held, parked = message("held"), message("parked")
    log.commit([inbound(held), routed(held, disposition="held", reason="credit")])
    log.commit([inbound(parked), routed(parked, disposition="parked", reason="unknown item")])
    for result in ("delivered", "refused", "parked", "in_doubt", "cancelled"):
        m = message(result + "-case")
        log.commit([inbound(m), routed(m, ["dept-a"]), delivery(m, "dept-a"), outcome(m, "dept-a", result)])
    log.commit(log.positions_at_end())
    report = await reconcile(log.settings)
    assert report.messages_line == "messages: accepted=7 routed=5 refused=0 held=1 parked=1 in_flight=0"
    assert report.books_line == (
        "books: dispatches=5 delivered=1 refused=1 parked=1 in_doubt=1 cancelled=1 in_flight=0 "
        "lost=0 duplicated=0 balanced=yes"
    )


async def test_a_message_below_the_routers_position_without_a_verdict_is_lost(log: Log) -> None:
    lost, later = message("lost"), message("later")
    log.commit([inbound(lost)])
    log.commit(log.positions_at_end())
    log.commit([inbound(later)])  # above the position: only in flight
    report = await reconcile(log.settings)
    assert troubles(report) == [(Trouble.LOST_MESSAGE, lost.id)]
    assert (report.lost, report.messages.in_flight, report.balanced) == (1, 1, False)


async def test_a_listed_dispatch_that_is_on_no_deliver_topic_is_lost(log: Log) -> None:
    m = message("c1")
    log.commit([inbound(m), routed(m, MEMBERS), event(m), delivery(m, "dept-a"), outcome(m, "dept-a")])
    log.commit(log.positions_at_end())
    report = await reconcile(log.settings)
    assert troubles(report) == [(Trouble.LOST_DISPATCH, dispatch_id(m.id, "platform"))]
    assert "lost=1 duplicated=0 balanced=no" in report.books_line


async def test_a_dispatch_taken_in_is_in_flight_while_it_waits_in_its_queue_and_lost_when_it_does_not(
    log: Log,
) -> None:
    waiting, lost, settled = message("waiting"), message("lost"), message("settled")
    for m in (waiting, lost, settled):
        log.commit([inbound(m), routed(m, ["dept-a"]), delivery(m, "dept-a")])
    log.commit([outcome(settled, "dept-a")])
    log.commit(log.positions_at_end())
    queue = "delivery.dept-a.changelog"
    keys = [queue_key(m.subject, offset) for m, offset in ((waiting, 0), (settled, 4))]
    # Every transaction leaves a marker on deliver.dept-a, so the three dispatches are at 0, 2 and 4.
    log.commit([Written(queue, key, b"\x01entry", partition=0) for key in keys])
    log.commit([Written(queue, keys[1], None, partition=0)])
    report = await reconcile(log.settings)
    assert troubles(report) == [(Trouble.LOST_DISPATCH, dispatch_id(lost.id, "dept-a"))]
    assert (report.dispatches.in_flight, report.dispatches.delivered) == (1, 1)


async def test_without_a_position_nothing_is_called_lost(log: Log) -> None:
    """A lane that never ran has worked nothing: everything is in flight."""
    log.commit([inbound(message("c1"))])
    report = await reconcile(log.settings)
    assert (report.messages.in_flight, report.lost, report.balanced) == (1, 0, False)


async def test_aborted_records_are_in_no_book(log: Log) -> None:
    ghost, real = message("ghost"), message("real")
    log.abort(whole_case(ghost))
    log.commit(whole_case(real))
    log.commit(log.positions_at_end())
    report = await reconcile(log.settings)
    assert report.messages_line == "messages: accepted=1 routed=1 refused=0 held=0 parked=0 in_flight=0"
    assert report.balanced


async def test_an_open_transaction_is_waited_for_and_then_named(log: Log) -> None:
    """What an open transaction hides cannot be told from what is lost, so neither is claimed."""
    done, hidden = message("done"), message("hidden")
    log.commit(whole_case(done))
    log.commit([inbound(hidden)])
    log.commit(log.positions_at_end())
    log.begin([routed(hidden, ["dept-a"])])
    report = await reconcile(log.settings, patience_ms_max=1_500)
    assert len(report.undecided) == 1
    assert report.undecided[0].startswith("case.routed-")
    assert (report.lost, report.balanced) == (0, False)
    log.producer.commit_transaction(30)


async def test_the_same_dispatch_twice_on_a_deliver_topic_is_duplicated(log: Log) -> None:
    m = message("c1")
    log.commit(whole_case(m))
    log.commit([delivery(m, "dept-a")])
    log.commit(log.positions_at_end())
    report = await reconcile(log.settings)
    assert troubles(report) == [(Trouble.DUPLICATED, dispatch_id(m.id, "dept-a"))]
    assert "duplicated=1 balanced=no" in report.books_line


async def test_two_final_verdicts_of_one_message_do_not_balance(log: Log) -> None:
    m = message("c1")
    log.commit(whole_case(m))
    log.commit([routed(m)])
    log.commit(log.positions_at_end())
    report = await reconcile(log.settings)
    assert troubles(report) == [(Trouble.REPEATED_VERDICT, m.id)]
    assert not report.balanced


async def test_a_held_message_that_is_released_counts_once(log: Log) -> None:
    m = message("c1")
    log.commit([inbound(m), routed(m, disposition="held", reason="credit")])
    log.commit([routed(m, ["dept-a"]), delivery(m, "dept-a"), outcome(m, "dept-a")])
    log.commit(log.positions_at_end())
    report = await reconcile(log.settings)
    assert report.messages_line == "messages: accepted=1 routed=1 refused=0 held=0 parked=0 in_flight=0"
    assert report.balanced


async def test_a_routed_record_that_was_never_accepted_and_an_outcome_never_listed(log: Log) -> None:
    stray, effect = message("stray"), message("effect")
    log.commit([routed(stray), outcome(effect, "dept-a")])
    report = await reconcile(log.settings)
    assert troubles(report) == [
        (Trouble.UNACCEPTED, stray.id),
        (Trouble.UNLISTED, dispatch_id(effect.id, "dept-a")),
    ]
    assert not report.balanced


async def test_an_unreadable_record_does_not_balance(log: Log) -> None:
    log.commit([Written("case.routed", b"x", b"\x00\x00\x00\xff\xff?")])
    report = await reconcile(log.settings)
    assert [trouble for trouble, _ in troubles(report)] == [Trouble.UNREADABLE]


#  -- members' own books
# ----------------------------------------------------------------------------------------------


async def test_members_own_books_show_what_the_topics_cannot(log: Log, own_book: OwnBook) -> None:
    """Delivered according to the hub, missing in the member's book: lost. Effect twice: duplicated. Never
    dispatched: unlisted."""
    fine, missing, twice = (message(name) for name in ("fine", "missing", "twice"))
    for m in (fine, missing, twice):
        log.commit(whole_case(m, ["dept-a"]))
    log.commit(log.positions_at_end())
    own_book.add(dispatch_id(fine.id, "dept-a"))
    own_book.add(dispatch_id(twice.id, "dept-a"), effects=2)
    own_book.add("f" * 32)
    report = await reconcile(log.settings, member_books={"dept-a": own_book.url})
    assert troubles(report) == [
        (Trouble.DUPLICATED, dispatch_id(twice.id, "dept-a")),
        (Trouble.NOT_IN_BOOK, dispatch_id(missing.id, "dept-a")),
        (Trouble.UNLISTED, "f" * 32),
    ]
    assert "delivered=2" in report.books_line
    assert "lost=1 duplicated=1 balanced=no" in report.books_line


async def test_a_book_of_many_pages_agrees(log: Log, own_book: OwnBook) -> None:
    cases = [message(f"c{n}") for n in range(350)]
    log.commit([record for m in cases for record in whole_case(m, ["dept-a"])])
    log.commit(log.positions_at_end())
    for m in reversed(cases):
        own_book.add(dispatch_id(m.id, "dept-a"))
    report = await reconcile(log.settings, member_books={"dept-a": own_book.url, "window": own_book.url})
    assert report.balanced
    assert report.dispatches.delivered == 350


async def test_a_book_that_cannot_be_read_does_not_balance(log: Log) -> None:
    log.commit(whole_case(message("c1"), ["dept-a"]))
    log.commit(log.positions_at_end())
    report = await reconcile(log.settings, member_books={"dept-a": "http://127.0.0.1:9"})
    assert report.books_away == ("dept-a",)
    assert not report.balanced


#  -- periods
# ---------------------------------------------------------------------------------------------------------


def without_effort(report: Report) -> tuple[object, ...]:
    return report.messages_line, report.books_line, report.closed_digest, troubles(report)


async def test_the_next_run_carries_only_open_ids_and_agrees_with_a_full_one(
    log: Log, own_book: OwnBook
) -> None:
    urls = {"dept-a": own_book.url}

    def deliver_all(messages: list[Message]) -> None:
        log.commit([record for m in messages for record in whole_case(m, ["dept-a"])])
        for m in messages:
            own_book.add(dispatch_id(m.id, "dept-a"))

    deliver_all([message(f"c{n}") for n in range(100)])
    waiting = message("waiting")
    log.commit([inbound(waiting), routed(waiting, disposition="held", reason="credit")])
    log.commit(log.positions_at_end())
    first = await reconcile(log.settings, member_books=urls)
    assert (first.from_checkpoint, first.open_ids, first.messages.held) == (False, 1, 1)

    deliver_all([message(f"d{n}") for n in range(10)])
    log.commit([routed(waiting, ["dept-a"]), delivery(waiting, "dept-a"), outcome(waiting, "dept-a")])
    own_book.add(dispatch_id(waiting.id, "dept-a"))
    log.commit(log.positions_at_end())
    second = await reconcile(log.settings, member_books=urls)
    full = await reconcile(log.settings, full=True, member_books=urls)
    assert second.from_checkpoint
    assert second.records_read < full.records_read / 5
    assert second.balanced
    assert without_effort(second) == without_effort(full)


async def test_a_resend_after_the_period_closed_is_no_loss_and_no_new_message(log: Log) -> None:
    """The router drops a re-send without a record: only a second look tells it from a loss."""
    m, lost = message("c1"), message("lost")
    log.commit(whole_case(m))
    log.commit(log.positions_at_end())
    await reconcile(log.settings)
    log.commit([inbound(m), inbound(lost)])
    log.commit(log.positions_at_end())
    report = await reconcile(log.settings)
    assert report.from_checkpoint
    assert troubles(report) == [(Trouble.LOST_MESSAGE, lost.id)]
    assert report.messages.accepted == 2


async def test_a_delivered_dispatch_refused_after_the_period_closed_changes_its_column(log: Log) -> None:
    """R30, R33: the nation takes a row and refuses it later."""
    m = message("c1")
    log.commit(whole_case(m))
    log.commit(log.positions_at_end())
    await reconcile(log.settings)
    log.commit([outcome(m, "platform", "refused", code="nation.rejected")])
    log.commit(log.positions_at_end())
    second = await reconcile(log.settings)
    assert (second.members["platform"].delivered, second.members["platform"].refused) == (0, 1)
    assert without_effort(second) == without_effort(await reconcile(log.settings, full=True))


async def test_a_torn_checkpoint_is_no_checkpoint(log: Log) -> None:
    log.commit(whole_case(message("c1")))
    log.commit(log.positions_at_end())
    await reconcile(log.settings)
    log.commit([Written("books.checkpoints", b"part/0", b"torn", partition=0)])
    assert await checkpoints.read_last(log.settings) is None
    report = await reconcile(log.settings)
    assert not report.from_checkpoint
    assert report.balanced
