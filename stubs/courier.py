"""Takes a REST member's outbox to the gateway: signs, sends, re-sends with the same source key until a
receipt is given (G8).

Nothing here decides what to say; a message leaves the outbox only with a receipt or with a final refusal
written down.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import msgspec

from signing.digest import sm3_hex
from signing.http_auth import sign_request
from stubs.model import Planned
from stubs.settings import Identity, StubSettings
from stubs.storage import OutboxRow, Storage

SENDS_IN_FLIGHT_MAX: Final = 16
ROWS_IN_MEMORY_MAX: Final = 5_000
SEND_TIMEOUT_MS: Final = 30_000
RETRY_DELAY_MS_MIN: Final = 100
RETRY_DELAY_MS_MAX: Final = 3_000
FILE_FETCHES_MAX: Final = 50
FILE_FETCH_DELAY_MS: Final = 200
_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

log = logging.getLogger("stubs.courier")


class TryAgain(Exception):
    """No receipt yet: the gateway is away or busy. The message stays in the outbox."""


class Rejected(Exception):
    """The gateway refused the message for good; its answer is kept beside the message."""


def message_document(planned: Planned) -> bytes:
    """The canonical JSON of one message, byte for byte the same at every re-send."""
    document: dict[str, Any] = {
        "type": planned.type,
        "sourceRef": planned.source_ref,
        "occurredAt": planned.occurred_at,
        "body": planned.body,
    }
    if planned.case_ref:
        document["caseRef"] = planned.case_ref
    if planned.case_no:
        document["caseNo"] = planned.case_no
    return msgspec.json.encode(document)


class Courier:
    """Sends the outbox: rows of one line one after the other, up to SENDS_IN_FLIGHT_MAX lines at once."""

    def __init__(
        self, settings: StubSettings, storage: Storage, on_receipt: Callable[[Planned, dict[str, Any]], None]
    ) -> None:
        self._settings, self._storage, self._on_receipt = settings, storage, on_receipt
        self._lines: dict[str, deque[OutboxRow]] = {}
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._loaded_seq = 0
        self._in_memory = 0
        self._wake = asyncio.Event()
        self._not_before = 0.0
        self._delay_ms = RETRY_DELAY_MS_MIN

    def wake(self) -> None:
        """There may be new rows in the outbox."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        timeout = aiohttp.ClientTimeout(total=SEND_TIMEOUT_MS / 1000)
        connector = aiohttp.TCPConnector(limit=SENDS_IN_FLIGHT_MAX)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(SENDS_IN_FLIGHT_MAX):
                group.create_task(self._work(session))
            while True:
                self._load()
                await self._wake.wait()
                self._wake.clear()

    def _load(self) -> None:
        room = ROWS_IN_MEMORY_MAX - self._in_memory
        if room <= 0:
            return
        for row in self._storage.waiting(self._loaded_seq, room):
            self._loaded_seq = row.seq
            self._in_memory += 1
            queue = self._lines.get(row.line)
            if queue is None:
                self._lines[row.line] = deque((row,))
                self._ready.put_nowait(row.line)
            else:
                queue.append(row)

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            line = await self._ready.get()
            await self._rest()
            row = self._lines[line][0]
            try:
                await self._send(session, row)
            except TryAgain as reason:
                self._storage.count_attempt(row.seq, str(reason))
                self._slow_down()
                self._ready.put_nowait(line)
                continue
            self._delay_ms = RETRY_DELAY_MS_MIN
            self._done(line)

    async def _rest(self) -> None:
        seconds = self._not_before - time.monotonic()
        if seconds > 0:
            await asyncio.sleep(seconds)

    def _slow_down(self) -> None:
        if self._not_before < time.monotonic():
            self._not_before = time.monotonic() + self._delay_ms / 1000
            self._delay_ms = min(self._delay_ms * 2, RETRY_DELAY_MS_MAX)

    def _done(self, line: str) -> None:
        queue = self._lines[line]
        queue.popleft()
        self._in_memory -= 1
        if queue:
            self._ready.put_nowait(line)
        else:
            del self._lines[line]
        if self._in_memory < ROWS_IN_MEMORY_MAX // 2:
            self._wake.set()

    async def _send(self, session: aiohttp.ClientSession, row: OutboxRow) -> None:
        planned = row.planned
        identity = self._settings.identity(planned.member)
        try:
            for sm3 in planned.needs:
                await self._fetch_file(session, identity, sm3)
            for sm3 in planned.files:
                await self._upload_file(session, identity, sm3)
            answer = await self._call(
                session, identity, "POST", "/v1/messages", message_document(planned), "application/json"
            )
        except Rejected as refusal:
            log.warning("%s %s 被拒 / rejected: %s", planned.type, planned.source_ref, refusal)
            with self._storage.transaction():
                self._storage.settle(row.seq, "rejected", str(refusal))
            return
        receipt = msgspec.json.decode(answer)
        with self._storage.transaction():
            self._storage.settle(row.seq, "sent", answer.decode())
            self._on_receipt(planned, receipt)
        self.wake()

    async def _upload_file(self, session: aiohttp.ClientSession, identity: Identity, sm3: str) -> None:
        kept = self._storage.file(sm3)
        if kept is None:
            raise Rejected(f"附件不在本系统 / no such file here: sm3:{sm3}")
        await self._call(session, identity, "PUT", "/v1/files", kept[1], kept[0])

    async def _fetch_file(self, session: aiohttp.ClientSession, identity: Identity, sm3: str) -> None:
        """Nobody reviews a case without its files (R12): wait a while for the store to let us have them."""
        if self._storage.file(sm3) is not None:
            return
        reason = ""
        for _ in range(FILE_FETCHES_MAX):
            try:
                content = await self._call(session, identity, "GET", "/v1/files/" + sm3, b"", "")
            except Rejected as refusal:
                reason = str(refusal)
                await asyncio.sleep(FILE_FETCH_DELAY_MS / 1000)
                continue
            if sm3_hex(content) != sm3:
                raise Rejected(f"附件 SM3 不符 / file does not match its SM3: {sm3}")
            self._storage.keep_file(sm3, "application/octet-stream", content)
            return
        missing = int(self._storage.fact("files_missing", "0")) + 1
        self._storage.set_fact("files_missing", str(missing))
        log.warning("附件取不到 / file not to be had: %s: %s", sm3, reason)

    async def _call(
        self,
        session: aiohttp.ClientSession,
        identity: Identity,
        method: str,
        path: str,
        body: bytes,
        media_type: str,
    ) -> bytes:
        """One signed call. Returns the answer's body; raises TryAgain or Rejected."""
        headers = sign_request(
            identity.inbound_key,
            identity.member,
            method,
            path,
            body,
            algorithm=identity.algorithm,
            timestamp_ms=time.time_ns() // 1_000_000,
            nonce=secrets.token_urlsafe(12),
        )
        if media_type:
            headers["Content-Type"] = media_type
        try:
            async with session.request(
                method, self._settings.gateway_url + path, data=body or None, headers=headers
            ) as response:
                answer = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TryAgain(f"{type(error).__name__}: {error}") from error
        if status in _TRY_AGAIN:
            raise TryAgain(f"HTTP {status}")
        if status >= 300:
            raise Rejected(f"HTTP {status} {answer[:1000].decode('utf-8', 'replace')}")
        return answer
