"""Key/secret tokens, UsernameToken and pseudonyms (R16): statelessness, rotation, refusals."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import digest, sp_token, username_token
from signing.errors import AuthError
from signing.nonces import NonceMemory
from signing.pseudonym import pseudonym
from signing.username_token import PASSWORD_TEXT, UsernameToken

MASTER, OTHER = b"m" * 32, b"n" * 32
NOW_S = 1_700_000_000
NOW_MS = NOW_S * 1000


def refused(call: Any) -> str:
    with pytest.raises(AuthError) as caught:
        call()
    assert caught.value.zh
    assert caught.value.en
    return caught.value.code


def test_r16_a_token_is_checked_by_any_gateway_that_knows_the_master() -> None:
    token = sp_token.issue("dept-b", "秘密", NOW_S, 7200, MASTER)
    assert sp_token.check(token, MASTER, NOW_S + 7199) == "dept-b"
    assert sp_token.check(token, [OTHER, MASTER], NOW_S) == "dept-b"
    assert token.replace(".", "").replace("-", "").replace("_", "").isalnum()
    assert "秘密" not in token


def test_r16_a_token_expires_and_belongs_to_one_master() -> None:
    token = sp_token.issue("dept-b", "s", NOW_S, 7200, MASTER)
    assert refused(lambda: sp_token.check(token, MASTER, NOW_S + 7200)) == "token_expired"
    assert refused(lambda: sp_token.check(token, OTHER, NOW_S)) == "bad_token"


def test_r16_withdrawing_a_secret_ends_its_tokens() -> None:
    token = sp_token.issue("dept-b", "old", NOW_S, 7200, MASTER)
    assert sp_token.check(token, MASTER, NOW_S, secrets=["new", "old"]) == "dept-b"
    assert refused(lambda: sp_token.check(token, MASTER, NOW_S, secrets=["new"])) == "bad_token"


def test_r16_no_byte_of_a_token_can_be_changed() -> None:
    token = sp_token.issue("dept-b", "s", NOW_S, 7200, MASTER)
    last_of_payload = token.index(".") - 1
    for position in range(len(token)):
        for char in "Aa0-.":
            changed = token[:position] + char + token[position + 1 :]
            if changed == token:
                continue
            if position == last_of_payload and _payload(changed) == _payload(token):
                continue  # only spare bits of the last base64 character differ
            assert refused(lambda changed=changed: sp_token.check(changed, MASTER, NOW_S)) == "bad_token"


def _payload(token: str) -> bytes:
    text = token.split(".")[0]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@given(st.text(max_size=600))
def test_r16_no_text_is_a_token(text: str) -> None:
    assert refused(lambda: sp_token.check(text, MASTER, NOW_S)) == "bad_token"


def test_token_limits() -> None:
    for key, ttl_s, master in [
        ("a|b", 60, MASTER),
        ("a", 0, MASTER),
        ("a", 86_401, MASTER),
        ("a", 60, b"short"),
    ]:
        with pytest.raises(ValueError):
            sp_token.issue(key, "s", NOW_S, ttl_s, master)


def made(**changes: Any) -> UsernameToken:
    args: dict[str, Any] = {"nonce": b"0123456789abcdef", "created_ms": NOW_MS} | changes
    return username_token.create("dept-b", "口令 password", **args)


def check(token: UsernameToken, **changes: Any) -> bool:
    args: dict[str, Any] = {"passwords": ["口令 password"], "now_ms": NOW_MS, "skew_ms": 300_000} | changes
    return username_token.verify(token, **args)


def test_username_token_digest_as_the_profile_defines_it() -> None:
    """Value computed with: printf … | openssl sha1 -binary | base64."""
    assert made().created == "2023-11-14T22:13:20.000Z"
    assert username_token.password_digest(b"0123456789abcdef", "2023-11-14T22:13:20.000Z", "secret") == (
        "EoPq6iSoFz635rWXx7SY6ZUK7Ck="
    )


@pytest.mark.parametrize("digested", [True, False])
def test_r16_username_token_accepted(digested: bool) -> None:
    assert check(made(digest=digested)) is False
    assert check(made(digest=digested), passwords=["new", "口令 password"]) is False


@pytest.mark.parametrize(
    "created", ["2023-11-15T06:13:20+08:00", "2023-11-14T22:13:20.123456789Z", "2023-11-14T22:13:20"]
)
def test_r16_username_token_created_in_every_spelling(created: str) -> None:
    nonce = b"0123456789abcdef"
    password = username_token.password_digest(nonce, created, "口令 password")
    assert check(replace(made(), created=created, password=password)) is False


def test_r16_username_token_refusals_are_named() -> None:
    assert refused(lambda: check(made(), passwords=["other"])) == "bad_signature"
    assert refused(lambda: check(made(), passwords=[])) == "bad_member"
    assert refused(lambda: check(made(created_ms=NOW_MS - 300_001))) == "clock_skew"
    assert refused(lambda: check(replace(made(), created="yesterday"))) == "bad_timestamp"
    assert refused(lambda: check(replace(made(), created="2023-13-14T22:13:20Z"))) == "bad_timestamp"
    assert refused(lambda: check(replace(made(), nonce=""))) == "missing_header"
    assert refused(lambda: check(replace(made(), nonce="!"))) == "bad_signature"
    assert refused(lambda: check(made(nonce=b"short"))) == "bad_signature"
    assert refused(lambda: check(replace(made(), password_type="urn:x"))) == "bad_signature"
    assert refused(lambda: check(replace(made(), password_type=PASSWORD_TEXT))) == "bad_signature"
    assert refused(lambda: check(replace(made(), username="x" * 300))) == "bad_signature"


def test_r16_username_token_repeated_with_the_same_body_is_a_resend_with_another_refused() -> None:
    memory = NonceMemory()
    assert check(made(), memory=memory, content=b"<a/>") is False
    assert check(made(), memory=memory, content=b"<a/>") is True
    assert refused(lambda: check(made(), memory=memory, content=b"<b/>")) == "nonce_conflict"


def test_pseudonym_is_stable_over_spellings_and_useless_without_the_key() -> None:
    value = pseudonym("11010519491231002x", MASTER)
    assert len(value) == 32
    assert value == pseudonym(" １１０１０５１９４９１２３１００２Ｘ ", MASTER)
    assert value != pseudonym("11010519491231002X", OTHER)
    assert value == digest.hmac_sm3(MASTER, b"11010519491231002X")[:16].hex()
    with pytest.raises(ValueError):
        pseudonym("11010519491231002X", b"short")
    with pytest.raises(ValueError):
        pseudonym("  ", MASTER)


def test_portable_digests_agree_with_the_fast_ones() -> None:
    for data in (b"", b"abc", bytes(range(256)) * 9):
        assert digest.sm3(data) == digest.sm3_portable(data)
        for key in (b"", b"k", b"k" * 64, b"k" * 65):
            assert digest.hmac_sm3(key, data) == digest.hmac_sm3_portable(key, data)
