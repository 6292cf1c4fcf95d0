"""SOAP door /soap/hub: the typed service whose WSDL is derived from the contracts; the same semantics as
REST.

Callers prove themselves by WS-Security UsernameToken or by the signed HTTP headers. Only SOAP's manners are
here.
"""

import functools
import time
from typing import Any, Final

import msgspec
from litestar import Request, get, post
from litestar.response import Response
from litestar.types import ControllerRouterHandler

from adapters.ports import Submission
from adapters.soap.server import Call, SoapServer
from hub.gateway.callers import Caller, Callers
from hub.gateway.errors import Rejected
from hub.gateway.intake import Intake, without_nulls
from hub.gateway.metrics import Metrics
from hub.gateway.soap_wire import ADDRESS, answer, faulty, read_call, wsdl_reply
from hub.gateway.status import Status
from hub.gateway.wire import AnyRequest, headers_of, path_and_query
from schemas import contracts
from schemas.derive import wsdl
from signing.http_auth import claimed_member

BODY_BYTES_MAX: Final = 2_097_152
PARSE_INLINE_BYTES_MAX: Final = 262_144


@functools.cache
def _server() -> SoapServer:
    return SoapServer(wsdl.render(contracts.load(), ADDRESS))


@functools.cache
def _types() -> dict[str, str]:
    return wsdl.operations(contracts.load())


def routes(
    callers: Callers, intake: Intake, status: Status, metrics: Metrics, *, url: str
) -> list[ControllerRouterHandler]:
    """The handlers of this door. url: the gateway's own address as members know it, "" = as they called
    it."""
    _server()  # loading the WSDL takes a second: at start, not in the first caller's request

    @get("/soap/hub")
    async def description(request: Request[Any, Any, Any]) -> Response[bytes]:
        return wsdl_reply(_server().wsdl, request, url, "/soap/hub")

    @post("/soap/hub", status_code=200)
    async def receive(request: Request[Any, Any, Any]) -> Response[bytes]:
        started = time.perf_counter()
        call: Call | None = None
        try:
            call, body, address = await read_call(request, _server(), BODY_BYTES_MAX, PARSE_INLINE_BYTES_MAX)
            caller = _authenticated(callers, request, call, body, address)
            if call.operation == wsdl.STATUS_OPERATION:
                result = without_nulls(await status.message(caller, call.arguments.get("messageId") or ""))
            else:
                (receipt,) = await intake.accept(caller, [_submission(call)])
                result = msgspec.to_builtins(receipt)
        except Rejected as error:
            return faulty(error, soap12=call is not None and call.soap12)
        metrics.receipt((time.perf_counter() - started) * 1000)
        return answer(_server().reply(call.operation, result, soap12=call.soap12), soap12=call.soap12)

    return [description, receive]


def _authenticated(callers: Callers, request: AnyRequest, call: Call, body: bytes, address: str) -> Caller:
    """The member behind a call. Given both proofs, both must hold and name one member."""
    headers = headers_of(request.scope)
    if claimed_member(headers) is None:
        if call.security is None:
            raise Rejected(
                401,
                "missing_header",
                "缺少身份凭证：请带 WS-Security UsernameToken，或 X-Hub-* 签名请求头",
                "no credentials: send a WS-Security UsernameToken or the X-Hub-* signature headers",
                server_time_ms=int(time.time() * 1000),
            )
        return callers.username(call.security, body, address)
    caller = callers.signed(headers, "POST", path_and_query(request.scope), body, address)
    if call.security is not None and call.security.username != caller.id:
        raise Rejected(
            403,
            "speaking_for_another",
            "签名的成员与 UsernameToken 的用户名不一致",
            "the signing member and the UsernameToken's user differ",
        )
    return caller


def _submission(call: Call) -> Submission:
    given = call.arguments
    return Submission(
        type=_types()[call.operation],
        source_ref=given.get("sourceRef") or "",
        occurred_at=given.get("occurredAt") or "",
        body=given.get("body") or {},
        version=given.get("version") or 1,
        source_system=given.get("sourceSystem") or "",
        case_ref=given.get("caseRef") or "",
        case_no=given.get("caseNo") or "",
        correlation=given.get("correlation") or "",
    )
