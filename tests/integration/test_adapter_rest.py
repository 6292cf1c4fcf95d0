"""The REST port against real servers on loopback that cut, stall, answer garbage, or see nothing at all."""

import asyncio
import json
import socket
import time
from typing import Any

import pytest

from adapters.factory import PortConfig, UnknownStyle, open_port
from adapters.ports import Dispatch, ReplyKind, TooLate
from signing.http_auth import HMAC_SM3, Verifier
from tests.integration.raw_http import (
    Script,
    answering,
    cutting,
    cutting_half_way,
    garbage,
    serving,
    stalling,
)

KEY = "outbound-key-of-the-hub"


def config(url: str, **changes: Any) -> PortConfig:
    values: dict[str, Any] = {
        "member": "dept-a",
        "style": "rest",
        "url": url,
        "outbound_key": KEY,
        "call_timeout_ms": 700,
        "connect_timeout_ms": 500,
    }
    return PortConfig(**{**values, **changes})


def dispatch(**changes: Any) -> Dispatch:
    values: dict[str, Any] = {
        "id": "d" * 32,
        "message_id": "m" * 32,
        "member": "dept-a",
        "kind": "case.submitted",
        "type": "case.submitted",
        "case_no": "46X",
        "source": "platform",
        "occurred_ms": 1_772_326_800_000,
        "body": {"applicant": {"name": "王伟", "idType": "111", "idNo": "11010519491231002X"}},
    }
    return Dispatch(**{**values, **changes})


async def deliver(url: str, **changes: Any) -> tuple[ReplyKind, str, str]:
    port = await open_port(config(url, **changes))
    try:
        reply = await port.deliver(dispatch(), lambda: True)
    finally:
        await port.close()
    return reply.kind, reply.code, reply.detail


def said(**fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


ANSWERS = [
    (200, said(status="done"), ReplyKind.DONE),
    (200, said(status="already_done"), ReplyKind.ALREADY_DONE),
    (409, said(status="already_done"), ReplyKind.ALREADY_DONE),
    (409, said(error="conflict"), ReplyKind.MALFORMED),
    (422, said(status="refused", code="R77", detail="材料不符"), ReplyKind.REFUSED),
    (422, b"<html>", ReplyKind.MALFORMED),
    (400, said(error="bad"), ReplyKind.MALFORMED),
    (401, said(error="signature"), ReplyKind.TRY_LATER),
    (404, b"not found", ReplyKind.MALFORMED),
    (413, b"", ReplyKind.MALFORMED),
    (429, b"", ReplyKind.TRY_LATER),
    (500, b"oops", ReplyKind.UNKNOWN),
    (502, b"<html>", ReplyKind.UNKNOWN),
    (503, b"", ReplyKind.TRY_LATER),
    (200, b"", ReplyKind.UNKNOWN),
    (200, b"<html>ok</html>", ReplyKind.UNKNOWN),
    (200, said(status="300"), ReplyKind.UNKNOWN),
    (200, said(status="done") + b" " * 70_000, ReplyKind.UNKNOWN),
    (202, said(status="done"), ReplyKind.UNKNOWN),
    (302, b"", ReplyKind.UNKNOWN),
]


@pytest.mark.parametrize(("status", "body", "kind"), ANSWERS)
async def test_r19_the_reply_table(status: int, body: bytes, kind: ReplyKind) -> None:
    async with serving(answering(status, body)) as (_, url):
        assert (await deliver(url))[0] is kind


async def test_a_redirect_is_not_followed() -> None:
    """A call would otherwise reach a server that is not this member, signed for it."""
    async with serving(answering(200, said(status="done"))) as (elsewhere, there):
        reason = f"Moved\r\nLocation: {there}/hub/dispatches"
        async with serving(answering(307, b"", reason)) as (_, url):
            assert (await deliver(url))[0] is ReplyKind.UNKNOWN
        assert elsewhere.connections == 0


async def test_a_refusal_keeps_the_members_code_and_words() -> None:
    async with serving(answering(422, said(status="refused", code="R77", detail="材料不符"))) as (_, url):
        _, code, detail = await deliver(url)
    assert code == "R77"
    assert "材料不符" in detail


@pytest.mark.parametrize("script", [cutting, cutting_half_way, stalling, garbage])
async def test_an_answer_that_never_came_whole_is_unknown(script: Script) -> None:
    async with serving(script) as (server, url):
        kind, _, detail = await deliver(url)
    assert kind is ReplyKind.UNKNOWN
    assert detail
    assert server.seen.startswith(b"POST /base/hub/dispatches HTTP/1.1")


async def test_a_refused_connection_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert (await deliver(f"http://127.0.0.1:{free.getsockname()[1]}"))[0] is ReplyKind.UNREACHABLE


async def test_an_unknown_host_is_unreachable() -> None:
    assert (await deliver("http://no-such-host.invalid"))[0] is ReplyKind.UNREACHABLE


async def test_a_member_that_accepts_no_connection_is_unreachable_in_time() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        begun = time.monotonic()
        kind, _, _ = await deliver(f"http://127.0.0.1:{full.getsockname()[1]}")
        for filler in fillers:
            filler.close()
    assert kind is ReplyKind.UNREACHABLE
    assert time.monotonic() - begun < 3


async def test_a_call_that_may_no_longer_start_writes_nothing() -> None:
    """G4: on a fresh and on a reused connection not one byte leaves."""
    async with serving(answering(200, said(status="done"))) as (server, url):
        port = await open_port(config(url))
        for _ in range(3):
            with pytest.raises(TooLate):
                await port.deliver(dispatch(), lambda: False)
        await asyncio.sleep(0.05)
        assert bytes(server.seen) == b""
        assert (await port.deliver(dispatch(), lambda: True)).kind is ReplyKind.DONE
        length = len(server.seen)
        connections = server.connections
        with pytest.raises(TooLate):
            await port.deliver(dispatch(), lambda: False)
        await asyncio.sleep(0.05)
        assert len(server.seen) == length
        assert server.connections == connections
        await port.close()


async def test_may_start_is_asked_only_after_the_wait_for_a_connection() -> None:
    """A call that queued behind a slow one for too long must notice: the question comes last."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await answering(200, said(status="done"))(reader, writer)

    async with serving(slow) as (server, url):
        port = await open_port(config(url, calls_in_flight_max=1))
        born = time.monotonic()
        first = asyncio.create_task(port.deliver(dispatch(), lambda: True))
        await asyncio.sleep(0.02)
        with pytest.raises(TooLate):
            await port.deliver(dispatch(), lambda: time.monotonic() - born < 0.1)
        assert (await first).kind is ReplyKind.DONE
        assert server.seen.count(b"POST") == 1
        await port.close()


async def test_r17_every_call_is_signed_as_the_hub() -> None:
    async with serving(answering(200, said(status="done"))) as (server, url):
        await deliver(url, algorithm=HMAC_SM3)
    head, _, body = bytes(server.seen).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    method, path, _ = lines[0].split(" ")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    verified = Verifier().verify(
        headers, method, path, body, keys=[KEY.encode()], now_ms=int(time.time() * 1000)
    )
    assert verified.member == "hub"
    assert verified.algorithm == HMAC_SM3
    assert json.loads(body)["dispatchId"] == "d" * 32


async def test_a_body_over_the_members_limit_is_not_sent() -> None:
    async with serving(answering(200, said(status="done"))) as (server, url):
        kind, code, detail = await deliver(url, body_bytes_max=100)
    assert (kind, code) == (ReplyKind.MALFORMED, "too_large")
    assert "100" in detail
    assert not server.seen


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, said(dispatchId="d" * 32, status="done"), ReplyKind.DONE),
        (200, said(status="refused"), ReplyKind.REFUSED),
        (404, said(status="absent"), ReplyKind.ABSENT),
        (404, b"<html>proxy</html>", ReplyKind.UNKNOWN),
        (200, said(dispatchId="other", status="done"), ReplyKind.UNKNOWN),
        (500, said(status="done"), ReplyKind.UNKNOWN),
    ],
)
async def test_a_query_believes_only_a_clear_answer(status: int, body: bytes, kind: ReplyKind) -> None:
    async with serving(answering(status, body)) as (_, url):
        port = await open_port(config(url))
        assert (await port.query(dispatch())).kind is kind
        await port.close()


async def ask_credit(status: int, body: bytes) -> tuple[Any, bytes]:
    async with serving(answering(status, body)) as (server, url):
        port = await open_port(config(url))
        reply = await port.deliver(dispatch(kind="credit.query"), lambda: True)
        await port.close()
    return reply, bytes(server.seen)


async def test_r22_a_credit_query_brings_its_answer_back_as_a_message() -> None:
    reply, seen = await ask_credit(
        200, said(grade="black", seriousDishonesty=True, bannedIndustries=["F52"], decisionStandard=True)
    )
    assert seen.startswith(b"GET /base/credit/grades?idType=111&idNo=11010519491231002X&dispatchId=dddd")
    assert reply.kind is ReplyKind.DONE
    assert reply.answer is not None
    assert (reply.answer.type, reply.answer.source_ref, reply.answer.case_no) == (
        "credit.answered", "d" * 32, "46X",
    )  # fmt: skip
    assert reply.answer.body["grade"] == "black"
    assert reply.answer.body["bannedIndustries"] == ["F52"]


@pytest.mark.parametrize(
    "body", [b"{}", said(grade="pink", seriousDishonesty=False), said(grade="blue", seriousDishonesty="no")]
)
async def test_r22_half_an_answer_decides_nothing(body: bytes) -> None:
    reply, _ = await ask_credit(200, body)
    assert reply.kind is ReplyKind.UNKNOWN
    assert reply.answer is None


async def test_an_unknown_style_is_named() -> None:
    with pytest.raises(UnknownStyle, match="carrier-pigeon"):
        await open_port(config("http://x", style="carrier-pigeon"))
