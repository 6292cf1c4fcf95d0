"""`reconcile`: one run over the books, from the last checkpoint or in full, and the checkpoint after it."""

import time
from collections.abc import Mapping

from hub.books import checkpoint as checkpoints
from hub.books.judge import Judgement
from hub.books.ledger import Books
from hub.books.member_book import books_of, open_session
from hub.books.model import Report
from hub.books.reader import BookReader
from hub.config import Settings


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
    reported, not raised.
    """
    urls = dict(member_books or {})
    last = None if full else await checkpoints.read_last(settings)
    if last is not None and set(last.with_book) != set(urls):
        last = None  # other books to compare: what was closed was closed by another rule
    books, start = checkpoints.open_books(last) if last else (Books(urls), {})
    own = books_of(urls, last.own_books if last else None)
    async with (
        BookReader(settings, books, start, patience_ms_max=patience_ms_max) as reader,
        open_session() as session,
    ):
        judgement = await reader.advance(own, session)
    report = report_of(judgement, reader, compared=urls, from_checkpoint=last is not None)
    if write_checkpoint and not reader.undecided:
        after = {book.url: book.after for book in own}
        taken = checkpoints.take(books, reader.offsets, after, int(time.time() * 1_000))
        await checkpoints.write(settings, taken)
    return report


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
