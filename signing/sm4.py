"""SM4 in the two modes this project uses: GCM for what we keep, CBC for formats that prescribe it.
No key management here; keys, nonces and IVs are arguments. Every refusal is a SigningError.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from signing.errors import SigningError

SM4_KEY_BYTES = 16
SM4_BLOCK_BYTES = 16
SM4_NONCE_BYTES = 12
SM4_TAG_BYTES = 16


def sm4_gcm_encrypt(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes = b"") -> bytes:
    """Ciphertext || 16-byte tag (GB/T 17964, RFC 8998). A nonce (12 bytes) must never repeat under one
    key."""
    _check_sm4(key, nonce, SM4_NONCE_BYTES)
    encryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(associated)
    return encryptor.update(plaintext) + encryptor.finalize() + encryptor.tag


def sm4_gcm_decrypt(key: bytes, nonce: bytes, sealed: bytes, associated: bytes = b"") -> bytes:
    """The plaintext; SigningError when a single bit of nonce, data, tag or associated data differs."""
    _check_sm4(key, nonce, SM4_NONCE_BYTES)
    if len(sealed) < SM4_TAG_BYTES:
        raise SigningError("SM4-GCM ciphertext", "shorter than its tag", "RFC 8998")
    decryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce, sealed[-SM4_TAG_BYTES:])).decryptor()
    decryptor.authenticate_additional_data(associated)
    try:
        return decryptor.update(sealed[:-SM4_TAG_BYTES]) + decryptor.finalize()
    except InvalidTag:
        raise SigningError("SM4-GCM ciphertext", "was changed, or the key is another", "RFC 8998") from None


def sm4_cbc_encrypt(key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    """CBC with PKCS#7 padding, for formats that prescribe it; it does not protect against change."""
    _check_sm4(key, iv, SM4_BLOCK_BYTES)
    padder = padding.PKCS7(8 * SM4_BLOCK_BYTES).padder()
    encryptor = Cipher(algorithms.SM4(key), modes.CBC(iv)).encryptor()
    return encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()


def sm4_cbc_decrypt(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    _check_sm4(key, iv, SM4_BLOCK_BYTES)
    if not ciphertext or len(ciphertext) % SM4_BLOCK_BYTES:
        raise SigningError(
            "SM4-CBC ciphertext", f"must be whole blocks of {SM4_BLOCK_BYTES} bytes", "GB/T 17964"
        )
    decryptor = Cipher(algorithms.SM4(key), modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(8 * SM4_BLOCK_BYTES).unpadder()
    try:
        return unpadder.update(decryptor.update(ciphertext) + decryptor.finalize()) + unpadder.finalize()
    except ValueError:
        raise SigningError("SM4-CBC ciphertext", "wrong key or changed data", "GB/T 17964") from None


def _check_sm4(key: bytes, iv: bytes, iv_bytes: int) -> None:
    if len(key) != SM4_KEY_BYTES or len(iv) != iv_bytes:
        raise SigningError("SM4 key and IV", f"need {SM4_KEY_BYTES} and {iv_bytes} bytes", "GB/T 32907")
