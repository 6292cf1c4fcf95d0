"""SM2 by gmssl-pyx: the portable implementation, for machines whose libcrypto lacks SM2.
Same shape as sm2_openssl.Libcrypto; the library's own errors never leave this module.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from signing import sm2_math
from signing.errors import SigningError


class Gmssl:
    """SM2 operations on raw keys (scalar 32 bytes, point x || y 64 bytes) and 32-byte digests."""

    def __init__(self) -> None:
        self._lib: Any = import_module("gmssl_pyx")

    def public_point(self, scalar: bytes) -> bytes:
        """x || y of a private key. gmssl-pyx has no such call: signing with a wrong public key is how it
        would show, so the multiplication is done here. Only for loading a key that came without its public
        half."""
        return _multiply_generator(int.from_bytes(sm2_math.check_scalar(scalar), "big"))

    def sign_digest(self, scalar: bytes, digest: bytes) -> bytes:
        return self._call("SM2 signature", "sm2_sign_sm3_digest", sm2_math.check_scalar(scalar), digest)

    def verify_digest(self, point: bytes, digest: bytes, signature: bytes) -> bool:
        try:
            good = self._lib.sm2_verify_sm3_digest(sm2_math.check_point(point), digest, signature)
        except self._lib.GmsslInnerError:
            return False
        return bool(good)

    def encrypt(self, point: bytes, plaintext: bytes) -> bytes:
        return self._call("SM2 encryption", "sm2_encrypt", sm2_math.check_point(point), plaintext)

    def decrypt(self, scalar: bytes, ciphertext: bytes) -> bytes:
        return self._call("SM2 ciphertext", "sm2_decrypt", sm2_math.check_scalar(scalar), ciphertext)

    def _call(self, field: str, name: str, *args: bytes) -> bytes:
        try:
            return bytes(getattr(self._lib, name)(*args))
        except self._lib.GmsslInnerError as refused:
            raise SigningError(field, "refused by gmssl", "GB/T 32918") from refused


def _multiply_generator(scalar: int) -> bytes:
    """d·G with a Montgomery ladder: the same steps whatever the bits (big-integer time still varies a
    little)."""
    p = sm2_math.P
    low: tuple[int, int, int] = (0, 1, 0)
    high: tuple[int, int, int] = (sm2_math.GX, sm2_math.GY, 1)
    for bit in range(255, -1, -1):
        if scalar >> bit & 1:
            low, high = _add(low, high), _double(high)
        else:
            low, high = _double(low), _add(low, high)
    x, y, z = low
    inverse = pow(z, -1, p)
    return (x * inverse**2 % p).to_bytes(32, "big") + (y * inverse**3 % p).to_bytes(32, "big")


def _double(point: tuple[int, int, int]) -> tuple[int, int, int]:
    """Jacobian doubling for a = −3."""
    p = sm2_math.P
    x, y, z = point
    if z == 0:
        return point
    delta, gamma = z * z % p, y * y % p
    beta, alpha = x * gamma % p, 3 * (x - delta) * (x + delta) % p
    x3 = (alpha * alpha - 8 * beta) % p
    return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % p, ((y + z) ** 2 - gamma - delta) % p


def _add(one: tuple[int, int, int], two: tuple[int, int, int]) -> tuple[int, int, int]:
    """Jacobian addition of different points (the ladder never adds equal ones)."""
    p = sm2_math.P
    (x1, y1, z1), (x2, y2, z2) = one, two
    if z1 == 0:
        return two
    if z2 == 0:
        return one
    zz1, zz2 = z1 * z1 % p, z2 * z2 % p
    u1, u2 = x1 * zz2 % p, x2 * zz1 % p
    s1, s2 = y1 * z2 * zz2 % p, y2 * z1 * zz1 % p
    h, r = (u2 - u1) % p, (s2 - s1) % p
    h2 = h * h % p
    h3, v = h * h2 % p, u1 * h2 % p
    x3 = (r * r - h3 - 2 * v) % p
    return x3, (r * (v - x3) - s1 * h3) % p, h * z1 * z2 % p
