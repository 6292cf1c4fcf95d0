"""What a lane does about calls whose intent is committed and whose outcome is not (G4): they may have
happened, or may still be happening elsewhere."""

import time
from collections.abc import Mapping

from hub.delivery.book import CASE_ENTRIES_MAX, Book
from hub.delivery.calls import Calls
from hub.delivery.resolve import recovery_wait_ms
from hub.delivery.trouble import Answer
from hub.delivery.turn import Log, next_page
from hub.directory.model import Delivery, Guarantee
from hub.lanes.lane import Lane


async def recover(
    lane: Lane,
    book: Book,
    contents: Log,
    calls: Calls,
    policy: Delivery,
    answers: Mapping[tuple[str, int], Answer],
) -> None:
    """Rebuild the book and settle open intents: by the answer this process already has, otherwise as the
    member's guarantee allows. Raises ValueError for a state that cannot be read."""
    intents = await book.load(lane)
    for case in book.hungry():
        await next_page(lane, book, contents, case, CASE_ENTRIES_MAX)
        book.ready(case)
    for intent in intents:
        waiting = book.cases.get(intent.subject)
        if waiting is None or not waiting.queue or waiting.queue[0].seq != intent.seq:
            continue
        entry = waiting.queue[0]
        answer = answers.get((intent.dispatch_id, intent.attempt))
        if answer is not None:
            calls.known(waiting, entry, answer.reply, too_late=answer.too_late)
            book.started(waiting)
            continue
        wait_s = recovery_wait_ms(policy, intent.window_ms) / 1000
        match policy.guarantee:
            case Guarantee.IDEMPOTENT:
                pass
            case Guarantee.QUERYABLE:
                waiting.query_first, waiting.not_before = True, time.monotonic() + wait_s
            case Guarantee.BLIND:
                # Settled as in doubt once the predecessor's call can no longer be running.
                calls.settle_blind(waiting, entry, wait_s)
                book.started(waiting)
