"""SM3 and SHA-256, and their keyed forms, as fast as this interpreter allows.
Only hashing lives here; who uses a hash for what is the caller's affair.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from importlib import import_module

SM3_BLOCK_BYTES = 64
HASHLIB_HAS_SM3 = "sm3" in hashlib.algorithms_available


def sm3_portable(data: bytes) -> bytes:
    """SM3 by gmssl-pyx, for interpreters whose OpenSSL was built without it."""
    digest: bytes = import_module("gmssl_pyx").sm3_hash(bytes(data))
    return digest


def _probe() -> Callable[[bytes], bytes] | None:
    """SM3 by OpenSSL, or None. Listed is not always usable (FIPS builds): try it once."""
    if not HASHLIB_HAS_SM3:
        return None
    try:
        fresh = hashlib.new("sm3", usedforsecurity=False)
    except ValueError:
        return None

    def digest(data: bytes) -> bytes:
        # A copy: OpenSSL 3 looks an algorithm up by name for every new one, which takes as long as hashing.
        state = fresh.copy()
        state.update(data)
        return state.digest()

    return digest


_sm3_openssl = _probe()
_sm3 = _sm3_openssl or sm3_portable


def sm3(data: bytes) -> bytes:
    """SM3 digest, 32 bytes (GB/T 32905-2016)."""
    return _sm3(data)


def sm3_hex(data: bytes) -> str:
    """SM3 digest, 64 lower-case hex digits (GB/T 32905-2016)."""
    return _sm3(data).hex()


def sha256(data: bytes) -> bytes:
    """SHA-256 digest, 32 bytes (FIPS 180-4)."""
    return hashlib.sha256(data).digest()


def sha256_hex(data: bytes) -> str:
    """SHA-256 digest, 64 lower-case hex digits (FIPS 180-4)."""
    return hashlib.sha256(data).hexdigest()


def hmac_sm3_portable(key: bytes, data: bytes) -> bytes:
    """HMAC over `sm3` written out (RFC 2104, block 64 bytes), for interpreters without SM3 in OpenSSL."""
    if len(key) > SM3_BLOCK_BYTES:
        key = sm3(key)
    padded = key.ljust(SM3_BLOCK_BYTES, b"\0")
    inner = sm3(bytes(b ^ 0x36 for b in padded) + data)
    return sm3(bytes(b ^ 0x5C for b in padded) + inner)


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    """HMAC-SM3, 32 bytes (RFC 2104 with GB/T 32905-2016)."""
    if _sm3_openssl is not None:
        return hmac.digest(key, data, "sm3")
    return hmac_sm3_portable(key, data)


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA256, 32 bytes (RFC 2104 with FIPS 180-4)."""
    return hmac.digest(key, data, "sha256")
