"""Who a caller is (R16): two keys during rotation, skew and addresses per member, secrets resolved from the
environment alone."""

import ipaddress
import time
from typing import Any

import pytest

from hub import directory
from hub.gateway.callers import Caller, Callers, caller_of
from hub.gateway.errors import Rejected
from hub.gateway.intake import occurred_ms
from signing.http_auth import HMAC_SM3, sign_request

NOW = 1_764_000_000_000
BODY = b'{"a":1}'


def callers(**changes: Any) -> Callers:
    caller = Caller("dept-a", (b"the new key", b"the old key"), **changes)
    return Callers([caller], token_key=b"token key of sixteen", now_ms=lambda: NOW)


def signed(
    known: Callers, *, key: bytes = b"the new key", off_ms: int = 0, address: str = "10.1.2.3"
) -> Caller:
    headers = sign_request(
        key,
        "dept-a",
        "POST",
        "/v1/messages",
        BODY,
        algorithm=HMAC_SM3,
        timestamp_ms=NOW + off_ms,
        nonce="nonce-0001",
    )
    return known.signed(headers, "POST", "/v1/messages", BODY, address)


@pytest.mark.parametrize("key", [b"the new key", b"the old key"])
def test_r16_both_keys_are_valid_during_rotation(key: bytes) -> None:
    assert signed(callers(), key=key).id == "dept-a"


def test_r16_the_skew_is_the_members_own() -> None:
    assert signed(callers(skew_ms=900_000), off_ms=-899_000).id == "dept-a"
    with pytest.raises(Rejected) as refused:
        signed(callers(), off_ms=-899_000)
    assert (refused.value.code, refused.value.server_time_ms) == ("clock_skew", NOW)


def test_r16_a_member_with_an_address_list_calls_from_there_only() -> None:
    known = callers(networks=(ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("::1/128")))
    assert signed(known, address="10.1.2.3").id == "dept-a"
    for address in ("10.2.0.1", "", "unix"):
        with pytest.raises(Rejected, match="foreign_address"):
            signed(known, address=address)


def test_r16_a_token_of_a_withdrawn_secret_ends_with_it() -> None:
    known = callers(sp_key="k2009", sp_secret="first secret")
    token = known.issue_token("k2009", "first secret", "")
    assert known.token(token, "").id == "dept-a"
    known.replace([Caller("dept-a", (), sp_key="k2009", sp_secret="second secret")])
    with pytest.raises(Rejected, match="bad_token"):
        known.token(token, "")


def test_r16_a_member_without_keys_cannot_call() -> None:
    members = directory.load().members
    caller = caller_of(members["dept-a"], {})
    assert caller.keys == ()
    known = Callers([caller], token_key=b"token key of sixteen", now_ms=lambda: NOW)
    with pytest.raises(Rejected, match="bad_member"):
        signed(known)


def test_keys_are_taken_from_the_environment_and_nothing_else_is_needed() -> None:
    members = directory.load().members
    caller = caller_of(members["dept-a"], {"HUB_MEMBER_DEPT_A_INBOUND_KEY": "a key"})
    assert (caller.keys, caller.algorithm, caller.source_systems) == (
        (b"a key",),
        HMAC_SM3,
        frozenset({"scjg"}),
    )


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Shanghai"])
def test_r07_the_process_time_zone_changes_nothing(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert occurred_ms("2025-03-03T09:15:00") == occurred_ms("2025-03-03T01:15:00Z") == 1_740_964_500_000
    finally:
        monkeypatch.undo()
        time.tzset()
