"""Private keys at rest: PKCS#8 files encrypted with a passphrase, and which key of several is in force when.
A key in clear is neither written nor read here; passphrases come from the caller and are kept nowhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from signing import der, sm2_math
from signing.errors import SigningError
from signing.pem import pem
from signing.provider import PrivateKey, SoftwareProvider
from signing.remote import read_reference

KEY_FILE_BYTES_MAX = 32 * 1024
PASSPHRASE_BYTES_MIN = 12
PBKDF2_ROUNDS = 600_000
PBKDF2_ROUNDS_MIN, PBKDF2_ROUNDS_MAX = 1_000, 5_000_000
_SALT_BYTES, _SALT_BYTES_MAX, _BLOCK_BYTES = 16, 64, 16
_STANDARD = "RFC 5958 / RFC 8018"

_OID_PBES2 = "1.2.840.113549.1.5.13"
_OID_PBKDF2 = "1.2.840.113549.1.5.12"
_OID_HMAC_SHA256 = "1.2.840.113549.2.9"
# Cipher → OID, key length in bytes.
CipherName = Literal["SM4-CBC", "AES-256-CBC"]
_CIPHERS: dict[CipherName, tuple[str, int]] = {
    "SM4-CBC": ("1.2.156.10197.1.104.2", 16),
    "AES-256-CBC": ("2.16.840.1.101.3.4.1.42", 32),
}
_PEM = re.compile(rb"-----BEGIN ([A-Z ]{1,40})-----\s([A-Za-z0-9+/=\s]+)-----END \1-----\s*")
_LABEL = b"ENCRYPTED PRIVATE KEY"


def encode_key(
    key: PrivateKey, passphrase: bytes, *, cipher: CipherName = "SM4-CBC", rounds: int = PBKDF2_ROUNDS
) -> bytes:
    """EncryptedPrivateKeyInfo in PEM (RFC 5958, PBES2 with PBKDF2-HMAC-SHA256): OpenSSL 3 reads it too."""
    if key.held_by is not None:
        raise SigningError("key", "is held by a signature server and never leaves it", _STANDARD)
    if len(passphrase) < PASSPHRASE_BYTES_MIN:
        raise SigningError("passphrase", f"must have at least {PASSPHRASE_BYTES_MIN} bytes")
    oid, key_bytes = _CIPHERS[cipher]
    salt, iv = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_BLOCK_BYTES)
    padder = padding.PKCS7(8 * _BLOCK_BYTES).padder()
    clear = padder.update(_private_key_info(key)) + padder.finalize()
    encryptor = _cipher(cipher, _derive(passphrase, salt, rounds, key_bytes), iv).encryptor()
    kdf = der.make_sequence(
        der.make_oid(_OID_PBKDF2),
        der.make_sequence(
            der.make_octets(salt),
            der.make_integer(rounds),
            der.make_integer(key_bytes),
            der.make_sequence(der.make_oid(_OID_HMAC_SHA256), der.tlv(der.NULL, b"")),
        ),
    )
    scheme = der.make_sequence(der.make_oid(oid), der.make_octets(iv))
    algorithm = der.make_sequence(der.make_oid(_OID_PBES2), der.make_sequence(kdf, scheme))
    whole = der.make_sequence(algorithm, der.make_octets(encryptor.update(clear) + encryptor.finalize()))
    return pem(_LABEL, whole)


def decode_key(text: bytes, passphrase: bytes, provider: SoftwareProvider) -> PrivateKey:
    """The key of an encrypted PEM file. Raises SigningError: malformed, in clear, wrong passphrase."""
    if len(text) > KEY_FILE_BYTES_MAX:
        raise SigningError("key file", f"longer than {KEY_FILE_BYTES_MAX} bytes", _STANDARD)
    match = _PEM.fullmatch(text.strip() + b"\n")
    if match is None:
        raise SigningError("key file", "is not one PEM block", _STANDARD)
    if match[1] != _LABEL:
        raise SigningError("key file", f"must be {_LABEL.decode()}, never a key in clear", _STANDARD)
    try:
        whole = base64.b64decode(b"".join(match[2].split()), validate=True)
    except binascii.Error as bad:
        raise SigningError("key file", "is not base64", _STANDARD) from bad
    clear = _decrypt(whole, passphrase)
    try:
        return _read_private_key_info(clear, provider)
    except SigningError:
        # One passphrase in 256 gives good padding: what follows is then garbage, and not worth describing.
        raise _wrong_passphrase() from None


def write_key(path: Path, key: PrivateKey, passphrase: bytes, *, cipher: CipherName = "SM4-CBC") -> None:
    """Write a new key file, mode 0600, complete or not at all. An existing file is never overwritten."""
    text = encode_key(key, passphrase, cipher=cipher)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def load_key(path: Path, passphrase: bytes, provider: SoftwareProvider) -> PrivateKey:
    """Read a key file, or a reference to a key in a signature server. Raises OSError, or SigningError also
    when others than its owner may read the file."""
    mode = path.stat().st_mode
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise SigningError(f"key file {path.name}", "must be readable by its owner only (chmod 600)")
    with path.open("rb") as file:
        text = file.read(KEY_FILE_BYTES_MAX + 1)
    if text.lstrip()[:1] == b"{":
        return read_reference(text, path.parent)
    return decode_key(text, passphrase, provider)


def _private_key_info(key: PrivateKey) -> bytes:
    """PrivateKeyInfo (RFC 5958): for SM2 around an ECPrivateKey (RFC 5915), otherwise the PKCS#8 that we
    hold."""
    if key.public.kind != "SM2":
        return key.secret
    curve = der.make_sequence(der.make_oid(sm2_math.OID_EC_PUBLIC_KEY), der.make_oid(sm2_math.OID_SM2_CURVE))
    inner = sm2_math.private_key_der(key.secret, key.public.point)
    return der.make_sequence(der.make_integer(0), curve, der.make_octets(inner))


def _read_private_key_info(clear: bytes, provider: SoftwareProvider) -> PrivateKey:
    root = der.parse(clear, "PrivateKeyInfo")
    version, algorithm, private = der.sequence(
        root, "version", "algorithm", "privateKey", "attributes", least=3
    )[:3]
    if der.integer(version) not in (0, 1):
        raise SigningError("PrivateKeyInfo.version", "must be 0 or 1", "RFC 5958")
    names = der.sequence(algorithm, "algorithm", "parameters", least=1)
    curve = der.oid(names[1]) if len(names) > 1 and names[1].tag == der.OID else ""
    if curve != sm2_math.OID_SM2_CURVE:
        return provider.pkcs8_key(clear)
    inner = der.children(der.parse(der.octets(private), "ECPrivateKey"), "version", "privateKey")
    if len(inner) < 2:
        raise SigningError("ECPrivateKey", "lacks the private key", "RFC 5915")
    key = provider.sm2_key(der.octets(inner[1]).rjust(sm2_math.FIELD_BYTES, b"\0"))
    # CBC does not protect against change: the public half is the check, so it may not be missing.
    if [node.tag for node in inner[2:]] not in ([0xA0, 0xA1], [0xA1]):
        raise SigningError("ECPrivateKey", "must hold its public key", "RFC 5915")
    (public,) = der.sequence(der.parse(der.tlv(der.SEQUENCE, inner[-1].content), "ECPrivateKey"), "publicKey")
    if der.bits(public) != b"\x04" + key.public.point:
        raise SigningError("ECPrivateKey.publicKey", "is not the private key's", "RFC 5915")
    return key


def _decrypt(whole: bytes, passphrase: bytes) -> bytes:
    algorithm, sealed = der.sequence(der.parse(whole, "key file"), "encryptionAlgorithm", "encryptedData")
    oid, parameters = der.sequence(algorithm, "algorithm", "parameters")
    if der.oid(oid) != _OID_PBES2:
        raise SigningError("key file", "must be encrypted by PBES2", "RFC 8018")
    kdf, scheme = der.sequence(parameters, "keyDerivationFunc", "encryptionScheme")
    cipher_oid, iv = der.sequence(scheme, "algorithm", "iv")
    cipher = next((name for name, (oid_, _) in _CIPHERS.items() if oid_ == der.oid(cipher_oid)), None)
    if cipher is None:
        raise SigningError("key file", f"must be encrypted by {' or '.join(_CIPHERS)}", "RFC 8018")
    salt, rounds = _read_kdf(kdf)
    encrypted = der.octets(sealed)
    if len(der.octets(iv)) != _BLOCK_BYTES or not encrypted or len(encrypted) % _BLOCK_BYTES:
        raise SigningError("key file", f"IV and data must be blocks of {_BLOCK_BYTES} bytes", "RFC 8018")
    decryptor = _cipher(
        cipher, _derive(passphrase, salt, rounds, _CIPHERS[cipher][1]), der.octets(iv)
    ).decryptor()
    unpadder = padding.PKCS7(8 * _BLOCK_BYTES).unpadder()
    try:
        return unpadder.update(decryptor.update(encrypted) + decryptor.finalize()) + unpadder.finalize()
    except ValueError:
        raise _wrong_passphrase() from None


def _read_kdf(kdf: der.Node) -> tuple[bytes, int]:
    oid, parameters = der.sequence(kdf, "algorithm", "parameters")
    salt, rounds, *rest = der.sequence(parameters, "salt", "iterationCount", "keyLength", "prf", least=2)
    prf = next((node for node in rest if node.tag == der.SEQUENCE), None)
    prf_oid = der.oid(der.sequence(prf, "algorithm", "parameters", least=1)[0]) if prf else ""
    if der.oid(oid) != _OID_PBKDF2 or prf_oid != _OID_HMAC_SHA256:
        raise SigningError("key file", "must derive its key by PBKDF2 with HMAC-SHA256", "RFC 8018")
    count = der.integer(rounds)
    if not PBKDF2_ROUNDS_MIN <= count <= PBKDF2_ROUNDS_MAX:
        raise SigningError(
            "key file", f"iteration count must lie in {PBKDF2_ROUNDS_MIN}..{PBKDF2_ROUNDS_MAX}", "RFC 8018"
        )
    if not 8 <= len(der.octets(salt)) <= _SALT_BYTES_MAX:
        raise SigningError("key file", f"salt must have 8 to {_SALT_BYTES_MAX} bytes", "RFC 8018")
    return der.octets(salt), count


def _derive(passphrase: bytes, salt: bytes, rounds: int, key_bytes: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", passphrase, salt, rounds, key_bytes)


def _cipher(name: CipherName, key: bytes, iv: bytes) -> Cipher[modes.CBC]:
    return Cipher(algorithms.SM4(key) if name == "SM4-CBC" else algorithms.AES(key), modes.CBC(iv))


def _wrong_passphrase() -> SigningError:
    return SigningError(
        "key file",
        "wrong passphrase, or the file was changed",
        zh="密钥文件：口令不正确，或文件已被改动",
        en="key file: wrong passphrase, or the file was changed",
    )


@dataclass(frozen=True, slots=True)
class KeyPeriod:
    """One key of several: it signs from `sign_from_ms` until the next one does, and verifies until
    `verify_until_ms`
    (ms since epoch). The overlap is what lets partners change at their own pace."""

    key_id: str
    sign_from_ms: int
    verify_until_ms: int


def signing_key_at(periods: Sequence[KeyPeriod], now_ms: int) -> KeyPeriod:
    """The key that signs at a time: the latest that has begun and has not ended. Raises SigningError when
    none."""
    begun = [p for p in periods if p.sign_from_ms <= now_ms < p.verify_until_ms]
    if not begun:
        raise SigningError(
            "key ring", f"holds no key for the time {now_ms}", zh=f"此时（{now_ms}）没有可用的签名密钥"
        )
    return max(begun, key=lambda p: (p.sign_from_ms, p.key_id))


def verifying_keys_at(periods: Sequence[KeyPeriod], at_ms: int) -> list[KeyPeriod]:
    """The keys whose signatures of a time are believed, newest first."""
    valid = [p for p in periods if p.sign_from_ms <= at_ms < p.verify_until_ms]
    return sorted(valid, key=lambda p: (p.sign_from_ms, p.key_id), reverse=True)
