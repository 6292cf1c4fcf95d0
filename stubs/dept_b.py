"""The department's system of 2009 (三亚市人力资源和社会保障局): an ASMX service over one SQLite file.

HTTP 200 with STATUS 300 for whatever goes wrong, 4 MB, one call at a time; asked by queryApply what it holds
(G4).
"""

import asyncio
import base64
import binascii
import hmac
import secrets
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from signing import sp_token
from signing.errors import AuthError
from stubs import asmx, department, sp_xml
from stubs.courier import Courier
from stubs.model import SHANGHAI, Event, Planned
from stubs.rest_members import line_of
from stubs.rest_server import RestServer
from stubs.settings import StubSettings
from stubs.sp_sender import SENDS_IN_FLIGHT_MAX, SpSender
from stubs.storage import Storage

PATH: Final = "/ApproveService.asmx"
REQUEST_BYTES_MAX: Final = 4 * 1024 * 1024
WORK_MS: Final = 1  # its database is slow; long enough that a second call finds it busy
TOKEN_S: Final = 7_200


class Failed(Exception):
    """The call ends with STATUS 300 and this DESC."""


class ApproveService:
    """getXmlToken, sendApply, queryApply."""

    def __init__(self, settings: StubSettings, storage: Storage, wake: Callable[[], None]) -> None:
        self._settings, self._storage, self._wake = settings, storage, wake
        self._office = department.OFFICES[settings.name]
        self._master = _master(storage)
        self._busy = False
        self._operations: Final = {
            "getXmlToken": self._get_token,
            "sendApply": self._send_apply,
            "queryApply": self._query_apply,
        }
        self.stats: dict[str, int] = {"busy": 0, "unauthorised": 0, "queries": 0}

    async def handle(self, request: web.Request) -> web.Response:
        """One SOAP call; one at a time."""
        body = await request.read()
        if len(body) > REQUEST_BYTES_MAX:
            return web.Response(status=413, text="Maximum request length exceeded.")
        try:
            operation, arguments = asmx.read_call(asmx.decode(body, request.charset))
            run = self._operations[operation]
        except (sp_xml.Unreadable, KeyError) as error:
            return _soap(500, asmx.fault("Client", f"无法识别的调用 / call not understood: {error}"))
        if self._busy:
            self.stats["busy"] += 1
            return _soap(200, asmx.answer(operation, _result(asmx.FAILED, "系统繁忙，请稍后重试")))
        self._busy = True
        try:
            await asyncio.sleep(WORK_MS / 1000)
            result = _result(asmx.OK, "操作成功", run(arguments))
        except Failed as failure:
            result = _result(asmx.FAILED, str(failure))
        finally:
            self._busy = False
        return _soap(200, asmx.answer(operation, result))

    def _get_token(self, arguments: dict[str, str]) -> str:
        key, secret = arguments.get("key", ""), arguments.get("secret", "")
        if not (_same(key, self._settings.sp_key) and _same(secret, self._settings.sp_secret)):
            self.stats["unauthorised"] += 1
            raise Failed("未授权：key或secret错误")
        return sp_token.issue(key, secret, int(time.time()), TOKEN_S, self._master)

    def _authorise(self, arguments: dict[str, str]) -> str:
        try:
            sp_token.check(
                arguments.get("token", ""), self._master, int(time.time()), secrets=[self._settings.sp_secret]
            )
        except AuthError as error:
            self.stats["unauthorised"] += 1
            raise Failed("令牌无效或已过期") from error
        return arguments.get("xmlStr", "")

    def _send_apply(self, arguments: dict[str, str]) -> str:
        text = self._authorise(arguments)
        try:
            event = sp_xml.read_dispatch(text)
        except sp_xml.Unreadable as error:
            raise Failed(f"报文格式错误：{error}") from error
        if reason := department.refusal_of(event):
            raise Failed(reason)
        with self._storage.transaction():
            repeated = self._storage.absorb(event.dispatch_id)
            if not repeated:
                self._take(event)
                self._storage.enter(event)
        if repeated:
            raise Failed("重复报文，已接收")
        self._wake()
        return event.case_no

    def _query_apply(self, arguments: dict[str, str]) -> str:
        """DATA 1 = held, 0 = not held."""
        text = self._authorise(arguments)
        self.stats["queries"] += 1
        try:
            root = sp_xml.parse(text)
        except sp_xml.Unreadable as error:
            raise Failed(f"报文格式错误：{error}") from error
        exchange = (root.findtext("EXCHANGENO") or "").strip()
        if not exchange:
            raise Failed("报文缺少EXCHANGENO")
        return "1" if self._storage.holds(exchange) else "0"

    def _take(self, event: Event) -> None:
        if not event.kind.startswith("case.") or event.kind == "case.refusal":
            return  # read and filed
        reaction = department.react(self._office, event, self._storage.recall(event.case_no))
        self._storage.remember(event.case_no, reaction.memory)
        for planned in reaction.planned:
            self._storage.post(planned, line_of(planned))

    def submit(self, document: dict[str, Any]) -> int:
        """Put cases of its own counter into the outbox: {"documents": [base64 of SPSHENQIN documents]}."""
        posted = 0
        for encoded in document["documents"]:
            posted += sum(
                self._storage.post(planned, line_of(planned)) for planned in self._own_case(encoded)
            )
        return posted

    def _own_case(self, encoded: str) -> tuple[Planned, ...]:
        try:
            opening = sp_xml.read_registration(base64.b64decode(encoded, validate=True))
        except (sp_xml.Unreadable, UnicodeDecodeError, binascii.Error) as error:
            raise KeyError(f"documents: {error}") from error
        return department.own_case(self._office, opening)


def dept_b_application(settings: StubSettings, storage: Storage) -> tuple[web.Application, Any]:
    """The application and the background work of the 2009 department."""
    courier = Courier(
        storage, SpSender(settings), lambda _planned, _receipt: None, in_flight_max=SENDS_IN_FLIGHT_MAX
    )
    service = ApproveService(settings, storage, courier.wake)
    # Book, stats and control like every stub; the hub itself only ever sees the ASMX page.
    server = RestServer(settings, storage, None, service.submit, courier.wake, stats=service.stats)
    app = server.application()
    app.router.add_post(PATH, service.handle)
    return app, courier.run


def _master(storage: Storage) -> bytes:
    """The secret behind its tokens, made once: tokens outlive a restart."""
    if not storage.fact("token_master"):
        storage.set_fact("token_master", secrets.token_hex(32))
    return bytes.fromhex(storage.fact("token_master"))


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _result(status: str, description: str, data: str = "") -> str:
    return asmx.result(status, description, datetime.now(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S"), data)


def _soap(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, headers={"Content-Type": asmx.CONTENT_TYPE})
