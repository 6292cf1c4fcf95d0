"""How a REST member speaks to the gateway: canonical JSON, signed (R16); files go before the message that
names them. A call is tried once here; trying again is the courier's affair.
"""

import asyncio
import logging
import secrets
import time
from typing import Any, Final, Self

import aiohttp
import msgspec

from signing.digest import sm3_hex
from signing.http_auth import sign_request
from stubs.courier import SENDS_IN_FLIGHT_MAX, Rejected, TryAgain
from stubs.model import Planned
from stubs.settings import Identity, StubSettings
from stubs.storage import Storage

SEND_TIMEOUT_MS: Final = 30_000
FILE_FETCHES_MAX: Final = 50
FILE_FETCH_DELAY_MS: Final = 200
_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

log = logging.getLogger("stubs.sender")


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


class RestSender:
    """Sends messages as whichever member of this process they come from."""

    def __init__(self, settings: StubSettings, storage: Storage) -> None:
        self._settings, self._storage = settings, storage
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=SEND_TIMEOUT_MS / 1000),
            connector=aiohttp.TCPConnector(limit=SENDS_IN_FLIGHT_MAX),
        )
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._session.close()

    async def send(self, planned: Planned) -> dict[str, Any]:
        """See courier.Sender."""
        identity = self._settings.identity(planned.member)
        for sm3 in planned.needs:
            await self._fetch_file(identity, sm3)
        for sm3 in planned.files:
            await self._upload_file(identity, sm3)
        answer = await self._call(
            identity, "POST", "/v1/messages", message_document(planned), "application/json"
        )
        receipt: dict[str, Any] = msgspec.json.decode(answer)
        return receipt

    async def _upload_file(self, identity: Identity, sm3: str) -> None:
        kept = self._storage.file(sm3)
        if kept is None:
            raise Rejected(f"附件不在本系统 / no such file here: sm3:{sm3}")
        await self._call(identity, "PUT", "/v1/files", kept[1], kept[0])

    async def _fetch_file(self, identity: Identity, sm3: str) -> None:
        """Nobody reviews a case without its files (R12): wait a while for the store to let us have them."""
        if self._storage.file(sm3) is not None:
            return
        reason = ""
        for _ in range(FILE_FETCHES_MAX):
            try:
                content = await self._call(identity, "GET", "/v1/files/" + sm3, b"", "")
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
            async with self._session.request(
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
