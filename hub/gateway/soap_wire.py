"""SOAP over HTTP as both SOAP doors need it: reading a call, answers, faults and WSDL. No operation is known
here."""

import asyncio
import re
from typing import Final
from xml.sax.saxutils import escape

import msgspec
from litestar.response import Response

from adapters.ports import FormatError
from adapters.soap import server as soap
from hub.gateway.errors import Rejected
from hub.gateway.wire import AnyRequest, address_of, headers_of, read_body

# Stands for the gateway's address in a WSDL text until somebody asks for it.
ADDRESS: Final = "http://gateway.invalid"
_CHARSET: Final = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9._-]{1,40})", re.IGNORECASE)
_HOST: Final = re.compile(r"[A-Za-z0-9.\-\[\]:]{1,255}")
_SOAP_11: Final = "text/xml; charset=utf-8"
_SOAP_12: Final = "application/soap+xml; charset=utf-8"


async def read_call(
    request: AnyRequest, endpoint: soap.SoapServer, bytes_max: int, inline_bytes_max: int
) -> tuple[soap.Call, bytes, str]:
    """(call, body bytes, caller's address). Raises Rejected 400, 408, 413 or 415."""
    headers = headers_of(request.scope)
    media = headers.get("content-type", "")
    kind = media.partition(";")[0].strip().lower()
    if kind not in ("text/xml", "application/soap+xml", "application/xml"):
        raise Rejected(
            415,
            "media_type",
            "Content-Type 必须是 text/xml 或 application/soap+xml",
            "Content-Type must be text/xml or application/soap+xml",
        )
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Rejected(415, "media_type", "不接受压缩的正文", "a compressed body is not accepted")
    body = await read_body(request.scope, request.receive, bytes_max)
    found = _CHARSET.search(media)
    charset = found[1] if found else ""
    try:
        if len(body) > inline_bytes_max:
            call = await asyncio.to_thread(
                endpoint.parse_call, body, charset=charset, body_bytes_max=bytes_max
            )
        else:
            call = endpoint.parse_call(body, charset=charset, body_bytes_max=bytes_max)
    except FormatError as error:
        raise Rejected(400, "malformed", error.zh, error.en, violations=(error,)) from error
    return call, body, address_of(request.scope)


def answer(envelope: bytes, *, soap12: bool) -> Response[bytes]:
    """A successful answer, HTTP 200."""
    return Response(envelope, status_code=200, media_type=_SOAP_12 if soap12 else _SOAP_11)


def faulty(error: Rejected, *, soap12: bool = False) -> Response[bytes]:
    """A refusal as a fault. HTTP 500 as SOAP 1.1 wants (400 for a SOAP 1.2 sender's fault), except where the
    status itself tells the
    caller what to do: 408, 413, 415, 503."""
    detail = {"httpStatus": str(error.status)}
    if error.server_time_ms is not None:
        detail["serverTime"] = str(error.server_time_ms)
    if error.digests is not None:
        detail |= {"firstDigest": error.digests[0], "secondDigest": error.digests[1]}
    if error.violations:
        first = error.violations[0]
        detail |= {"field": first.field, "rule": first.rule, "standard": first.standard}
        detail |= {"fieldZh": first.zh, "fieldEn": first.en}
        detail["violations"] = msgspec.json.encode(error.violations).decode()
    body = soap.fault(error.code, error.zh, error.en, detail, client=error.status < 500, soap12=soap12)
    status = (
        error.status
        if error.status in (408, 413, 415, 503)
        else (400 if soap12 and error.status < 500 else 500)
    )
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else None
    return Response(body, status_code=status, media_type=_SOAP_12 if soap12 else _SOAP_11, headers=headers)


def base_url(request: AnyRequest, url: str) -> str:
    """The gateway's address: `url`, or the one under which the caller reached us."""
    host = headers_of(request.scope).get("host", "")
    return url or (f"http://{host}" if _HOST.fullmatch(host) else ADDRESS)


def wsdl_reply(text: str, request: AnyRequest, url: str, path: str) -> Response[bytes]:
    """The WSDL with the gateway's address in it."""
    return Response(
        text.replace(ADDRESS, escape(base_url(request, url) + path)).encode(), media_type=_SOAP_11
    )
