"""Simulated members as real processes, and a desk that stands where the gateway does: it checks signatures
and gives
receipts as the gateway does, and can be away, busy or refusing."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from adapters.config import PortConfig
from adapters.ports import Dispatch
from hub import ids
from schemas import contracts, validate
from signing.http_auth import Verifier, claimed_member
from stubs import asmx
from stubs.settings import MEMBERS

ROOT = Path(__file__).parents[2]
SP_KEY, SP_SECRET = "rs2009", "secret-of-2009"


def key_of(member: str, direction: str) -> str:
    """The test's shared secret of a member, per direction."""
    return f"{direction}-key-of-{member}"


def environment(directory: Path, gateway_url: str) -> dict[str, str]:
    """What every stub needs to start."""
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HUB_STUB_LISTEN": "127.0.0.1:0",
        "HUB_GATEWAY_URL": gateway_url,
        "HUB_DATA_DIR": str(directory),
        "HUB_MEMBER_DEPT_B_SP_KEY": SP_KEY,
        "HUB_MEMBER_DEPT_B_SP_SECRET": SP_SECRET,
    }
    for members in MEMBERS.values():
        for member in members:
            prefix = f"HUB_MEMBER_{member.upper().replace('-', '_')}_"
            env[prefix + "INBOUND_KEY"] = key_of(member, "inbound")
            env[prefix + "OUTBOUND_KEY"] = key_of(member, "outbound")
    return env


class Stub:
    """One running stub process."""

    def __init__(
        self, name: str, url: str, process: asyncio.subprocess.Process, session: aiohttp.ClientSession
    ) -> None:
        self.name, self.url, self.process, self._session = name, url, process, session

    async def get(self, path: str) -> Any:
        async with self._session.get(self.url + path) as response:
            assert response.status == 200, await response.text()
            return msgspec.json.decode(await response.read())

    async def submit(self, document: Mapping[str, Any]) -> int:
        async with self._session.post(
            self.url + "/control/submit", data=msgspec.json.encode(document)
        ) as response:
            answer = msgspec.json.decode(await response.read())
            assert response.status == 200, answer
            return int(answer["posted"])

    async def quiet(self, timeout_s: float = 20) -> None:
        """Wait until nothing is left to send."""
        deadline = time.monotonic() + timeout_s
        while (idle := await self.get("/control/idle"))["unsent"] or idle["pending"]:
            assert time.monotonic() < deadline, (idle, await self.get("/stats"))
            await asyncio.sleep(0.05)

    async def sigkill(self) -> None:
        self.process.kill()
        await self.process.wait()


@contextlib.asynccontextmanager
async def running(name: str, directory: Path, gateway_url: str, **changes: str) -> AsyncIterator[Stub]:
    """A stub process; stopped with SIGTERM at the end unless it is already dead."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stubs",
        name,
        env=environment(directory, gateway_url) | changes,
        stdout=asyncio.subprocess.PIPE,
        cwd=directory,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
        async with aiohttp.ClientSession() as session:
            yield Stub(name, json.loads(line)["url"], process, session)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await process.wait() == 0


class Desk:
    """Where the gateway stands. `received`: (member, document) of every message that got a receipt, in
    order."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, Any]]] = []
        self.bodies: list[bytes] = []
        self.documents: list[tuple[str, str]] = []
        self.files: dict[str, bytes] = {}
        self.answers: list[int] = []  # statuses to give before receipts are given
        self.unsigned = 0
        self._verifier = Verifier()

    async def messages(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        member = self._caller(request, body)
        if self.answers:
            status = self.answers.pop(0)
            return web.json_response({"error": {"code": "test", "zh": "测试", "en": "test"}}, status=status)
        document = msgspec.json.decode(body)
        validate.check(contracts.load().by_type(document["type"]), document["body"])
        self.received.append((member, document))
        case_no = document.get("caseNo") or ids.case_number(member, "", document.get("caseRef", ""))
        number = ids.message_id(member, "", document["sourceRef"], document["type"], 1)
        receipt = {"messageId": number, "caseNo": case_no, "digest": "0" * 64, "status": "received"}
        return web.json_response(receipt, status=202)

    async def put_file(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._caller(request, body)
        digest = validate_sm3(body)
        self.files[digest] = body
        return web.json_response({"ref": f"sm3:{digest}", "size": len(body), "sm3": digest})

    async def get_file(self, request: web.Request) -> web.Response:
        self._caller(request, b"")
        content = self.files.get(request.match_info["sm3"])
        return web.Response(status=404) if content is None else web.Response(body=content)

    async def soap(self, request: web.Request) -> web.Response:
        operation, arguments = asmx.read_call(asmx.decode(await request.read(), request.charset))
        if operation == "getXmlToken":
            good = arguments == {"key": SP_KEY, "secret": SP_SECRET}
            result = asmx.result("200", "", "", "token-1") if good else asmx.result("300", "未授权", "")
        elif self.answers:
            self.answers.pop(0)
            result = asmx.result("300", "系统繁忙，请稍后重试", "")
        else:
            assert arguments["token"] == "token-1"
            self.documents.append((operation, arguments["xmlStr"]))
            result = asmx.result("200", "操作成功", "")
        return web.Response(body=asmx.answer(operation, result), headers={"Content-Type": asmx.CONTENT_TYPE})

    def _caller(self, request: web.Request, body: bytes) -> str:
        member = claimed_member(request.headers) or ""
        self._verifier.verify(
            request.headers,
            request.method,
            request.raw_path,
            body,
            keys=[key_of(member, "inbound").encode()],
            now_ms=time.time_ns() // 1_000_000,
        )
        return member


def validate_sm3(body: bytes) -> str:
    """SM3 of a file, hex."""
    from signing.digest import sm3_hex

    return sm3_hex(body)


@contextlib.asynccontextmanager
async def open_desk(port: int = 0) -> AsyncIterator[tuple[Desk, str]]:
    """A desk and its URL."""
    desk = Desk()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1/messages", desk.messages)
    app.router.add_put("/v1/files", desk.put_file)
    app.router.add_get("/v1/files/{sm3}", desk.get_file)
    app.router.add_post("/soap/sp", desk.soap)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield desk, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def dispatch(
    member: str,
    type_: str,
    body: dict[str, Any],
    *,
    case_no: str,
    number: int = 1,
    source: str = "platform",
    kind: str = "",
) -> Dispatch:
    """A dispatch as the hub makes it: the body checked and normalised by its contract."""
    contract = contracts.load().by_type(type_)
    normal = validate.check(contract, body)
    lifted = validate.routing(contract, normal, lambda type_, text: "p" * 32)
    return Dispatch(
        id=ids.dispatch_id(f"message-{case_no}-{type_}-{number}", member),
        message_id=ids.originated_id(case_no, type_, str(number)),
        member=member,
        kind=kind or type_,
        type=type_,
        case_no=case_no,
        source=source,
        occurred_ms=next(v for k, v in normal.items() if k.endswith("At") and v),
        body=normal,
        region=lifted.get("region", ""),
        item=lifted.get("item", ""),
    )


def rest_config(member: str, url: str, **changes: Any) -> PortConfig:
    """How the hub reaches a REST stub."""
    algorithm = "HMAC-SM3" if member == "dept-a" else "HMAC-SHA256"
    return msgspec.structs.replace(
        PortConfig(
            member=member, style="rest", url=url, algorithm=algorithm, outbound_key=key_of(member, "outbound")
        ),
        **changes,
    )


def asmx_config(url: str, **changes: Any) -> PortConfig:
    """How the hub reaches the 2009 department."""
    return msgspec.structs.replace(
        PortConfig(
            member="dept-b",
            style="asmx",
            url=url,
            charset="gb2312",
            body_bytes_max=4 * 1024 * 1024,
            calls_in_flight_max=1,
            sp_key=SP_KEY,
            sp_secret=SP_SECRET,
        ),
        **changes,
    )
