"""HTTP request authentication: the byte-exact canonical string, its MAC and the verifier of both.
No HTTP library and no key store here: headers, bytes and keys come in as plain values.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from signing.digest import hmac_sha256, hmac_sm3, sha256_hex, sm3_hex
from signing.errors import AuthError
from signing.nonces import NonceMemory

HEADER_MEMBER = "X-Hub-Member"
HEADER_TIMESTAMP = "X-Hub-Timestamp"
HEADER_NONCE = "X-Hub-Nonce"
HEADER_ALGORITHM = "X-Hub-Algorithm"
HEADER_SIGNATURE = "X-Hub-Signature"

_LOWER = {
    name: name.lower()
    for name in (HEADER_MEMBER, HEADER_TIMESTAMP, HEADER_NONCE, HEADER_ALGORITHM, HEADER_SIGNATURE)
}

HMAC_SHA256 = "HMAC-SHA256"
HMAC_SM3 = "HMAC-SM3"

SKEW_MS_DEFAULT = 5 * 60_000
SKEW_MS_MAX = 15 * 60_000
PATH_AND_QUERY_BYTES_MAX = 8192

# The first line of what is signed: a MAC made for this purpose can never pass for one made for another.
CANONICAL_TAG = "GOVHUB-HMAC-1"

_MEMBER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{8,64}")
_TIMESTAMP = re.compile(r"[0-9]{12,14}")
_METHOD = re.compile(r"[A-Z]{1,16}")
_PATH = re.compile(r"/[\x21-\x7e]*")
_BODY_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Algorithm:
    mac: Callable[[bytes, bytes], bytes]
    body_hex: Callable[[bytes], str]


_ALGORITHMS = {
    HMAC_SHA256: _Algorithm(hmac_sha256, sha256_hex),
    HMAC_SM3: _Algorithm(hmac_sm3, sm3_hex),
}
ALGORITHMS = tuple(_ALGORITHMS)


@dataclass(frozen=True, slots=True)
class Verified:
    """A request whose signature holds. `signed_digest` (64 hex) identifies the signed bytes, hence the
    body too; `resend` says that this process saw the same nonce with the same signed bytes before."""

    member: str
    timestamp_ms: int
    nonce: str
    signed_digest: str
    resend: bool
    algorithm: str


def canonical_string(
    method: str, path_and_query: str, member: str, timestamp: str, nonce: str, body_sha_hex: str
) -> bytes:
    """The signed bytes: seven lines of ASCII joined by LF, no LF at the end.

    GOVHUB-HMAC-1, METHOD in capitals, path and query exactly as on the request line (percent-encoded, no
    scheme, host or fragment), member, timestamp (ms since epoch, decimal), nonce, lower-case hex digest of
    the body bytes as sent (of zero bytes when there is no body). Raises ValueError when a part cannot be
    written so.
    """
    method = method.upper()
    for name, value, pattern in (
        ("method", method, _METHOD),
        ("path_and_query", path_and_query, _PATH),
        ("member", member, _MEMBER),
        ("timestamp", timestamp, _TIMESTAMP),
        ("nonce", nonce, _NONCE),
        ("body_sha_hex", body_sha_hex, _BODY_HEX),
    ):
        if not pattern.fullmatch(value):
            raise ValueError(f"{name} 不能签名 / cannot be signed: must match {pattern.pattern}")
    if len(path_and_query) > PATH_AND_QUERY_BYTES_MAX:
        raise ValueError(f"path_and_query 过长 / too long: at most {PATH_AND_QUERY_BYTES_MAX} bytes")
    return _joined(method, path_and_query, member, timestamp, nonce, body_sha_hex)


def _joined(*parts: str) -> bytes:
    return "\n".join((CANONICAL_TAG, *parts)).encode("ascii")


def sign_request(
    key: bytes,
    member: str,
    method: str,
    path_and_query: str,
    body: bytes,
    *,
    algorithm: str = HMAC_SHA256,
    timestamp_ms: int,
    nonce: str,
) -> dict[str, str]:
    """The five headers of a signed request. `key` is the shared secret's bytes. Raises ValueError."""
    chosen = _ALGORITHMS.get(algorithm)
    if chosen is None:
        raise ValueError(f"algorithm 未知 / unknown: {algorithm!r}, use one of {', '.join(ALGORITHMS)}")
    if not key:
        raise ValueError("key 不能为空 / must not be empty")
    timestamp = str(timestamp_ms)
    signed = canonical_string(method, path_and_query, member, timestamp, nonce, chosen.body_hex(body))
    return {
        HEADER_MEMBER: member,
        HEADER_TIMESTAMP: timestamp,
        HEADER_NONCE: nonce,
        HEADER_ALGORITHM: algorithm,
        HEADER_SIGNATURE: base64.b64encode(chosen.mac(key, signed)).decode("ascii"),
    }


def header_of(headers: Mapping[str, str], name: str) -> str | None:
    """A header by name whatever its case, from a plain or a case-insensitive mapping."""
    wanted = _LOWER.get(name) or name.lower()
    value = headers.get(wanted)  # as servers give them
    if value is None:
        value = headers.get(name)
    if value is None:
        value = next((v for k, v in headers.items() if k.lower() == wanted), None)
    return value


def claimed_member(headers: Mapping[str, str]) -> str | None:
    """Who the request says it is from: what a gateway looks the keys up by. Not yet verified."""
    return header_of(headers, HEADER_MEMBER)


class _Claim(NamedTuple):
    # As the headers had it, each part held to its pattern.
    member: str
    timestamp: str
    nonce: str
    algorithm: str
    signature: bytes


class Verifier:
    """Verifies signed requests for one process; its nonce memory is bounded and belongs to it alone."""

    def __init__(self, nonces_max: int = 200_000) -> None:
        self._nonces = NonceMemory(nonces_max)

    def verify(
        self,
        headers: Mapping[str, str],
        method: str,
        path_and_query: str,
        body: bytes,
        *,
        keys: Sequence[bytes],
        now_ms: int,
        skew_ms: int = SKEW_MS_DEFAULT,
    ) -> Verified:
        """Check one request against the member's valid keys (two during rotation, none = unknown member).

        `skew_ms` is capped at 15 minutes. Raises AuthError with code missing_header, bad_member,
        bad_timestamp, clock_skew, bad_signature or nonce_conflict; every one carries the server's time.
        """
        skew_ms = min(skew_ms, SKEW_MS_MAX)
        claim = _read_claim(headers, now_ms)
        timestamp_ms = int(claim.timestamp)
        if abs(now_ms - timestamp_ms) > skew_ms:
            raise _clock_skew(timestamp_ms, now_ms, skew_ms)
        if not keys:
            raise _error(
                "bad_member",
                HEADER_MEMBER,
                "未知成员，或未登记密钥",
                "unknown member, or no key on file",
                now_ms,
            )
        chosen = _ALGORITHMS[claim.algorithm]
        try:
            signed = _signed_bytes(method, path_and_query, claim, chosen.body_hex(body))
        except ValueError as bad:
            raise AuthError(
                "bad_signature", f"请求行不能签名：{bad}", f"request line: {bad}", now_ms
            ) from bad
        # No early exit: the time taken must not tell which of two keys came close.
        matches = [hmac.compare_digest(chosen.mac(key, signed), claim.signature) for key in keys if key]
        if not any(matches):
            raise _error(
                "bad_signature",
                HEADER_SIGNATURE,
                "与请求内容不符，请核对待签名串与密钥",
                "does not match the request; compare the canonical string and the key",
                now_ms,
            )
        signed_digest = chosen.body_hex(signed)
        seen = self._nonces.see(
            claim.member, claim.nonce, signed_digest, now_ms=now_ms, keep_until_ms=timestamp_ms + skew_ms
        )
        if seen == "conflict":
            raise _error(
                "nonce_conflict",
                HEADER_NONCE,
                "该随机数已用于其他内容，每个新请求必须使用新的随机数",
                "this nonce was used with other content; every new request needs a new nonce",
                now_ms,
            )
        return Verified(
            claim.member, timestamp_ms, claim.nonce, signed_digest, seen == "resend", claim.algorithm
        )


def _signed_bytes(method: str, path_and_query: str, claim: _Claim, body_hex: str) -> bytes:
    """As canonical_string, without a second look at what _read_claim has held to the same patterns. Raises
    ValueError."""
    if (
        len(path_and_query) <= PATH_AND_QUERY_BYTES_MAX
        and _METHOD.fullmatch(method)
        and _PATH.fullmatch(path_and_query)
    ):
        return _joined(method, path_and_query, claim.member, claim.timestamp, claim.nonce, body_hex)
    return canonical_string(method, path_and_query, claim.member, claim.timestamp, claim.nonce, body_hex)


def _read_claim(headers: Mapping[str, str], now_ms: int) -> _Claim:
    values: dict[str, str] = {}
    for name in (HEADER_MEMBER, HEADER_TIMESTAMP, HEADER_NONCE, HEADER_ALGORITHM, HEADER_SIGNATURE):
        value = header_of(headers, name)
        if not value:
            raise _error("missing_header", name, "缺少该请求头", "header is missing", now_ms)
        values[name] = value
    if not _MEMBER.fullmatch(values[HEADER_MEMBER]):
        raise _error(
            "bad_member", HEADER_MEMBER, "成员标识格式不正确", f"must match {_MEMBER.pattern}", now_ms
        )
    if not _TIMESTAMP.fullmatch(values[HEADER_TIMESTAMP]):
        raise _error(
            "bad_timestamp",
            HEADER_TIMESTAMP,
            "应为 1970-01-01 UTC 起的毫秒数（十进制）",
            "must be decimal milliseconds since 1970-01-01 UTC",
            now_ms,
        )
    if not _NONCE.fullmatch(values[HEADER_NONCE]):
        raise _error(
            "missing_header",
            HEADER_NONCE,
            "应为 8 至 64 位字母、数字、_ 或 -",
            f"must match {_NONCE.pattern}",
            now_ms,
        )
    if values[HEADER_ALGORITHM] not in _ALGORITHMS:
        accepted = " 或 ".join(ALGORITHMS), " or ".join(ALGORITHMS)
        raise _error(
            "bad_signature", HEADER_ALGORITHM, f"应为 {accepted[0]}", f"must be {accepted[1]}", now_ms
        )
    try:
        signature = base64.b64decode(values[HEADER_SIGNATURE], validate=True)
    except (binascii.Error, ValueError) as bad:
        raise _error("bad_signature", HEADER_SIGNATURE, "不是 Base64", "is not base64", now_ms) from bad
    return _Claim(
        values[HEADER_MEMBER],
        values[HEADER_TIMESTAMP],
        values[HEADER_NONCE],
        values[HEADER_ALGORITHM],
        signature,
    )


def _error(code: str, field: str, zh: str, en: str, now_ms: int) -> AuthError:
    return AuthError(code, f"{field}：{zh}", f"{field}: {en}", now_ms)


def _clock_skew(timestamp_ms: int, now_ms: int, skew_ms: int) -> AuthError:
    off_s = (timestamp_ms - now_ms) / 1000
    return _error(
        "clock_skew",
        HEADER_TIMESTAMP,
        f"与服务器时间相差 {off_s:+.0f} 秒，超过允许的 ±{skew_ms // 1000} 秒；服务器时间 {now_ms}",
        f"is {off_s:+.0f} s off the server's clock, allowed ±{skew_ms // 1000} s; server time {now_ms}",
        now_ms,
    )
