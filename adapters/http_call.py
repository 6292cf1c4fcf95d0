"""One outbound HTTP call: the last look before it is written, the bounded answer, what a failure means.
No dialect and no signature lives here; the REST and SOAP ports bring both.
"""

import asyncio
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from adapters.ports import TooLate

ANSWER_BYTES_MAX: Final = 65_536
# Shorter than any server's own, so that we are the side that closes an idle connection.
KEEP_ALIVE_S: Final = 4.0


class Answer(msgspec.Struct, frozen=True):
    """What came back. `body` is cut at the bound; `whole` says whether it was not."""

    status: int
    body: bytes
    whole: bool
    content_type: str = ""


class Unreachable(Exception):
    """Nothing was written to the member: no address, no connection, no TLS."""


class Unanswered(Exception):
    """The request was (or may have been) written and no complete answer came: cut, stalled or not HTTP."""


class HttpCaller:
    """One member's connections, at most `calls_in_flight_max`. A call's whole time, waiting for a connection
    included, is bounded by `call_timeout_ms`."""

    def __init__(
        self,
        *,
        calls_in_flight_max: int,
        call_timeout_ms: int,
        connect_timeout_ms: int,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> None:
        self._answer_bytes_max = answer_bytes_max
        trace = aiohttp.TraceConfig()
        # The last thing aiohttp does before it writes the request line: raising here closes the connection
        # with nothing written.
        trace.on_request_headers_sent.append(_last_look)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=calls_in_flight_max, keepalive_timeout=KEEP_ALIVE_S),
            # A little less than the lane's own limit, so that the answer which says more comes first.
            timeout=aiohttp.ClientTimeout(
                total=call_timeout_ms * 0.95 / 1000, sock_connect=connect_timeout_ms / 1000
            ),
            trace_configs=[trace],
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def call(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: bytes,
        may_start: Callable[[], bool],
    ) -> Answer:
        """Raises TooLate (nothing written), Unreachable (nothing written) or Unanswered (outcome unknown)."""
        look = _Look(may_start)
        try:
            async with self._session.request(
                method,
                url,
                headers={"Accept-Encoding": "identity", **headers},
                data=body or None,
                allow_redirects=False,
                trace_request_ctx=look,
            ) as response:
                kept, whole = await self._read(response)
                return Answer(response.status, kept, whole, response.headers.get("Content-Type", ""))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
            detail = f"{type(failure).__name__}: {failure}"[:500]
            if look.started:
                raise Unanswered(detail) from failure
            raise Unreachable(detail) from failure

    async def _read(self, response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
        kept = bytearray()
        async for piece in response.content.iter_any():
            kept += piece
            if len(kept) > self._answer_bytes_max:
                response.close()
                return bytes(kept[: self._answer_bytes_max]), False
        return bytes(kept), True

    async def close(self) -> None:
        await self._session.close()
        await asyncio.sleep(0)  # lets the transports see their close


class _Look:
    __slots__ = ("may_start", "started")

    def __init__(self, may_start: Callable[[], bool]) -> None:
        self.may_start = may_start
        self.started = False


async def _last_look(session: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
    look: _Look = context.trace_request_ctx
    if not look.may_start():
        raise TooLate("意图已过期，请求未写出 / the intent is too old, nothing was written")
    look.started = True


def always() -> bool:
    """`may_start` of a call that changes nothing at the member (a query)."""
    return True
