"""REST door: POST /v1/messages in canonical JSON, signed. Only HTTP here; intake does the rest."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from litestar.types import HTTPScope, Receive

from adapters.formats import canonical_json
from adapters.ports import FormatError
from hub.gateway.callers import Callers
from hub.gateway.errors import Rejected, invalid
from hub.gateway.intake import Intake
from hub.gateway.metrics import Metrics
from hub.gateway.wire import address_of, headers_of, path_and_query, read_body

PATH: Final = "/v1/messages"
Door = Callable[[HTTPScope, Receive], Awaitable[bytes]]
"""The JSON of the answer to one request, 202. Raises Rejected."""


def door(callers: Callers, intake: Intake, metrics: Metrics, *, body_bytes_max: int) -> Door:
    """The door for PATH. A plain ASGI callable outside Litestar, whose routing and wrappers cost a quarter of
    a submission here."""

    async def submit(scope: HTTPScope, receive: Receive) -> bytes:
        """The receipt of one message once it is durable."""
        if scope["method"] != "POST":
            raise Rejected(405, "http", "该地址不支持此方法", "POST only")
        started = time.perf_counter()
        headers = headers_of(scope)
        check_json(headers)
        address = address_of(scope)
        callers.claimed(headers, address)
        body = await read_body(scope, receive, body_bytes_max)
        caller = callers.signed(headers, "POST", path_and_query(scope), body, address)
        try:
            submission = canonical_json.decode(body, body_bytes_max=body_bytes_max)
        except FormatError as error:
            raise malformed(error) from error
        (receipt,) = await intake.accept(caller, [submission])
        metrics.receipt((time.perf_counter() - started) * 1000)
        return msgspec.json.encode(receipt)

    return submit


def check_json(headers: dict[str, str]) -> None:
    """Raises Rejected 415 unless the body is said to be JSON in UTF-8, uncompressed."""
    media, _, parameters = headers.get("content-type", "").lower().partition(";")
    charset = parameters.partition("charset=")[2].split(";")[0].strip(' "')
    if media.strip() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise Rejected(
            415,
            "media_type",
            "Content-Type 必须是 application/json（UTF-8）",
            "Content-Type must be application/json (UTF-8)",
        )
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Rejected(415, "media_type", "不接受压缩的正文", "a compressed body is not accepted")


def malformed(error: FormatError) -> Rejected:
    """A document that cannot be read."""
    return invalid(error.field, error.rule, error.standard, error.zh, error.en, code="malformed")
