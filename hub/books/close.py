"""Closing the books: on command, and once a day beside the evidence lanes (R29)."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Final

import structlog

from hub.books import checkpoint as checkpoints
from hub.books.closing import (
    BooksUndecided,
    ClosedMeanwhile,
    Closing,
    closing_of,
    last_closed,
    publish,
    trust_of,
)
from hub.books.reconcile import count
from hub.config import Settings
from hub.errors import BrokerAway, Fenced, UnknownOutcome
from hub.evidence.lane import Signer
from hub.evidence.stamps import StampAway

log = structlog.get_logger()

# Days close in Asia/Shanghai (R7).
SHANGHAI: Final = timezone(timedelta(hours=8))
_LOOK_S: Final = 30.0


async def close_books(settings: Settings, signer: Signer) -> Closing:
    """Close the period now. Raises BooksTampered, BooksUndecided, ClosedMeanwhile, StampAway, Fenced,
    BrokerAway."""
    last = await last_closed(settings, signer.provider, trust_of(settings))
    report, checkpoint = await count(settings, None if last is None else last[1], {})
    if checkpoint is None:
        raise BooksUndecided(f"事务未结束 / open transactions: {', '.join(report.undecided)}")
    digest = checkpoints.head_digest(dict(checkpoints.to_records(checkpoint)))
    closing = closing_of(report, checkpoint, digest, None if last is None else last[0])
    await publish(settings, signer, closing, checkpoint)
    log.info("books.closed", number=closing.number, balanced=closing.balanced, problems=closing.problems)
    return closing


def day_of(time_ms: int) -> int:
    """The day in Asia/Shanghai, as a number that rises by one a day."""
    return datetime.fromtimestamp(time_ms / 1000, SHANGHAI).date().toordinal()


async def close_daily(settings: Settings, signer: Signer, mine: Callable[[], bool]) -> None:
    """Close every day that has ended, until cancelled. mine: whether this process is the one to do it (it
    owns the first evidence lane); were two to try, only one of them can commit. Raises BooksTampered:
    nothing is closed over books that were changed."""
    while True:
        try:
            if mine():
                await _close_if_due(settings, signer)
        except (BrokerAway, Fenced, UnknownOutcome, StampAway, BooksUndecided, ClosedMeanwhile) as error:
            log.warning("books.not_closed", reason=f"{type(error).__name__}: {error}")
        await asyncio.sleep(_LOOK_S)


async def _close_if_due(settings: Settings, signer: Signer) -> None:
    last = await last_closed(settings, signer.provider, trust_of(settings))
    now_ms = int(time.time() * 1000)
    if last is None or day_of(last[0].at_ms) < day_of(now_ms):
        await close_books(settings, signer)


def when(closing: Closing) -> str:
    """A closing's time for people."""
    return datetime.fromtimestamp(closing.at_ms / 1000, SHANGHAI).isoformat(timespec="seconds")
