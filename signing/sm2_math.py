"""SM2 facts and bytes shared by every implementation of the curve: parameters, ZA, encodings of keys and
ciphertext.
Nothing secret is computed here; only a point check and hashing (GB/T 32918-2016/2017, GM/T 0009-2012).
"""

from __future__ import annotations

from functools import lru_cache

from signing import der
from signing.digest import sm3
from signing.errors import SigningError

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
GX = 0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7
GY = 0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0

DEFAULT_ID = b"1234567812345678"
OID_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
OID_SM2_CURVE = "1.2.156.10197.1.301"

FIELD_BYTES = 32
POINT_BYTES = 2 * FIELD_BYTES
SIGNATURE_BYTES_MAX = 72
PLAINTEXT_BYTES_MAX = 255
CIPHERTEXT_BYTES_MAX = 400
_ID_BYTES_MAX = 8191
_STANDARD = "GB/T 32918"

_CURVE = b"".join(v.to_bytes(FIELD_BYTES, "big") for v in (A, B, GX, GY))


def check_point(point: bytes) -> bytes:
    """A public key as x || y (64 bytes), on the curve. Raises SigningError."""
    if len(point) == POINT_BYTES + 1 and point[0] == 4:
        point = point[1:]
    if len(point) != POINT_BYTES:
        raise SigningError("SM2 public key", "must be 04 || x || y", _STANDARD)
    x, y = int.from_bytes(point[:FIELD_BYTES], "big"), int.from_bytes(point[FIELD_BYTES:], "big")
    if x >= P or y >= P or (y * y - (x * x * x + A * x + B)) % P:
        raise SigningError("SM2 public key", "is not a point of the curve", _STANDARD)
    return point


def check_scalar(scalar: bytes) -> bytes:
    """A private key as 32 bytes, 1 ≤ d ≤ n − 2. Raises SigningError."""
    if len(scalar) != FIELD_BYTES or not 1 <= int.from_bytes(scalar, "big") <= N - 2:
        raise SigningError("SM2 private key", "must be 32 bytes with 1 <= d <= n-2", _STANDARD)
    return scalar


@lru_cache(maxsize=4096)
def za(point: bytes, signer_id: bytes = DEFAULT_ID) -> bytes:
    """ZA = SM3(ENTL || ID || a || b || xG || yG || xA || yA), GB/T 32918.2 clause 5.5."""
    if len(signer_id) > _ID_BYTES_MAX:
        raise SigningError("SM2 signer id", f"longer than {_ID_BYTES_MAX} bytes", _STANDARD)
    return sm3((8 * len(signer_id)).to_bytes(2, "big") + signer_id + _CURVE + point)


def message_digest(point: bytes, data: bytes, signer_id: bytes = DEFAULT_ID) -> bytes:
    """e = SM3(ZA || M): the 32 bytes that SM2 signs."""
    return sm3(za(point, signer_id) + data)


def signature_integers(signature: bytes) -> tuple[int, int]:
    """(r, s) of a DER signature, both within 1 … n − 1. Raises SigningError."""
    if len(signature) > SIGNATURE_BYTES_MAX:
        raise SigningError("SM2 signature", f"longer than {SIGNATURE_BYTES_MAX} bytes", "GM/T 0009")
    r, s = (der.integer(n) for n in der.sequence(der.parse(signature, "SM2 signature"), "r", "s"))
    if not (0 < r < N and 0 < s < N):
        raise SigningError("SM2 signature", "r and s must lie in 1..n-1", _STANDARD)
    return r, s


def signature_der(r: int, s: int) -> bytes:
    return der.make_sequence(der.make_integer(r), der.make_integer(s))


def ciphertext_der(raw: bytes, order: str = "C1C3C2") -> bytes:
    """DER (GM/T 0009) of a raw ciphertext 04 || x || y || C3 || C2, or with `order` C1C2C3 the older
    arrangement."""
    head, tail = raw[: POINT_BYTES + 1], raw[POINT_BYTES + 1 :]
    if len(head) != POINT_BYTES + 1 or head[0] != 4 or len(tail) <= FIELD_BYTES:
        raise SigningError("SM2 ciphertext", "must be 04 || x || y || C3 || C2", "GB/T 32918.4")
    if order == "C1C3C2":
        c3, c2 = tail[:FIELD_BYTES], tail[FIELD_BYTES:]
    elif order == "C1C2C3":
        c2, c3 = tail[:-FIELD_BYTES], tail[-FIELD_BYTES:]
    else:
        raise ValueError(f"unknown order {order!r}")
    x, y = int.from_bytes(head[1 : FIELD_BYTES + 1], "big"), int.from_bytes(head[FIELD_BYTES + 1 :], "big")
    return der.make_sequence(
        der.make_integer(x), der.make_integer(y), der.make_octets(c3), der.make_octets(c2)
    )


def check_ciphertext(ciphertext: bytes) -> tuple[bytes, bytes, bytes]:
    """(C1 as x || y on the curve, C3, C2) of a DER ciphertext (GM/T 0009 clause 7.2). Raises SigningError."""
    if len(ciphertext) > CIPHERTEXT_BYTES_MAX:
        raise SigningError("SM2 ciphertext", f"longer than {CIPHERTEXT_BYTES_MAX} bytes", "GM/T 0009")
    x, y, c3, c2 = der.sequence(der.parse(ciphertext, "SM2 ciphertext"), "x", "y", "hash", "cipher")
    coordinates = der.integer(x), der.integer(y)
    if any(not 0 <= c < P for c in coordinates):
        raise SigningError("SM2 ciphertext", "point outside the field", _STANDARD)
    point = check_point(b"".join(c.to_bytes(FIELD_BYTES, "big") for c in coordinates))
    digest, cipher = der.octets(c3), der.octets(c2)
    if len(digest) != FIELD_BYTES or not 1 <= len(cipher) <= PLAINTEXT_BYTES_MAX:
        raise SigningError(
            "SM2 ciphertext", f"needs a 32-byte hash and 1 to {PLAINTEXT_BYTES_MAX} bytes", "GM/T 0009"
        )
    return point, digest, cipher


def ciphertext_raw(ciphertext: bytes, order: str = "C1C3C2") -> bytes:
    """04 || x || y || C3 || C2 (or C1C2C3) of a DER ciphertext."""
    point, c3, c2 = check_ciphertext(ciphertext)
    return b"\x04" + point + (c3 + c2 if order == "C1C3C2" else c2 + c3)


_CURVE_ID = der.make_sequence(der.make_oid(OID_EC_PUBLIC_KEY), der.make_oid(OID_SM2_CURVE))


def public_key_der(point: bytes) -> bytes:
    """SubjectPublicKeyInfo of x || y (RFC 5480 with the SM2 curve)."""
    return der.make_sequence(_CURVE_ID, der.make_bits(b"\x04" + check_point(point)))


def private_key_der(scalar: bytes, point: bytes | None = None) -> bytes:
    """ECPrivateKey (RFC 5915) with the curve and, when known, the public point."""
    parts = [
        der.make_integer(1),
        der.make_octets(check_scalar(scalar)),
        der.make_explicit(0, der.make_oid(OID_SM2_CURVE)),
    ]
    if point is not None:
        parts.append(der.make_explicit(1, der.make_bits(b"\x04" + point)))
    return der.make_sequence(*parts)
