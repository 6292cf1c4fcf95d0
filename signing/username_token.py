"""WS-Security UsernameToken (OASIS UsernameToken Profile 1.1) on plain values.
No XML here: the SOAP adapter reads and writes the elements, this decides whether they are right.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from signing.digest import sha256_hex
from signing.errors import AuthError
from signing.nonces import NonceMemory

_PROFILE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0"
PASSWORD_TEXT = f"{_PROFILE}#PasswordText"
PASSWORD_DIGEST = f"{_PROFILE}#PasswordDigest"

NONCE_BYTES_MIN = 8
NONCE_BYTES_MAX = 64
FIELD_CHARS_MAX = 256

_CREATED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?")


@dataclass(frozen=True, slots=True)
class UsernameToken:
    """The element's content: `password` is text or base64 digest by `password_type`; `nonce` is base64;
    `created` an xsd:dateTime kept as the very characters received, because the digest covers them."""

    username: str
    password: str
    password_type: str = PASSWORD_TEXT
    nonce: str = ""
    created: str = ""


def password_digest(nonce: bytes, created: str, password: str) -> str:
    """base64(SHA-1(nonce + created + password)), UTF-8 (UsernameToken Profile 1.1, section 3.1)."""
    covered = nonce + created.encode("utf-8") + password.encode("utf-8")
    return base64.b64encode(hashlib.sha1(covered, usedforsecurity=False).digest()).decode("ascii")


def create(
    username: str, password: str, *, nonce: bytes, created_ms: int, digest: bool = True
) -> UsernameToken:
    """A token to send; `created_ms` is ms since epoch, `nonce` fresh random bytes."""
    created = datetime.fromtimestamp(created_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    encoded = base64.b64encode(nonce).decode("ascii")
    if digest:
        return UsernameToken(
            username, password_digest(nonce, created, password), PASSWORD_DIGEST, encoded, created
        )
    return UsernameToken(username, password, PASSWORD_TEXT, encoded, created)


def verify(
    token: UsernameToken,
    *,
    passwords: Sequence[str],
    now_ms: int,
    skew_ms: int,
    memory: NonceMemory | None = None,
    content: bytes = b"",
) -> bool:
    """Check a token against the user's valid passwords; True when it repeats one already seen (a re-send).

    PasswordDigest needs nonce and created. PasswordText may come without both (2009 callers do); then TLS
    alone protects it and nothing can be told about repetition. The digest does not cover the message, so a
    repeated nonce is bound to `content` (the body bytes) by `memory`. Raises AuthError with code
    missing_header, bad_member, bad_timestamp, clock_skew, bad_signature or nonce_conflict.
    """
    if not token.username or not token.password:
        raise AuthError(
            "missing_header",
            "缺少 wsse:Username 或 wsse:Password",
            "wsse:Username or wsse:Password is missing",
            now_ms,
        )
    if max(len(token.username), len(token.password), len(token.nonce), len(token.created)) > FIELD_CHARS_MAX:
        raise AuthError(
            "bad_signature", "wsse:UsernameToken 字段过长", "a wsse:UsernameToken field is too long", now_ms
        )
    if token.password_type not in (PASSWORD_TEXT, PASSWORD_DIGEST):
        raise AuthError(
            "bad_signature", "wsse:Password 的 Type 不支持", "unsupported wsse:Password Type", now_ms
        )
    digested = token.password_type == PASSWORD_DIGEST
    if digested and not (token.nonce and token.created):
        raise AuthError(
            "missing_header",
            "PasswordDigest 必须带 wsse:Nonce 与 wsu:Created",
            "PasswordDigest needs wsse:Nonce and wsu:Created",
            now_ms,
        )
    nonce = _nonce_bytes(token.nonce, now_ms) if token.nonce else b""
    created_ms = _created_ms(token.created, now_ms) if token.created else now_ms
    if abs(now_ms - created_ms) > skew_ms:
        raise AuthError(
            "clock_skew",
            f"wsu:Created 与服务器时间相差超过 {skew_ms // 1000} 秒；服务器时间 {now_ms}",
            f"wsu:Created is more than {skew_ms // 1000} s off; server time {now_ms}",
            now_ms,
        )
    if not passwords:
        raise AuthError("bad_member", "未知用户", "unknown user", now_ms)
    _check_password(token, nonce, passwords, now_ms)
    if memory is None or not nonce or not token.created:
        return False
    seen = memory.see(
        token.username,
        f"{token.nonce} {token.created}",
        sha256_hex(content),
        now_ms=now_ms,
        keep_until_ms=created_ms + skew_ms,
    )
    if seen == "conflict":
        raise AuthError(
            "nonce_conflict",
            "wsse:Nonce 已用于其他内容",
            "wsse:Nonce was used with other content",
            now_ms,
        )
    return seen == "resend"


def _check_password(token: UsernameToken, nonce: bytes, passwords: Sequence[str], now_ms: int) -> None:
    given = token.password.encode("utf-8")
    if token.password_type == PASSWORD_DIGEST:
        expected = [password_digest(nonce, token.created, password) for password in passwords]
    else:
        expected = list(passwords)
    matches = [hmac.compare_digest(value.encode("utf-8"), given) for value in expected]
    if not any(matches):
        raise AuthError("bad_signature", "用户名或口令不正确", "username or password is not right", now_ms)


def _nonce_bytes(text: str, now_ms: int) -> bytes:
    try:
        nonce = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as bad:
        raise AuthError(
            "bad_signature", "wsse:Nonce 不是 Base64", "wsse:Nonce is not base64", now_ms
        ) from bad
    if not NONCE_BYTES_MIN <= len(nonce) <= NONCE_BYTES_MAX:
        raise AuthError(
            "bad_signature",
            f"wsse:Nonce 应为 {NONCE_BYTES_MIN} 至 {NONCE_BYTES_MAX} 字节",
            f"wsse:Nonce must have {NONCE_BYTES_MIN} to {NONCE_BYTES_MAX} bytes",
            now_ms,
        )
    return nonce


def _created_ms(text: str, now_ms: int) -> int:
    match = _CREATED.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        # xsd:dateTime allows nine fractional digits, Python reads six; without a zone it is UTC (WSS 1.1,
        # section 10).
        fraction = (match[2] or "")[:7]
        zone = "+00:00" if match[3] in (None, "Z") else match[3]
        moment = datetime.fromisoformat(f"{match[1]}{fraction}{zone}")
    except ValueError as bad:
        raise AuthError(
            "bad_timestamp", "wsu:Created 不是 xsd:dateTime", "wsu:Created is not an xsd:dateTime", now_ms
        ) from bad
    return int(moment.timestamp() * 1000)
