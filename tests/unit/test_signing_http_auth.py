"""Request authentication (R16): what is accepted, what is refused, and what a refusal says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.errors import AuthError
from signing.http_auth import HMAC_SM3, SKEW_MS_MAX, Verified, Verifier, canonical_string, sign_request
from signing.nonces import NonceMemory

NOW_MS = 1_700_000_000_000
KEY, OLD_KEY = b"k" * 32, b"o" * 32
BODY = '{"名":1}'.encode()
PATH = "/v1/messages?x=%E8%90%A5"


def signed(**changes: Any) -> dict[str, str]:
    args: dict[str, Any] = {"timestamp_ms": NOW_MS, "nonce": "nonce-0001", "body": BODY, "key": KEY} | changes
    return sign_request(
        args["key"],
        args.get("member", "dept-a"),
        "POST",
        PATH,
        args["body"],
        algorithm=args.get("algorithm", HMAC_SM3),
        timestamp_ms=args["timestamp_ms"],
        nonce=args["nonce"],
    )


def check(headers: dict[str, str], verifier: Verifier | None = None, **changes: Any) -> Verified:
    args: dict[str, Any] = {
        "method": "POST",
        "path": PATH,
        "body": BODY,
        "keys": [KEY],
        "now_ms": NOW_MS,
    } | changes
    return (verifier or Verifier()).verify(
        headers,
        args["method"],
        args["path"],
        args["body"],
        keys=args["keys"],
        now_ms=args["now_ms"],
        skew_ms=args.get("skew_ms", 300_000),
    )


def refusal(headers: dict[str, str], verifier: Verifier | None = None, **changes: Any) -> AuthError:
    with pytest.raises(AuthError) as caught:
        check(headers, verifier, **changes)
    return caught.value


def test_r16_a_signed_request_is_accepted_and_identified() -> None:
    verified = check(signed())
    assert (verified.member, verified.timestamp_ms, verified.nonce) == ("dept-a", NOW_MS, "nonce-0001")
    assert not verified.resend


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "PUT"},
        {"path": "/v1/messages?x=%e8%90%a5"},
        {"path": "/v1/messages"},
        {"body": BODY + b" "},
        {"body": b""},
        {"keys": [OLD_KEY]},
        {"path": "/v1/中文"},
        {"path": "/v1/messages\nX"},
    ],
    ids=str,
)
def test_r16_any_changed_byte_is_refused(changes: dict[str, Any]) -> None:
    assert refusal(signed(), **changes).code == "bad_signature"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Hub-Member", "dept-b"),
        ("X-Hub-Nonce", "nonce-0002"),
        ("X-Hub-Timestamp", str(NOW_MS + 1)),
        ("X-Hub-Algorithm", "HMAC-SHA256"),
        ("X-Hub-Algorithm", "none"),
        ("X-Hub-Signature", "AAAA"),
        ("X-Hub-Signature", "not base64!"),
        ("X-Hub-Signature", "é"),
    ],
)
def test_r16_any_changed_header_is_refused(header: str, value: str) -> None:
    assert refusal(signed() | {header: value}).code == "bad_signature"


@pytest.mark.parametrize("header", list(signed()))
def test_r16_a_missing_header_is_named(header: str) -> None:
    headers = signed()
    del headers[header]
    error = refusal(headers)
    assert error.code == "missing_header"
    assert header in error.zh
    assert header in error.en


def test_r16_malformed_member_and_timestamp() -> None:
    assert refusal(signed() | {"X-Hub-Member": "a b"}).code == "bad_member"
    assert refusal(signed(), keys=[]).code == "bad_member"
    for value in ("2023-11-14", "1700000000", "-1700000000000", "1700000000000.0", "١٧٠٠٠٠٠٠٠٠٠٠٠"):
        assert refusal(signed() | {"X-Hub-Timestamp": value}).code == "bad_timestamp"


@pytest.mark.parametrize("off_ms", [300_001, -300_001, 86_400_000])
def test_r16_a_wrong_clock_is_told_the_servers_time(off_ms: int) -> None:
    error = refusal(signed(timestamp_ms=NOW_MS + off_ms))
    assert (error.code, error.server_time_ms) == ("clock_skew", NOW_MS)
    assert str(NOW_MS) in error.zh
    assert str(NOW_MS) in error.en


def test_r16_the_window_is_five_minutes_and_never_above_fifteen() -> None:
    assert check(signed(timestamp_ms=NOW_MS - 300_000)).member == "dept-a"
    assert check(signed(timestamp_ms=NOW_MS - SKEW_MS_MAX), skew_ms=SKEW_MS_MAX).member == "dept-a"
    assert refusal(signed(timestamp_ms=NOW_MS - SKEW_MS_MAX - 1), skew_ms=10**9).code == "clock_skew"


def test_r16_two_keys_are_valid_during_rotation() -> None:
    assert check(signed(key=OLD_KEY), keys=[KEY, OLD_KEY]).member == "dept-a"
    assert check(signed(key=KEY), keys=[KEY, OLD_KEY]).member == "dept-a"
    assert refusal(signed(key=b""[:0] + b"x"), keys=[KEY, OLD_KEY]).code == "bad_signature"


def test_r16_an_empty_key_on_file_opens_nothing() -> None:
    with pytest.raises(ValueError):
        signed(key=b"")
    from signing.digest import hmac_sm3, sm3_hex

    text = canonical_string("POST", PATH, "dept-a", str(NOW_MS), "nonce-0001", sm3_hex(BODY))
    import base64

    forged = signed() | {"X-Hub-Signature": base64.b64encode(hmac_sm3(b"", text)).decode()}
    assert refusal(forged, keys=[b""]).code == "bad_signature"


def test_r16_same_nonce_same_bytes_is_a_resend() -> None:
    verifier = Verifier()
    first = check(signed(), verifier)
    again = check(signed(), verifier, now_ms=NOW_MS + 1000)
    assert (first.resend, again.resend) == (False, True)
    assert first.signed_digest == again.signed_digest


def test_r16_same_nonce_other_content_is_refused() -> None:
    verifier = Verifier()
    check(signed(), verifier)
    error = refusal(signed(body=b"{}"), verifier, body=b"{}")
    assert error.code == "nonce_conflict"
    assert check(signed(body=b"{}", nonce="nonce-0002"), verifier, body=b"{}").resend is False
    assert check(signed(member="dept-b", body=b"{}"), verifier, body=b"{}").member == "dept-b"


def test_r16_a_forged_request_leaves_no_trace_in_the_nonce_memory() -> None:
    verifier = Verifier()
    assert refusal(signed(key=b"guess"), verifier).code == "bad_signature"
    assert check(signed(), verifier).resend is False


def test_r16_forgetting_a_nonce_costs_no_correctness() -> None:
    """Another process or a full memory sees a re-send as new; its signed digest still says that it is the
    same."""
    verifier = Verifier(nonces_max=2)
    first = check(signed(), verifier)
    for n in range(3):
        check(signed(nonce=f"other-{n:04}"), verifier)
    again = check(signed(), verifier)
    assert again.resend is False
    assert again.signed_digest == first.signed_digest


def test_nonce_memory_is_bounded_and_expires() -> None:
    memory = NonceMemory(nonces_max=3)
    for n in range(10):
        assert memory.see("m", str(n), "d", now_ms=0, keep_until_ms=100) == "new"
    assert len(memory) == 3
    assert memory.see("m", "9", "d", now_ms=100, keep_until_ms=100) == "resend"
    assert memory.see("m", "9", "e", now_ms=101, keep_until_ms=200) == "new"
    assert len(memory) == 1


def test_canonical_string_refuses_what_could_mean_two_things() -> None:
    good = ("POST", "/v1", "dept-a", str(NOW_MS), "nonce-0001", "0" * 64)
    canonical_string(*good)
    for position, bad in [
        (0, "PO ST"),
        (1, "/v1\nx"),
        (1, "v1"),
        (1, "/" + "a" * 9000),
        (1, "/中"),
        (2, "dept\na"),
        (3, "1"),
        (4, "short"),
        (5, "0" * 63),
        (5, "A" * 64),
    ]:
        args = list(good)
        args[position] = bad
        with pytest.raises(ValueError):
            canonical_string(*args)


@given(
    st.dictionaries(st.sampled_from(list(signed())), st.text(max_size=80)), st.text(max_size=40), st.binary()
)
def test_r16_nothing_a_stranger_sends_gets_in_or_breaks(
    headers: dict[str, str], path: str, body: bytes
) -> None:
    with pytest.raises(AuthError):
        Verifier().verify(signed() | headers, "POST", "/x" + path, body, keys=[b"another"], now_ms=NOW_MS)
