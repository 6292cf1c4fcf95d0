"""HTTP as the gateway's doors need it: a bounded body, the request line as it was signed, replies and
errors. No message logic."""

import asyncio
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.response import Response
from litestar.types import HTTPScope, Receive, Scope, Send

from hub.gateway.errors import Rejected, too_large
from hub.gateway.server import arrived

JSON: Final = "application/json; charset=utf-8"
BODY_READ_MS_MAX: Final = 15_000
_JSON_TYPE: Final = (b"content-type", JSON.encode())

AnyRequest = Request[Any, Any, Any]
AnyScope = Scope | HTTPScope


def headers_of(scope: AnyScope) -> dict[str, str]:
    """Headers by lower-case name. A header that authenticates and is given twice would be read differently
    by two readers: refused."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        text = name.decode("latin-1")
        if text in headers and text.startswith(("x-hub-", "content-")):
            raise Rejected(400, "header_twice", f"请求头 {text} 出现两次", f"header {text} appears twice")
        headers[text] = value.decode("latin-1")
    return headers


def path_and_query(scope: AnyScope) -> str:
    """The request line's target exactly as it travelled: what the caller signed."""
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    return (path + b"?" + query if query else path).decode("ascii", "replace")


def address_of(scope: AnyScope) -> str:
    """The peer's address; behind a reverse proxy, the proxy's (address lists are then the proxy's affair)."""
    client = scope["client"]
    return client[0] if client else ""


def announced_bytes(scope: AnyScope) -> int:
    """Content-Length, 0 without one."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def read_body(
    scope: AnyScope, receive: Receive, bytes_max: int, *, what_zh: str = "正文", what_en: str = "the body"
) -> bytes:
    """The whole body within its bounds. Raises Rejected 413, or 408 when it does not arrive in
    BODY_READ_MS_MAX."""
    if announced_bytes(scope) > bytes_max:
        raise too_large(what_zh, what_en, bytes_max)
    whole = arrived(receive)
    if whole is not None and len(whole) <= bytes_max:  # nothing to wait for, so no clock is set
        return whole
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_READ_MS_MAX / 1000):
            while True:
                event: Any = await receive()
                if event["type"] == "http.disconnect":
                    raise Rejected(
                        400,
                        "disconnected",
                        "连接在正文传完前断开",
                        "the connection ended before the body did",
                    )
                chunk = event.get("body", b"")
                size += len(chunk)
                if size > bytes_max:
                    raise too_large(what_zh, what_en, bytes_max)
                chunks.append(chunk)
                if not event.get("more_body", False):
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
    except TimeoutError as error:
        raise Rejected(
            408,
            "slow_body",
            f"正文未在 {BODY_READ_MS_MAX // 1000} 秒内传完",
            f"the body did not arrive within {BODY_READ_MS_MAX // 1000} s",
        ) from error


def reply(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """A JSON reply."""
    return Response(msgspec.json.encode(content), status_code=status, media_type=JSON, headers=headers)


def rejection(error: Rejected) -> Response[bytes]:
    """The JSON form of a refusal."""
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else None
    return Response(error.body(), status_code=error.status, media_type=JSON, headers=headers)


async def send_json(
    send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """A JSON answer written straight to the server: for the busiest door and for what is answered before any
    route."""
    start: Any = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            _JSON_TYPE,
            (b"content-length", b"%d" % len(body)),
            *headers,
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_rejection(send: Send, error: Rejected) -> None:
    """A refusal written straight to the server."""
    retry = ((b"retry-after", b"%d" % error.retry_after_s),) if error.retry_after_s else ()
    await send_json(send, error.status, error.body(), retry)
