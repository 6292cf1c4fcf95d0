"""REST door: POST /v1/messages in canonical JSON, signed. Only HTTP here; intake does the rest."""

import time
from typing import cast

import msgspec
from litestar import asgi
from litestar.exceptions import MethodNotAllowedException
from litestar.types import ControllerRouterHandler, HTTPScope, Receive, Scope, Send

from adapters.formats import canonical_json
from adapters.ports import FormatError
from hub.gateway.callers import Callers
from hub.gateway.errors import Rejected, invalid
from hub.gateway.intake import Intake
from hub.gateway.metrics import Metrics
from hub.gateway.wire import address_of, headers_of, path_and_query, read_body, send_json


def routes(
    callers: Callers, intake: Intake, metrics: Metrics, *, body_bytes_max: int
) -> list[ControllerRouterHandler]:
    """The handlers of this door."""

    # A plain ASGI handler: Litestar's routing and error handling, without its request and response objects,
    # which cost more than checking the signature does.
    @asgi("/v1/messages", copy_scope=False)
    async def submit(scope: Scope, receive: Receive, send: Send) -> None:
        """One message; 202 with its receipt once it is durable."""
        if cast(HTTPScope, scope)["method"] != "POST":
            raise MethodNotAllowedException(detail="POST only", headers={"Allow": "POST"})
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
        await send_json(send, 202, msgspec.json.encode(receipt))

    return [submit]


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
