"""The HTTP server under the gateway: uvicorn inside our own event loop, with the bounds it lacks (header
bytes and time).

No routes here.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEADER_BYTES_MAX: Final = 16_384
HEADERS_MAX: Final = 64
HEADER_READ_MS_MAX: Final = 10_000
KEEP_ALIVE_S: Final = 75
CONNECTIONS_MAX: Final = 4_000
BACKLOG_CONNECTIONS_MAX: Final = 1_024
SHUTDOWN_S_MAX: Final = 15


class _TooLarge(Exception):
    """The header section is over its bound."""


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose header section must arrive in HEADER_READ_MS_MAX and stay within HEADER_BYTES_MAX and
    HEADERS_MAX."""

    _header_bytes = 0
    _over = False
    _reading_headers = False
    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # A header section that came whole, as nearly all do, needs no timer.
        if self._reading_headers and not self.transport.is_closing():
            self._expect_headers()

    def on_message_begin(self) -> None:
        self._header_bytes = 0
        self._reading_headers = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._header_bytes += len(url)
        if self._header_bytes > HEADER_BYTES_MAX:
            self._over = True
            raise _TooLarge
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > HEADER_BYTES_MAX or len(self.headers) >= HEADERS_MAX:
            self._over = True
            raise _TooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._reading_headers = False
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if not self._over:
            super().send_400_response(msg)
            return
        text = f"请求头超过 {HEADER_BYTES_MAX} 字节 / header section over {HEADER_BYTES_MAX} bytes".encode()
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text)
        )
        self.transport.close()

    def _expect_headers(self) -> None:
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(HEADER_READ_MS_MAX / 1000, self._give_up)

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _give_up(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """Signals belong to whoever runs the role, not to uvicorn."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def arrived(receive: Any) -> bytes | None:
    """The whole body when it is here already, as it is when it came with its header section; None when it
    must be waited for. receive: as the application was given it."""
    request = getattr(receive, "__self__", None)
    if type(request) is not RequestResponseCycle or request.more_body or request.disconnected:
        return None
    return bytes(request.body)


def bind(listen: str) -> socket.socket:
    """A listening socket for host:port (port 0 = any free one). Raises OSError when the address is taken."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family, backlog=BACKLOG_CONNECTIONS_MAX)


async def run(app: Any, sockets: list[socket.socket], stop: asyncio.Event) -> None:
    """Serve until `stop`, then finish the requests under way (at most SHUTDOWN_S_MAX)."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG_CONNECTIONS_MAX,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S_MAX,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=sockets))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        stopping.cancel()
        await serving
