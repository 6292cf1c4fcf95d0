"""Key/secret tokens for table and SP* callers, who can carry one string in a call and nothing more.
Stateless: a MAC over key, expiry and a tag of the secret, so that any gateway serves it without a session
store.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Sequence

from signing.digest import hmac_sm3
from signing.errors import AuthError

TTL_S_DEFAULT = 2 * 3600
TTL_S_MAX = 24 * 3600
TOKEN_CHARS_MAX = 512
MASTER_BYTES_MIN = 16

_KEY = re.compile(r"[A-Za-z0-9._-]{1,64}")
_VERSION = "1"
_TAG_CHARS = 16
_MAC_BYTES = 24


def issue(key: str, secret: str, now_s: int, ttl_s: int, master: bytes) -> str:
    """A token for a caller whose key and secret the gateway has just checked.

    Shape: base64url(version.key.expires.tag).base64url(mac), safe in XML text, headers and URLs. Raises
    ValueError.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"key 格式不正确 / must match {_KEY.pattern}")
    if not 0 < ttl_s <= TTL_S_MAX:
        raise ValueError(f"ttl_s 应在 1 至 {TTL_S_MAX} 之间 / must lie in 1..{TTL_S_MAX}")
    if len(master) < MASTER_BYTES_MIN:
        raise ValueError(f"master 至少 {MASTER_BYTES_MIN} 字节 / needs at least {MASTER_BYTES_MIN} bytes")
    payload = f"{_VERSION}|{key}|{now_s + ttl_s}|{_secret_tag(secret, master)}".encode("ascii")
    return f"{_encode(payload)}.{_encode(_mac(payload, master))}"


def check(
    token: str, master: bytes | Sequence[bytes], now_s: int, *, secrets: Sequence[str] | None = None
) -> str:
    """The key that a token speaks for. `master` may be two during rotation.

    With `secrets` (the caller's valid secrets now) a token issued under a withdrawn secret is refused
    before it expires. Raises AuthError with code bad_token or token_expired.
    """
    masters = (master,) if isinstance(master, bytes) else tuple(master)
    now_ms = now_s * 1000
    payload, mac = _split(token, now_ms)
    matching = [m for m in masters if hmac.compare_digest(_mac(payload, m), mac)]
    if not matching:
        raise _bad_token(now_ms)
    version, key, expires_s, tag = payload.decode("ascii").split("|")
    if version != _VERSION:
        raise _bad_token(now_ms)
    if now_s >= int(expires_s):
        raise AuthError(
            "token_expired", "令牌已过期，请重新获取", "the token has expired, fetch a new one", now_ms
        )
    if secrets is not None:
        matches = [hmac.compare_digest(tag, _secret_tag(secret, matching[0])) for secret in secrets]
        if not any(matches):
            raise AuthError(
                "bad_token",
                "令牌所依据的密钥已停用，请用新密钥重新获取",
                "the secret behind this token was withdrawn, fetch a new token",
                now_ms,
            )
    return key


def _split(token: str, now_ms: int) -> tuple[bytes, bytes]:
    if len(token) > TOKEN_CHARS_MAX or token.count(".") != 1 or not token.isascii():
        raise _bad_token(now_ms)
    payload, mac = token.split(".")
    try:
        return _decode(payload), _decode(mac)
    except (binascii.Error, ValueError) as bad:
        raise _bad_token(now_ms) from bad


def _mac(payload: bytes, master: bytes) -> bytes:
    return hmac_sm3(master, b"GOVHUB-TOKEN-1\n" + payload)[:_MAC_BYTES]


def _secret_tag(secret: str, master: bytes) -> str:
    return hmac_sm3(master, b"GOVHUB-SECRET-1\n" + secret.encode("utf-8")).hex()[:_TAG_CHARS]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _bad_token(now_ms: int) -> AuthError:
    return AuthError("bad_token", "令牌无效", "the token is not valid", now_ms)
