"""The HTTP side of a REST member: takes the hub's signed calls, shows its book, and takes test cases. Decides
nothing itself.
"""

import base64
import binascii
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec
from aiohttp import web

from signing.errors import AuthError
from signing.http_auth import Verifier
from signing.receipts import make_receipt
from stubs.model import SHANGHAI, Event
from stubs.settings import PROVIDER, StubSettings
from stubs.storage import Storage

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
CONTROL_BODY_BYTES_MAX: Final = 256 * 1024 * 1024

log = logging.getLogger("stubs.server")


class Refused(Exception):
    """This member's business refuses the dispatch for good."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


class NotUnderstood(Exception):
    """The document cannot be read: 400."""


Take = Callable[[str, Event], None]  # inside the book's transaction; raises Refused
Submit = Callable[[dict[str, Any]], int]


class RestServer:
    """Routes of a REST member (SPINE): /hub/dispatches, /healthz, /book, /stats, /control/*; also below
    /<member>/ for a stub of several.
    """

    def __init__(
        self,
        settings: StubSettings,
        storage: Storage,
        take: Take | None,
        submit: Submit | None,
        wake: Callable[[], None],
        *,
        stats: dict[str, int] | None = None,
        pending: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._settings, self._storage, self._wake = settings, storage, wake
        self._take, self._submit, self._pending = take, submit, pending
        self._verifier = Verifier()
        self.stats = {"unsigned": 0, "queries": 0} if stats is None else stats

    def application(self) -> web.Application:
        """The aiohttp application, to be served or extended."""
        app = web.Application(client_max_size=CONTROL_BODY_BYTES_MAX)
        app.router.add_get("/healthz", self._healthz)
        for prefix in ("", *("/" + identity.member for identity in self._settings.identities)):
            if self._take is not None:
                app.router.add_post(prefix + "/hub/dispatches", self._dispatch)
                app.router.add_get(prefix + "/hub/dispatches/{id}", self._query)
            app.router.add_get(prefix + "/book", self._book)
        app.router.add_get("/stats", self._stats)
        app.router.add_get("/control/idle", self._idle)
        if self._submit is not None:
            app.router.add_post("/control/submit", self._control_submit)
        return app

    def caller_of(self, request: web.Request, body: bytes) -> str:
        """The member of ours that the hub speaks to, by the hub's signature (R17). Raises AuthError."""
        first_segment = request.path.split("/", 2)[1]
        candidates = [
            i for i in self._settings.identities if i.member == first_segment
        ] or self._settings.identities
        failure: AuthError | None = None
        for identity in candidates:
            try:
                self._verifier.verify(
                    request.headers,
                    request.method,
                    request.raw_path,
                    body,
                    keys=[identity.outbound_key],
                    now_ms=time.time_ns() // 1_000_000,
                )
            except AuthError as error:
                failure = error
                continue
            return identity.member
        assert failure is not None
        raise failure

    async def _dispatch(self, request: web.Request) -> web.Response:
        assert self._take is not None
        body = await request.read()
        if len(body) > BODY_BYTES_MAX:
            return answer(413, {"status": "malformed", "detail": "报文过大 / body too large"})
        try:
            member = self.caller_of(request, body)
            event = read_event(body)
        except AuthError as error:
            return self.unauthorised(error)
        except NotUnderstood as error:
            return answer(400, {"status": "malformed", "detail": str(error)})
        try:
            with self._storage.transaction():
                if self._storage.absorb(event.dispatch_id):
                    return answer(200, {"status": "already_done"})
                self._take(member, event)
                self._storage.enter(event)
        except Refused as refusal:
            return answer(422, {"status": "refused", "code": refusal.code, "detail": refusal.detail})
        self._wake()
        return answer(200, {"status": "done"} | self._receipt(member, event))

    def _receipt(self, member: str, event: Event) -> dict[str, Any]:
        """This member's own signature that it holds the dispatch, when it has a key."""
        signer = self._settings.signers.get(member)
        if signer is None or not event.digest:
            return {}
        at = datetime.now(SHANGHAI).isoformat(timespec="seconds")
        return {"receipt": make_receipt(PROVIDER, signer, event.dispatch_id, event.digest, at)}

    async def _query(self, request: web.Request) -> web.Response:
        try:
            self.caller_of(request, b"")
        except AuthError as error:
            return self.unauthorised(error)
        self.stats["queries"] += 1
        held = self._storage.holds(request.match_info["id"])
        return answer(200, {"status": "done"}) if held else answer(404, {"status": "absent"})

    def unauthorised(self, error: AuthError) -> web.Response:
        """401 with the server's time, as R16 asks of both sides."""
        self.stats["unsigned"] += 1
        return answer(
            401,
            {
                "error": {
                    "code": error.code,
                    "zh": error.zh,
                    "en": error.en,
                    "serverTime": error.server_time_ms,
                }
            },
        )

    async def _healthz(self, _request: web.Request) -> web.Response:
        return answer(200, {"status": "ok", "stub": self._settings.name})

    async def _book(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        if not after.isdigit():
            return answer(
                400,
                {"error": {"code": "after", "zh": "after 应为整数", "en": "after must be a whole number"}},
            )
        entries = self._storage.entries(int(after))
        return answer(200, {"entries": entries, "next": entries[-1]["seq"] if entries else int(after)})

    async def _stats(self, _request: web.Request) -> web.Response:
        counts = self._storage.counts()
        missing = int(self._storage.fact("files_missing", "0"))
        return answer(
            200, {**counts, **self.stats, "filesMissing": missing, "lastRejected": self._storage.rejected()}
        )

    async def _idle(self, _request: web.Request) -> web.Response:
        unsent = self._storage.counts()["unsent"]
        try:
            further = 0 if self._pending is None else await self._pending()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("待办数未知 / cannot tell what is pending: %r", error)
            further = 1
        return answer(200, {"unsent": unsent, "pending": unsent + further})

    async def _control_submit(self, request: web.Request) -> web.Response:
        assert self._submit is not None
        try:
            document = msgspec.json.decode(await request.read())
            with self._storage.transaction():
                self._keep_files(document.get("files", ()))
                posted = self._submit(document)
        except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError, binascii.Error) as error:
            return answer(
                400,
                {"error": {"code": "invalid", "zh": f"无法读取：{error}", "en": f"cannot be read: {error}"}},
            )
        self._wake()
        return answer(200, {"posted": posted})

    def _keep_files(self, files: list[dict[str, str]]) -> None:
        for file in files:
            self._storage.keep_file(
                file["sm3"], file["mediaType"], base64.b64decode(file["content"], validate=True)
            )


def read_event(body: bytes) -> Event:
    """The hub's dispatch document (canonical JSON). Raises NotUnderstood."""
    try:
        document = msgspec.json.decode(body)
        return Event(
            dispatch_id=document["dispatchId"],
            message_id=document["messageId"],
            kind=document["kind"],
            type=document["type"],
            case_no=document["caseNo"],
            source=document["source"],
            occurred_at=document["occurredAt"],
            region=document.get("region") or "",
            item=document.get("item") or "",
            flags=tuple(document.get("flags") or ()),
            digest=document.get("digest") or "",
            body=document["body"],
        )
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise NotUnderstood(f"无法读取派件 / dispatch cannot be read: {error}") from error


def answer(status: int, document: dict[str, Any]) -> web.Response:
    """A JSON answer."""
    return web.Response(
        status=status, body=msgspec.json.encode(document), content_type="application/json", charset="utf-8"
    )
