"""Bad input over real HTTP: refused before anything is produced, in Chinese and English, naming field, rule
and standard.

No broker runs here on purpose: a request that slipped through would be answered 503 and fail its test.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from gateway_harness import Gateway, document, running_gateway, settings_for, signature

PATH = "/v1/messages"


# One gateway for the whole module: none of these requests leaves anything behind.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    settings = settings_for("127.0.0.1:1", "", tmp_path_factory.mktemp("hub"), produce_timeout_ms=200)
    async with running_gateway(settings, create_topic=False) as running:
        yield running


def error_of(answer: tuple[int, Any, Any], status: int, code: str) -> dict[str, Any]:
    """The error, after checking that it is one an operator can read."""
    error = answer[1]["error"]
    assert (answer[0], error["code"]) == (status, code), answer[1]
    assert any("\u4e00" <= character <= "\u9fff" for character in error["zh"])
    assert error["en"].isascii() or "：" not in error["en"]
    return dict(error)


def only_violation(answer: tuple[int, Any, Any], status: int = 400, code: str = "invalid") -> dict[str, Any]:
    error = error_of(answer, status, code)
    (violation,) = error["violations"]
    assert all(violation[name] for name in ("rule", "standard", "zh", "en"))
    return dict(violation)


# Who is calling (R16)


async def test_r16_unknown_member(gateway: Gateway) -> None:
    assert error_of(await gateway.submit("nobody", document()), 401, "bad_member")["serverTime"]


async def test_r16_bad_signature_carries_the_servers_time(gateway: Gateway) -> None:
    error = error_of(await gateway.submit("platform", document(), key=b"another key"), 401, "bad_signature")
    assert abs(error["serverTime"] - time.time() * 1000) < 60_000


async def test_r16_a_body_changed_after_signing_is_refused(gateway: Gateway) -> None:
    body = msgspec.json.encode(document())
    headers = signature("platform", "POST", PATH, body) | {"Content-Type": "application/json"}
    error_of(
        await gateway.call("POST", PATH, body.replace(b"YTH-2025", b"YTH-2026"), headers),
        401,
        "bad_signature",
    )


async def test_r16_a_signature_for_another_path_is_refused(gateway: Gateway) -> None:
    body = msgspec.json.encode(document())
    headers = signature("platform", "POST", PATH, body) | {"Content-Type": "application/json"}
    error_of(await gateway.call("POST", PATH + "?as=dept-a", body, headers), 401, "bad_signature")


@pytest.mark.parametrize("minutes_off", [-6, 6])
async def test_r16_old_or_future_timestamp_is_refused_with_the_servers_time(
    gateway: Gateway, minutes_off: int
) -> None:
    stale = int(time.time() * 1000) + minutes_off * 60_000
    error = error_of(await gateway.submit("platform", document(), timestamp_ms=stale), 401, "clock_skew")
    assert abs(error["serverTime"] - time.time() * 1000) < 60_000


async def test_r16_a_nonce_used_with_other_content_is_refused(gateway: Gateway) -> None:
    first = await gateway.submit("platform", document(), nonce="one-nonce-0001")
    error_of(first, 503, "broker_away")
    other = document(sourceRef="YTH-2025-000002")
    error_of(await gateway.submit("platform", other, nonce="one-nonce-0001"), 401, "nonce_conflict")


async def test_r16_a_member_registered_with_sm3_must_use_it(gateway: Gateway) -> None:
    error = error_of(
        await gateway.submit("dept-a", document(), algorithm="HMAC-SHA256"), 401, "bad_signature"
    )
    assert "HMAC-SM3" in error["zh"]


async def test_r16_unsigned_requests_are_refused_before_their_body_is_read(gateway: Gateway) -> None:
    error_of(
        await gateway.call("POST", PATH, b"{}", {"Content-Type": "application/json"}), 401, "missing_header"
    )


async def test_a_header_given_twice_is_refused(gateway: Gateway) -> None:
    twice = b"X-Hub-Member: platform\r\nX-Hub-Member: dept-a\r\n"
    answer = await raw(
        gateway, b"POST /v1/messages HTTP/1.1\r\nHost: hub\r\n" + twice + b"Content-Length: 2\r\n\r\n{}"
    )
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"header_twice" in answer


# Who may say what (R11)


async def test_r11_a_member_speaking_for_another_is_refused(gateway: Gateway) -> None:
    answer = await gateway.submit("platform", document(sourceSystem="scjg"))
    assert only_violation(answer, 403, "speaking_for_another")["field"] == "sourceSystem"


@pytest.mark.parametrize("type_", ["credit.answered", "case.refusal", "dispatch.refused", "nation.rejected"])
async def test_r11_what_only_the_hub_makes_is_refused_from_a_member(gateway: Gateway, type_: str) -> None:
    made = document(type_, caseNo="46" + "0" * 17)
    assert only_violation(await gateway.submit("platform", made), 403, "hub_only_type")["field"] == "type"


# What is said


async def test_unknown_type(gateway: Gateway) -> None:
    answer = await gateway.submit("platform", document() | {"type": "case.forgotten"})
    assert only_violation(answer, 400, "unknown_type")["field"] == "type"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"type": 1}',
        b'{"type":"case.submitted","type":"case.decided"}',
        b"[" * 100_000,
        b'{"type":"case.submitted","sourceRef":"1","occurredAt":"2025-01-01","body":'
        + b'{"a":' * 40
        + b"1"
        + b"}" * 41,
        b'{"type":"case.submitted","sourceRef":"1","occurredAt":NaN,"body":{}}',
    ],
    ids=["cut", "array", "not-utf8", "number", "twice", "deep-array", "deep-object", "nan"],
)
async def test_json_that_cannot_be_read(gateway: Gateway, body: bytes) -> None:
    answer = await gateway.signed("platform", "POST", PATH, body)
    assert only_violation(answer, 400, "malformed")["standard"] == "RFC 8259"


async def test_wrong_check_digits_are_named_together(gateway: Gateway) -> None:
    wrong = document()
    wrong["body"]["applicant"]["idNo"] = "91460100MA5T00001M"
    wrong["body"]["agent"]["idNo"] = "460100199003071238"
    error = error_of(await gateway.submit("platform", wrong), 400, "invalid")
    assert [v["field"] for v in error["violations"]] == ["applicant.idNo", "agent.idNo"]
    assert any("GB 32100" in v["standard"] for v in error["violations"])


async def test_over_long_field(gateway: Gateway) -> None:
    wrong = document()
    wrong["body"]["projectName"] = "长" * 1_001
    violation = only_violation(await gateway.submit("platform", wrong))
    assert (violation["field"], violation["rule"]) == ("projectName", "maxLength")


@pytest.mark.parametrize(
    "time_", ["yesterday", "2025-02-30T10:00:00", "0001-01-01T00:00:00", "2025-03-03T25:00:00"]
)
async def test_r07_business_time_must_be_a_time(gateway: Gateway, time_: str) -> None:
    assert (
        only_violation(await gateway.submit("platform", document(occurredAt=time_)))["field"] == "occurredAt"
    )


@pytest.mark.parametrize(
    ("made", "field"),
    [
        (document(caseNo="46" + "0" * 17), "caseNo"),
        (document() | {"caseRef": None}, "caseRef"),
        (document("case.accepted"), "caseNo"),
        (document("case.accepted", caseNo="460000000000000000X"), "caseNo"),
        (document("case.accepted", caseNo="YTH-2025-000001"), "caseNo"),
    ],
    ids=["opening-with-number", "opening-without-ref", "step-without-number", "wrong-check", "own-number"],
)
async def test_r06_case_numbers_are_the_hubs(gateway: Gateway, made: dict[str, Any], field: str) -> None:
    violation = only_violation(await gateway.submit("platform", made))
    assert (violation["field"], violation["rule"]) == (field, "R6")


# How much of it


async def test_body_over_the_limit_is_413(gateway: Gateway) -> None:
    body = msgspec.json.encode(document()) + b" " * gateway.settings.body_bytes_max
    error_of(await gateway.signed("platform", "POST", PATH, body), 413, "too_large")


async def test_body_over_the_limit_without_a_length_is_413(gateway: Gateway) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 32_768

    headers = signature("platform", "POST", PATH, b"") | {"Content-Type": "application/json"}
    async with gateway.client.post(gateway.url + PATH, data=endless(), headers=headers) as answer:
        assert answer.status == 413


@pytest.mark.parametrize(
    "media_type", ["text/xml", "application/x-www-form-urlencoded", "application/json; charset=gbk"]
)
async def test_other_media_types_are_415(gateway: Gateway, media_type: str) -> None:
    body = msgspec.json.encode(document())
    error_of(await gateway.signed("platform", "POST", PATH, body, media_type), 415, "media_type")


async def test_header_section_over_its_bound_is_431(gateway: Gateway) -> None:
    async with gateway.client.get(
        gateway.url + "/healthz", headers={"X-Long": "x" * 8_000, "Y-Long": "y" * 8_500}
    ) as answer:
        assert answer.status == 431


async def test_unknown_paths_and_methods_answer_in_two_languages(gateway: Gateway) -> None:
    error_of(await gateway.call("GET", "/v2/messages"), 404, "http")
    error_of(await gateway.call("DELETE", PATH), 405, "http")


async def test_every_refusal_is_counted_by_door_and_status(gateway: Gateway) -> None:
    async def refused() -> int:
        _, text, _ = await gateway.call("GET", "/metrics")
        line = 'hub_gateway_requests_total{door="messages",status="401"} '
        return int(text.partition(line)[2].partition("\n")[0] or 0)

    before = await refused()
    await gateway.submit("nobody", document())
    assert await refused() == before + 1


async def test_a_body_that_never_ends_is_408(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.gateway.wire.BODY_READ_MS_MAX", 200)
    headers = signature("platform", "POST", PATH, b"") | {"Content-Type": "application/json"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    answer = await raw(
        gateway, f"POST {PATH} HTTP/1.1\r\nHost: hub\r\nContent-Length: 50\r\n{head}\r\n{{".encode()
    )
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"slow_body" in answer


async def test_headers_that_never_end_close_the_connection(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.gateway.server.HEADER_READ_MS_MAX", 200)
    assert await raw(gateway, b"POST /v1/messages HTTP/1.1\r\nHost: h") == b""
    first = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
    answered = await raw(gateway, first + b"POST /v1/messages HTTP/1.1\r\nHost: h", whole=True)
    assert answered.startswith(b"HTTP/1.1 200"), "and on a connection that was answered before"


async def test_requests_over_the_bound_are_told_to_wait_but_probes_are_answered(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.gateway.app.REQUESTS_IN_FLIGHT_MAX", 0)
    answer = await gateway.submit("platform", document())
    error_of(answer, 503, "busy")
    assert answer[2]["Retry-After"] == "1"
    assert (await gateway.call("GET", "/healthz"))[0] == 200


async def raw(gateway: Gateway, data: bytes, *, whole: bool = False) -> bytes:
    """What comes back for these bytes first; whole: until the server closes."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(-1 if whole else 4_096), 5)
    finally:
        writer.close()
