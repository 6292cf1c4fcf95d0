"""`reconcile`: one run over the books, from the last checkpoint or in full, and the checkpoint after it."""

import time
from collections.abc import Mapping

import structlog

from hub.books import checkpoint as checkpoints
from hub.books.checkpoint import Checkpoint
from hub.books.closing import ClosedMeanwhile, last_closed, read_chain, trust_of, write_unsigned
from hub.books.judge import Judgement
from hub.books.ledger import Books
from hub.books.member_book import books_of, open_session
from hub.books.model import Report
from hub.books.reader import BookReader
from hub.config import Settings
from hub.errors import Fenced, UnknownOutcome
from signing.provider import SoftwareProvider

log = structlog.get_logger()


async def reconcile(
    settings: Settings,
    *,
    full: bool = False,
    member_books: Mapping[str, str] | None = None,
    write_checkpoint: bool = True,
    patience_ms_max: int | None = None,
) -> Report:
    """Both ledgers by id, from the topics and the members' own books.

    full: re-read all that is retained instead of going on from the last checkpoint. member_books: member ->
    base URL of its own book
    (`GET {url}/book`). patience_ms_max: how long to wait for open transactions. Raises BrokerAway; a book
    that cannot be read is
    reported, not raised. Raises BooksTampered when the last closing is not what was signed (not with full).
    """
    urls = dict(member_books or {})
    signed = bool(await read_chain(settings))
    last = None if full else await _last(settings, signed)
    if last is not None and set(last.with_book) != set(urls):
        last = None  # other books to compare: what was closed was closed by another rule
    report, taken = await count(settings, last, urls, patience_ms_max=patience_ms_max)
    # Once books are closed under a signature, only a closing moves the place to go on from (R29).
    if write_checkpoint and taken is not None and not signed:
        try:
            await write_unsigned(settings, taken)
        except (ClosedMeanwhile, Fenced, UnknownOutcome) as error:
            # The report stands; the next run goes on from what somebody else wrote, or from before.
            log.info("books.checkpoint_not_written", reason=f"{type(error).__name__}: {error}")
    return report


async def _last(settings: Settings, signed: bool) -> Checkpoint | None:
    """Where to go on: the last closing's checkpoint, checked against what was signed; unsigned otherwise."""
    if not signed:
        return await checkpoints.read_last(settings)
    closed = await last_closed(settings, SoftwareProvider(), trust_of(settings))
    return None if closed is None else closed[1]


async def count(
    settings: Settings,
    last: Checkpoint | None,
    urls: Mapping[str, str],
    *,
    patience_ms_max: int | None = None,
) -> tuple[Report, Checkpoint | None]:
    """One count from a checkpoint (None: from the beginning), and the checkpoint after it: None when open
    transactions left something undecided."""
    books, start = checkpoints.open_books(last) if last else (Books(urls), {})
    own = books_of(urls, last.own_books if last else None)
    async with (
        BookReader(settings, books, start, patience_ms_max=patience_ms_max) as reader,
        open_session() as session,
    ):
        judgement = await reader.advance(own, session)
    report = report_of(judgement, reader, compared=urls, from_checkpoint=last is not None)
    if reader.undecided:
        return report, None
    after = {book.url: book.after for book in own}
    return report, checkpoints.take(books, reader.offsets, after, int(time.time() * 1_000))


def report_of(
    judgement: Judgement, reader: BookReader, *, compared: Mapping[str, str], from_checkpoint: bool = False
) -> Report:
    """The report of one judgement."""
    books = reader.books
    return Report(
        messages=judgement.messages,
        members=judgement.members,
        duplicated=len(books.duplicated),
        problems=tuple(judgement.problems),
        problems_seen=books.problems_seen,
        undecided=tuple(reader.undecided),
        books_away=tuple(reader.books_away),
        compared=tuple(compared),
        closed_digest=f"{books.closed_digest:064x}",
        open_ids=len(books.messages) + len(books.dispatches),
        records_read=reader.records_read,
        from_checkpoint=from_checkpoint,
    )
