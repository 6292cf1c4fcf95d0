"""PUT /v1/files and GET /v1/files/{sm3}: a case's files, streamed to and from the store with the member's
credentials (R12)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Lock
from typing import Any, Final

from litestar import Request, get, put
from litestar.params import FromPath
from litestar.response import Response, Stream
from litestar.types import ControllerRouterHandler

from hub.gateway.callers import Caller, Callers
from hub.gateway.errors import Rejected, too_large
from hub.gateway.records import Records, records_away
from hub.gateway.store import SM3_FORM, FileStore, Incoming, digest_of
from hub.gateway.wire import address_of, announced_bytes, headers_of, path_and_query, reply

UPLOADS_MAX: Final = 16
CHUNK_READ_MS_MAX: Final = 15_000
# Less than the clock skew a signature may have: it is checked when the upload ends.
UPLOAD_MS_MAX: Final = 240_000
CHUNK_BYTES: Final = 262_144


class Files:
    """Uploads and downloads of authenticated callers."""

    def __init__(
        self, callers: Callers, store: FileStore, records: Records | None, file_bytes_max: int
    ) -> None:
        self._callers = callers
        self._store = store
        self._records = records
        self._file_bytes_max = file_bytes_max
        self._uploads = 0
        self._verifying = Lock()

    async def receive(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Store one file. The signature covers the body, so it is checked when all of it has arrived: until
        then
        nothing is visible under its digest. Raises Rejected."""
        headers = headers_of(request.scope)
        self._callers.claimed(headers, address_of(request.scope))
        if announced_bytes(request.scope) > self._file_bytes_max:
            raise too_large("文件", "the file", self._file_bytes_max)
        if self._uploads >= UPLOADS_MAX or self._store.free_bytes() < 2 * self._file_bytes_max:
            raise Rejected(
                503,
                "busy",
                "上传繁忙或存储空间不足，请稍后重试",
                "too many uploads or too little room, try again later",
                retry_after_s=5,
            )
        self._uploads += 1
        incoming = self._store.incoming()
        try:
            async with asyncio.timeout(UPLOAD_MS_MAX / 1000):
                await self._stream(request, incoming)
            if incoming.size == 0:
                raise Rejected(400, "empty", "文件为空", "the file is empty")
            sm3 = await asyncio.to_thread(self._finish, request, headers, incoming)
        except TimeoutError as error:
            raise Rejected(
                408, "slow_body", "文件未在规定时间内传完", "the file did not arrive in time"
            ) from error
        finally:
            self._uploads -= 1
            incoming.discard()
        return {"ref": f"sm3:{sm3}", "size": incoming.size, "sm3": sm3}

    async def _stream(self, request: Request[Any, Any, Any], incoming: Incoming) -> None:
        while True:
            async with asyncio.timeout(CHUNK_READ_MS_MAX / 1000):
                event: Any = await request.receive()
            if event["type"] == "http.disconnect":
                raise Rejected(
                    400, "disconnected", "连接在文件传完前断开", "the connection ended before the file did"
                )
            chunk = event.get("body", b"")
            if incoming.size + len(chunk) > self._file_bytes_max:
                raise too_large("文件", "the file", self._file_bytes_max)
            incoming.write(chunk)
            if not event.get("more_body", False):
                return

    def _finish(self, request: Request[Any, Any, Any], headers: dict[str, str], incoming: Incoming) -> str:
        """Hash, verify, keep; in a thread, because 64 MiB take a while."""
        content = incoming.content()
        with self._verifying:
            caller = self._callers.signed_file(
                headers, path_and_query(request.scope), content, address_of(request.scope)
            )
        sm3 = digest_of(content)
        incoming.keep(sm3, caller.id)
        return sm3

    async def readable(self, caller: Caller, sm3: str) -> Path:
        """The file, for who uploaded it or was sent a case with it. Raises Rejected 404 (also for a file that
        is not the caller's to read) or 503."""
        path = self._store.path(sm3) if SM3_FORM.fullmatch(sm3) else None
        uploaders = self._store.uploaders(sm3) if path else []
        if path is None:
            raise _unknown()
        if caller.id in uploaders:
            return path
        if self._records is None:
            raise records_away()
        if not await self._records.may_read(sm3, caller.id, uploaders):
            raise _unknown()
        return path


def routes(callers: Callers, files: Files) -> list[ControllerRouterHandler]:
    """The handlers; both signed."""

    @put("/v1/files", status_code=200)
    async def upload(request: Request[Any, Any, Any]) -> Response[bytes]:
        return reply(await files.receive(request))

    @get("/v1/files/{sm3:str}")
    async def download(request: Request[Any, Any, Any], sm3: FromPath[str]) -> Stream:
        caller = callers.signed(
            headers_of(request.scope), "GET", path_and_query(request.scope), b"", address_of(request.scope)
        )
        path = await files.readable(caller, sm3)
        return Stream(
            _chunks(path),
            media_type="application/octet-stream",
            headers={"Content-Length": str(path.stat().st_size), "X-Content-Type-Options": "nosniff"},
        )

    return [upload, download]


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk


def _unknown() -> Rejected:
    return Rejected(404, "unknown", "没有这个文件，或与本成员无关", "no such file, or not yours to read")
