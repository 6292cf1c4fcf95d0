"""What every other module signs, verifies and encrypts with: one interface, and the software that
implements it.
A provider that keeps its keys elsewhere (signature server, HSM) gives PrivateKey objects whose secret is a
handle.
No key file, certificate or document format lives here.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from signing import der, sm2_math
from signing.digest import sha256
from signing.errors import SigningError
from signing.sm2_gmssl import Gmssl
from signing.sm2_openssl import Libcrypto, Unavailable

KeyKind = Literal["SM2", "RSA", "EC"]
Scheme = Literal["SM2-SM3", "RSA-SHA256", "RSA-PSS-SHA256", "ECDSA-SHA256"]

# Signature algorithm identifiers: GM/T 0006, RFC 4055, RFC 5758.
SCHEME_OIDS: dict[Scheme, str] = {
    "SM2-SM3": "1.2.156.10197.1.501",
    "RSA-SHA256": "1.2.840.113549.1.1.11",
    "RSA-PSS-SHA256": "1.2.840.113549.1.1.10",
    "ECDSA-SHA256": "1.2.840.10045.4.3.2",
}
SCHEMES_BY_OID = {oid: scheme for scheme, oid in SCHEME_OIDS.items()}
_DEFAULT_SCHEME: dict[KeyKind, Scheme] = {"SM2": "SM2-SM3", "RSA": "RSA-SHA256", "EC": "ECDSA-SHA256"}
_KIND_OF_SCHEME: dict[Scheme, KeyKind] = {
    "SM2-SM3": "SM2",
    "RSA-SHA256": "RSA",
    "RSA-PSS-SHA256": "RSA",
    "ECDSA-SHA256": "EC",
}

RSA_BITS = 3072
RSA_BITS_MIN, RSA_BITS_MAX = 2048, 8192
KEY_DER_BYTES_MAX = 16 * 1024
DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class PublicKey:
    """`spki` is the DER SubjectPublicKeyInfo; `point` is x || y for SM2 and empty otherwise."""

    kind: KeyKind
    spki: bytes
    point: bytes = b""


class KeyHolder(Protocol):
    """Where a key is held that does not leave its place: a signature server, an HSM."""

    def sign(self, key: PrivateKey, data: bytes, scheme: Scheme | None = None) -> bytes: ...
    def decrypt(self, key: PrivateKey, ciphertext: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """`secret` is the 32-byte scalar for SM2, PKCS#8 DER otherwise, and a handle when `held_by` holds the
    key. Never shown."""

    public: PublicKey
    secret: bytes = field(repr=False)
    held_by: KeyHolder | None = field(default=None, repr=False, compare=False)


class Sm2(Protocol):
    """One implementation of the curve: scalars of 32 bytes, points x || y, digests e of 32 bytes, DER
    results."""

    def public_point(self, scalar: bytes) -> bytes: ...
    def sign_digest(self, scalar: bytes, digest: bytes) -> bytes: ...
    def verify_digest(self, point: bytes, digest: bytes, signature: bytes) -> bool: ...
    def encrypt(self, point: bytes, plaintext: bytes) -> bytes: ...
    def decrypt(self, scalar: bytes, ciphertext: bytes) -> bytes: ...


class Provider(Protocol):
    """Every method raises SigningError, and only it, for malformed keys, signatures and ciphertexts."""

    def generate(self, kind: KeyKind = "SM2") -> PrivateKey: ...
    def sign(self, key: PrivateKey, data: bytes, scheme: Scheme | None = None) -> bytes: ...
    def verify(self, key: PublicKey, data: bytes, signature: bytes, scheme: Scheme | None = None) -> bool: ...
    def encrypt(self, key: PublicKey, plaintext: bytes) -> bytes: ...
    def decrypt(self, key: PrivateKey, ciphertext: bytes) -> bytes: ...


def read_public_key(spki: bytes) -> PublicKey:
    """A public key from SubjectPublicKeyInfo DER: SM2, RSA 2048…8192 or a NIST curve. Raises SigningError."""
    if len(spki) > KEY_DER_BYTES_MAX:
        raise SigningError("public key", f"longer than {KEY_DER_BYTES_MAX} bytes", "RFC 5280")
    algorithm, bits = der.sequence(der.parse(spki, "public key"), "algorithm", "subjectPublicKey")
    names = der.sequence(algorithm, "algorithm", "parameters", least=1)
    curve = der.oid(names[1]) if len(names) > 1 and names[1].tag == der.OID else ""
    # Some issuers write SM2 keys with the curve as the algorithm too (GM/T 0006 allows neither name
    # elsewhere).
    if curve == sm2_math.OID_SM2_CURVE:
        return PublicKey("SM2", spki, sm2_math.check_point(der.bits(bits)))
    loaded = _load_spki(spki)
    if isinstance(loaded, rsa.RSAPublicKey):
        _check_rsa_bits(loaded.key_size)
        return PublicKey("RSA", spki)
    return PublicKey("EC", spki)


@lru_cache(maxsize=1024)
def _load_spki(spki: bytes) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    try:
        loaded = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as refused:
        raise SigningError("public key", "is not well formed or of an unknown kind", "RFC 5280") from refused
    if not isinstance(loaded, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise SigningError("public key", "must be SM2, RSA or EC", "RFC 5280")
    return loaded


@lru_cache(maxsize=64)
def _load_pkcs8(secret: bytes) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        loaded = serialization.load_der_private_key(secret, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The cause could quote key material: it is not chained.
        raise SigningError("private key", "is not well formed or of an unknown kind", "RFC 5958") from None
    if not isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise SigningError("private key", "must be SM2, RSA or EC", "RFC 5958")
    return loaded


def _check_rsa_bits(bits: int) -> None:
    if not RSA_BITS_MIN <= bits <= RSA_BITS_MAX:
        raise SigningError("RSA key", f"must have {RSA_BITS_MIN} to {RSA_BITS_MAX} bits", "RFC 8017")


def fastest_sm2() -> Sm2:
    """libcrypto where it can do SM2 (its scalar multiplication is the hardened ladder), else gmssl-pyx."""
    try:
        return Libcrypto()
    except Unavailable:
        return Gmssl()


class SoftwareProvider:
    """Keys in memory. SM2 by libcrypto or gmssl-pyx, RSA and ECDSA by `cryptography`."""

    def __init__(self, sm2: Sm2 | None = None) -> None:
        self._sm2 = sm2 or fastest_sm2()

    def generate(self, kind: KeyKind = "SM2") -> PrivateKey:
        """A fresh key: SM2, RSA with 3072 bits, or EC on P-256."""
        if kind == "SM2":
            scalar = (1 + secrets.randbelow(sm2_math.N - 2)).to_bytes(sm2_math.FIELD_BYTES, "big")
            return self.sm2_key(scalar)
        made = (
            rsa.generate_private_key(65537, RSA_BITS)
            if kind == "RSA"
            else ec.generate_private_key(ec.SECP256R1())
        )
        return _international(made)

    def sm2_key(self, scalar: bytes) -> PrivateKey:
        """An SM2 key from its 32-byte scalar."""
        point = self._sm2.public_point(sm2_math.check_scalar(scalar))
        return PrivateKey(PublicKey("SM2", sm2_math.public_key_der(point), point), scalar)

    def pkcs8_key(self, secret: bytes) -> PrivateKey:
        """An RSA or EC key from unencrypted PKCS#8 DER."""
        return _international(_load_pkcs8(secret))

    def sign(self, key: PrivateKey, data: bytes, scheme: Scheme | None = None) -> bytes:
        """DER for SM2 and ECDSA, raw for RSA. SM2 signs with the default ID 1234567812345678. A key that is
        held elsewhere signs there."""
        scheme = scheme_for(key.public, scheme)
        if key.held_by is not None:
            return key.held_by.sign(key, data, scheme)
        return self.sign_digest(key, signed_digest(key.public, data, scheme), scheme)

    def sign_digest(self, key: PrivateKey, digest: bytes, scheme: Scheme) -> bytes:
        """A signature over what `signed_digest` gave: what a signature server is asked for."""
        scheme_for(key.public, scheme)
        if key.held_by is not None:
            raise SigningError("key", "is held elsewhere and signs there only")
        if len(digest) != DIGEST_BYTES:
            raise SigningError("digest", f"must have {DIGEST_BYTES} bytes")
        if scheme == "SM2-SM3":
            return self._sm2.sign_digest(key.secret, digest)
        loaded = _load_pkcs8(key.secret)
        if isinstance(loaded, ec.EllipticCurvePrivateKey):
            return loaded.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        return loaded.sign(digest, _rsa_padding(scheme), Prehashed(hashes.SHA256()))

    def verify(self, key: PublicKey, data: bytes, signature: bytes, scheme: Scheme | None = None) -> bool:
        """Whether the signature is the key's over `data`; SigningError when it is not even well formed."""
        scheme = scheme_for(key, scheme)
        if scheme == "SM2-SM3":
            sm2_math.signature_integers(signature)
            return self._sm2.verify_digest(key.point, sm2_math.message_digest(key.point, data), signature)
        loaded = _load_spki(key.spki)
        try:
            if isinstance(loaded, ec.EllipticCurvePublicKey):
                der.sequence(der.parse(signature, "ECDSA signature"), "r", "s")
                loaded.verify(signature, sha256(data), ec.ECDSA(Prehashed(hashes.SHA256())))
            else:
                loaded.verify(signature, data, _rsa_padding(scheme), hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    def encrypt(self, key: PublicKey, plaintext: bytes) -> bytes:
        """SM2 public-key encryption of 1…255 bytes (a key, a secret): DER of GM/T 0009."""
        if key.kind != "SM2":
            raise SigningError("encryption key", "must be SM2", "GB/T 32918.4")
        if not 1 <= len(plaintext) <= sm2_math.PLAINTEXT_BYTES_MAX:
            raise SigningError(
                "SM2 plaintext", f"must have 1 to {sm2_math.PLAINTEXT_BYTES_MAX} bytes", "GB/T 32918.4"
            )
        return self._sm2.encrypt(sm2_math.check_point(key.point), plaintext)

    def decrypt(self, key: PrivateKey, ciphertext: bytes) -> bytes:
        """The plaintext of an SM2 DER ciphertext."""
        if key.public.kind != "SM2":
            raise SigningError("decryption key", "must be SM2", "GB/T 32918.4")
        sm2_math.check_ciphertext(ciphertext)
        if key.held_by is not None:
            return key.held_by.decrypt(key, ciphertext)
        return self._sm2.decrypt(key.secret, ciphertext)


def _international(loaded: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> PrivateKey:
    if isinstance(loaded, rsa.RSAPrivateKey):
        _check_rsa_bits(loaded.key_size)
    spki = loaded.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    secret = loaded.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return PrivateKey(read_public_key(spki), secret)


def signed_digest(key: PublicKey, data: bytes, scheme: Scheme) -> bytes:
    """The 32 bytes that a scheme signs for `data`: e = SM3(ZA || M) for SM2, SHA-256 otherwise."""
    return sm2_math.message_digest(key.point, data) if scheme == "SM2-SM3" else sha256(data)


def scheme_for(key: PublicKey, scheme: Scheme | None) -> Scheme:
    """The scheme, or the key's usual one when None. Raises SigningError when it does not fit the key."""
    scheme = scheme or _DEFAULT_SCHEME[key.kind]
    if _KIND_OF_SCHEME.get(scheme) != key.kind:
        raise SigningError("signature algorithm", f"{scheme} does not fit a key of kind {key.kind}")
    return scheme


def _rsa_padding(scheme: Scheme) -> rsa_padding.AsymmetricPadding:
    if scheme == "RSA-PSS-SHA256":
        return rsa_padding.PSS(rsa_padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
    return rsa_padding.PKCS1v15()
