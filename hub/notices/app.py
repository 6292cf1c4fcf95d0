"""Role notices: reads case.events read_committed and makes the notice of each event that calls for one, once.
The loop and its retries live here; words in facts.py, pages in layout.py, seals in sealing.py, rows in
store.py.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import structlog

from hub.config import Settings
from hub.envelope import from_record
from hub.errors import BrokerAway
from hub.health import health_server
from hub.kafka import KafkaError, Reader, Record
from hub.notices import store
from hub.notices.facts import SUBMITTED, CaseFacts, Notice, case_facts, notice_of
from hub.notices.fonts import typefaces
from hub.notices.layout import lay_out
from hub.notices.sealing import Sealer, open_sealer
from hub.seals.book import SealBook
from schemas.codec import decode
from schemas.errors import ContractError
from signing.digest import sm3_hex
from signing.errors import SigningError

EVENTS: Final = "case.events"
ERROR_LENGTH_MAX: Final = 500
RETRY_DELAY_S: Final = 1.0
SEAL_RETRY_S: Final = 15.0
# Notices are a citizen's paper, not the exchange: they give way to everything else on the machine.
NICENESS: Final = 10
_AWAY: Final = (
    OSError,
    TimeoutError,
    BrokerAway,
    KafkaError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
)

log = structlog.get_logger("notices")


class SealUnusable(Exception):
    """The seal is lost, expired or not believed: the role waits, and no event is passed over."""


class Maker:
    """Makes the two files of a notice unless they are there."""

    def __init__(self, settings: Settings, sealer: Sealer) -> None:
        self._settings = settings
        self._sealer = sealer
        self._faces = typefaces(settings.notices_font)

    def check_seal(self, now: datetime) -> None:
        """Raises SealUnusable, SigningError when the book of seals does not hold, OSError."""
        problem = self._sealer.problem(now)
        if problem:
            raise SealUnusable(problem)

    def make(self, notice: Notice, now: datetime) -> store.Row:
        """Blocking. Raises SigningError when the seal may not be used or the notice cannot be laid out,
        OSError."""
        folder = store.notices_folder(self._settings)
        places = {form: store.file_of(folder, notice.id, form) for form in store.FORMS}
        if all(path.exists() for path in places.values()):
            ofd, pdf = (path.read_bytes() for path in places.values())
        else:
            url = self._settings.notices_query_url
            query = f"{url}/{notice.case_no}" if url else ""
            laid = lay_out(notice, self._faces, query, self._settings.notices_issuer)
            ofd = store.keep(places["ofd"], self._sealer.ofd(laid, now))
            pdf = store.keep(places["pdf"], self._sealer.pdf(laid, now))
        return store.Row(notice, now, sm3_hex(ofd), sm3_hex(pdf))


class Notices:
    """One reader, one database connection, positions that only a committed transaction moves."""

    def __init__(
        self, settings: Settings, reader: Reader, connection: asyncpg.Connection[Any], maker: Maker
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._connection = connection
        self._maker = maker
        self._positions: dict[int, int] = {}
        self.made = 0
        self.failed = 0

    async def open(self) -> None:
        """Schema, positions, assignment. Raises LookupError when the topic does not exist."""
        await store.create_schema(self._connection)
        topic = self._settings.topic(EVENTS)
        places = await self._reader.partitions([topic])
        if not places:
            raise LookupError(f"主题不存在，先运行 / topic missing, first run: topics apply ({topic})")
        starts = await self._reader.start_offsets(places)
        self._positions = await store.resume(
            self._connection, {place.partition: offset for place, offset in starts.items()}
        )
        self._reader.assign({place: self._positions[place.partition] for place in places})

    async def step(self) -> int:
        """One batch. Returns the number of records. Raises store.Overtaken, SealUnusable, and what the
        database raises."""
        settings = self._settings
        records = await self._reader.poll(settings.poll_wait_ms, settings.notices_batch_max)
        if not records:
            return 0
        # After the poll: what was just reported lost must not be set once more.
        await asyncio.to_thread(self._maker.check_seal, _now())
        batch = await self._work(records)
        await store.write(self._connection, batch)
        self._positions.update({partition: to for partition, (_, to) in batch.moves.items()})
        self.made += len(batch.rows)
        self.failed += len(batch.failures)
        return len(records)

    async def _work(self, records: list[Record]) -> store.Batch:
        read, failures = _read(records)
        opened = {message.subject: case_facts(body) for _, message, body in read if message.type == SUBMITTED}
        known = await store.cases(self._connection, sorted({message.subject for _, message, _ in read}))
        rows = []
        for record, message, body in read:
            case = known.get(message.subject) or opened.get(message.subject) or _UNKNOWN
            try:
                notice = notice_of(message, body, case)
                if notice is not None:
                    rows.append(await asyncio.to_thread(self._maker.make, notice, _now()))
            except (SigningError, ValueError, KeyError, TypeError) as error:
                # Lost or run out in the middle of the batch: not this event's fault.
                await asyncio.to_thread(self._maker.check_seal, _now())
                failures.append(_failure(record, message.id, error))
        moves = {}
        for record in records:
            known_position = self._positions[record.partition]
            moves[record.partition] = (known_position, record.offset + 1)
        for _, offset, event_id, text in failures:
            log.error("notice_failed", offset=offset, event_id=event_id, error=text)
        return store.Batch(opened, rows, failures, moves)

    def metrics(self) -> Mapping[str, float]:
        """Prometheus values."""
        return {"govhub_notices_made_total": self.made, "govhub_notices_failed_total": self.failed}


# A case whose submission this hub never saw (taken over, a department's own): its notices name the event
# only.
_UNKNOWN: Final = CaseFacts("本事项", "", "申请人", 0)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _read(records: list[Record]) -> tuple[list[tuple[Record, Any, dict[str, Any]]], list[Any]]:
    read, failures = [], []
    for record in records:
        try:
            message = from_record(record.headers, record.value)
            contract, body = decode(message.value)
            # A credit query carries the submission's own bytes under another type.
            if contract.name == message.type:
                read.append((record, message, body))
        except (ValueError, KeyError, TypeError, ContractError) as error:
            failures.append(_failure(record, "", error))
    return read, failures


def _failure(record: Record, event_id: str, error: Exception) -> tuple[int, int, str, str]:
    text = repr(error).replace("\x00", "\u2400")[:ERROR_LENGTH_MAX]
    return record.partition, record.offset, event_id, text


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run until stop is set. A database or broker that is away is waited for; nothing is skipped silently."""
    if not settings.database_url or settings.notices_dir is None:
        raise SystemExit(
            "缺少环境变量 / missing environment variable: HUB_DATABASE_URL, HUB_NOTICES_DIR "
            "(govhub notices trial DIR)"
        )
    try:
        book = SealBook(settings.data_dir / "seals")
        sealer = open_sealer(settings.notices_dir, settings.notices_passphrase, book)
        maker = Maker(settings, sealer)
    except (OSError, SigningError, ValueError) as error:
        raise SystemExit(f"HUB_NOTICES_DIR: {error}") from error
    os.nice(NICENESS)
    current: list[Notices] = []

    def ready() -> str:
        return "" if current else "未连接 / not connected"

    def metrics() -> Mapping[str, float]:
        return current[0].metrics() if current else {}

    async with health_server(settings.metrics_listen, ready, metrics):
        while not stop.is_set():
            try:
                await _run(settings, stop, current, maker)
            except (SealUnusable, SigningError) as error:
                log.error("seal_unusable", reason=str(error))
                current.clear()
                await _pause(stop, SEAL_RETRY_S)
            except store.Overtaken as error:
                log.warning("overtaken", place=str(error))
            except (*_AWAY, LookupError) as error:
                log.warning("waiting", error=repr(error))
            current.clear()
            if not stop.is_set():
                await _pause(stop, RETRY_DELAY_S)


async def _run(settings: Settings, stop: asyncio.Event, current: list[Notices], maker: Maker) -> None:
    reader = Reader(settings)
    connection = await asyncpg.connect(
        settings.database_url, command_timeout=30, server_settings={"application_name": "govhub-notices"}
    )
    try:
        await reader.start()
        notices = Notices(settings, reader, connection, maker)
        await notices.open()
        current.append(notices)
        log.info("making_notices")
        began = time.monotonic()
        while not stop.is_set():
            await notices.step()
        log.info("stopped", made=notices.made, seconds=round(time.monotonic() - began))
    finally:
        await reader.stop()
        await connection.close(timeout=5)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
