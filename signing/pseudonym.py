"""Keyed pseudonyms of personal identifiers, for headers, indexes and logs.
One way without the key; the same person gives the same pseudonym under one key, whatever the spelling.
"""

from __future__ import annotations

import unicodedata

from signing.digest import hmac_sm3

KEY_BYTES_MIN = 16
PSEUDONYM_BYTES = 16


def pseudonym(identifier: str, key: bytes) -> str:
    """First 16 bytes of HMAC-SM3(key, identifier), 32 hex digits.

    Full-width forms, surrounding spaces and the lower-case x of an identity number are folded first,
    because systems write one person's number in all of these ways. Raises ValueError for a short key or an
    empty identifier.
    """
    if len(key) < KEY_BYTES_MIN:
        raise ValueError(f"key 至少 {KEY_BYTES_MIN} 字节 / needs at least {KEY_BYTES_MIN} bytes")
    folded = unicodedata.normalize("NFKC", identifier).strip().upper()
    if not folded:
        raise ValueError("identifier 不能为空 / must not be empty")
    return hmac_sm3(key, folded.encode("utf-8"))[:PSEUDONYM_BYTES].hex()
