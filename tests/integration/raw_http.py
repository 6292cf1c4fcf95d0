"""Raw TCP servers that speak just enough HTTP to cut, stall, answer garbage, and keep every byte they saw."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A raw TCP server: keeps every byte it was sent, then does what its script says."""

    def __init__(self, script: Script) -> None:
        self.script, self.seen, self.connections = script, bytearray(), 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await self.read_request(reader):
                self.seen += request
                await self.script(reader, writer)
                if writer.is_closing():
                    return
        finally:
            writer.close()

    @staticmethod
    async def read_request(reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as end:
            return getattr(end, "partial", b"")
        length = next((int(v) for k, _, v in (line.partition(b":") for line in head.split(b"\r\n"))
                       if k.lower() == b"content-length"), 0)  # fmt: skip
        return head + await reader.readexactly(length)


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[tuple[Server, str]]:
    server = Server(script)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    try:
        yield server, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/base"
    finally:
        listener.close()


def answering(status: int, body: bytes, reason: str = "X") -> Script:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} {reason}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    return script


async def cutting(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def cutting_half_way(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"status":"done"')
    await writer.drain()
    writer.close()


async def stalling(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def garbage(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 smtp.example ESMTP\r\n")
    await writer.drain()
    writer.close()
