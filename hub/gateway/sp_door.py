"""SOAP door /soap/sp for SP* systems (ASMX style): a token, one xmlStr in, one RESULT string out, HTTP 200
even for a refusal.

Only this dialect's manners are here; intake does the rest. What is no refusal but "not now" is HTTP 503 with
a Server fault: a
STATUS 300 would be taken for the last word.
"""

import asyncio
import functools
import time
from typing import Any, Final

import msgspec
from litestar import Request, get, post
from litestar.response import Response
from litestar.types import ControllerRouterHandler

from adapters.formats import sp_xml
from adapters.ports import FormatError, Submission
from adapters.soap.server import Call, SoapServer, sp_server
from hub import ids
from hub.gateway.callers import Caller, Callers
from hub.gateway.errors import Rejected
from hub.gateway.intake import Intake, Receipt
from hub.gateway.metrics import Metrics
from hub.gateway.soap_wire import ADDRESS, answer, faulty, read_call, wsdl_reply

BODY_BYTES_MAX: Final = 4_194_304
# Larger documents are parsed in a thread, so that nobody else waits for them.
PARSE_INLINE_BYTES_MAX: Final = 262_144
OK, REFUSED = "200", "300"


@functools.cache
def _server() -> SoapServer:
    return sp_server(ADDRESS)


def routes(
    callers: Callers, intake: Intake, metrics: Metrics, *, province: str, url: str
) -> list[ControllerRouterHandler]:
    """The handlers of this door. url: the gateway's own address as members know it, "" = as they called
    it."""
    door = _Door(callers, intake, province)

    @get("/soap/sp")
    async def wsdl(request: Request[Any, Any, Any]) -> Response[bytes]:
        return wsdl_reply(_server().wsdl, request, url, "/soap/sp")

    @post("/soap/sp", status_code=200)
    async def receive(request: Request[Any, Any, Any]) -> Response[bytes]:
        started = time.perf_counter()
        call: Call | None = None
        try:
            call, _, address = await read_call(request, _server(), BODY_BYTES_MAX, PARSE_INLINE_BYTES_MAX)
            text = await door.serve(call, address)
        except Rejected as error:
            if call is None or error.status >= 500:
                return faulty(error, soap12=call is not None and call.soap12)
            text = _result(REFUSED, describe(error))
        metrics.receipt((time.perf_counter() - started) * 1000)
        return answer(_server().reply(call.operation, text, soap12=call.soap12), soap12=call.soap12)

    return [wsdl, receive]


class _Door:
    def __init__(self, callers: Callers, intake: Intake, province: str) -> None:
        self._callers = callers
        self._intake = intake
        self._province = province

    async def serve(self, call: Call, address: str) -> str:
        """The RESULT text of a call. Raises Rejected."""
        arguments = call.arguments
        if call.operation == "getXmlToken":
            token = self._callers.issue_token(arguments.get("key", ""), arguments.get("secret", ""), address)
            return _result(OK, "成功 / ok", token)
        caller = self._callers.token(arguments.get("token", ""), address)
        document = arguments.get("xmlStr", "")
        if len(document) > PARSE_INLINE_BYTES_MAX:
            submissions = await asyncio.to_thread(self._read, caller, document)
        else:
            submissions = self._read(caller, document)
        receipts = await self._intake.accept(caller, submissions)
        return _result(OK, "已接收 / received", receipts_text(receipts))

    def _read(self, caller: Caller, document: str) -> tuple[Submission, ...]:
        try:
            return sp_xml.read(
                document,
                org={"code": caller.org_code, "name": caller.org_name},
                is_case_number=functools.partial(ids.is_case_number, province=self._province),
            )
        except FormatError as error:
            raise Rejected(400, "malformed", error.zh, error.en, violations=(error,)) from error


def describe(error: Rejected) -> str:
    """A refusal in one line: code, both texts, then each field with its rule and standard."""
    parts = [f"[{error.code}] {error.zh} / {error.en}"]
    parts += [f"{v.field}（{v.rule}，{v.standard}）{v.zh} / {v.en}" for v in error.violations[:10]]
    if error.digests:
        parts.append(f"digests: {error.digests[0]} {error.digests[1]}")
    if error.server_time_ms is not None:
        parts.append(f"serverTime: {error.server_time_ms}")
    return "；".join(parts)


def receipts_text(receipts: list[Receipt]) -> str:
    """DATA of a RESULT: the receipts as JSON, in the order of the records."""
    return msgspec.json.encode(receipts).decode()


def _result(status: str, desc: str, data: str = "") -> str:
    return sp_xml.result(status, desc, int(time.time() * 1000), data)
