"""The sync role: reads what the national platform says back through its front-end database and hands it to
the hub.

Today: its reject list (R30). A reject becomes a message with a derived id, so reading it twice is harmless.
"""

import asyncio
import os
import time
from typing import Final

import asyncpg
import structlog

from adapters.tables.front_end import prepare
from adapters.tables.rejects import REJECTS_MAX, Reject, read_rejects, untraced_rejects
from hub import directory, envelope, ids
from hub.config import Settings
from hub.errors import OutputRefused
from hub.health import health_server
from hub.kafka import BrokerAway, IntakeProducer, open_producer
from schemas import codec, contracts, validate
from schemas.errors import ContractError

log = structlog.get_logger()

_INTERVAL_S: Final = 1.0
_MEMBER: Final = "nation"
_TYPE: Final = "nation.rejected"


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Read rejects until `stop`; the place reached is kept in the same database."""
    member = directory.load(settings.directory_dir, os.environ, settings.region).members[_MEMBER]
    reader = _RejectReader(settings, member.adapter.database_url)
    async with health_server(settings.metrics_listen, lambda: reader.trouble, reader.metrics):
        await reader.run(stop)


class _RejectReader:
    def __init__(self, settings: Settings, database_url: str) -> None:
        self._settings = settings
        self._database_url = database_url
        self._handed_over = 0
        self._untraced = 0
        self._unreadable: set[int] = set()
        self._prepared = False
        self.trouble = ""

    def metrics(self) -> dict[str, float]:
        """Rejects handed over, and those of rows this hub never wrote: a person must look at them."""
        return {
            "govhub_nation_rejects_total": float(self._handed_over),
            "govhub_nation_rejects_untraced": float(self._untraced),
            "govhub_nation_rejects_unreadable": float(len(self._unreadable)),
        }

    async def run(self, stop: asyncio.Event) -> None:
        async with open_producer(self._settings) as producer:
            while not stop.is_set():
                try:
                    await self._pass(producer)
                    self.trouble = ""
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, BrokerAway) as error:
                    self.trouble = repr(error)
                    log.warning("sync.waiting", reason=self.trouble)
                try:
                    await asyncio.wait_for(stop.wait(), _INTERVAL_S)
                except TimeoutError:
                    continue

    async def _pass(self, producer: IntakeProducer) -> None:
        connection = await asyncpg.connect(self._database_url)
        try:
            if not self._prepared:
                # Nobody may have written there yet: whoever comes first makes the tables.
                await prepare(connection)
                self._prepared = True
            self._untraced = await untraced_rejects(connection)
            # Those that break the contract stay unread, and do not take the place of the others.
            for reject in await read_rejects(connection, REJECTS_MAX + len(self._unreadable)):
                if reject.reject_id in self._unreadable:
                    continue
                try:
                    await self._hand_over(producer, reject)
                except (ContractError, OutputRefused) as error:
                    log.error("reject.unreadable", reject_id=reject.reject_id, reason=str(error))
                    self._unreadable.add(reject.reject_id)
                    continue
                await connection.execute(
                    "UPDATE up_reject SET read_at = now() WHERE reject_id = $1", reject.reject_id
                )
                self._handed_over += 1
        finally:
            await connection.close()

    async def _hand_over(self, producer: IntakeProducer, reject: Reject) -> None:
        contract = contracts.load().by_type(_TYPE)
        body = {
            "table": reject.table,
            "rowGuid": reject.row_guid,
            "dispatchId": reject.dispatch_id,
            "messageId": reject.message_id,
            "reason": reject.reason,
            "rejectedAt": reject.rejected_at.isoformat(),
        }
        checked = validate.check(contract, body)
        message = envelope.Message(
            id=ids.originated_id(reject.dispatch_id, _TYPE, f"{reject.row_guid} {reject.batch}"),
            source=_MEMBER,
            type=_TYPE,
            subject=reject.case_no,
            time_ms=int(time.time() * 1000),
            value=codec.encode(contract, checked),
            digest=ids.content_digest(_TYPE, body),
            causation=reject.message_id,
            attributes=validate.routing(contract, checked, lambda *_: ""),
        )
        await producer.send(
            "case.inbound", message.subject.encode(), message.value, envelope.to_headers(message)
        )
