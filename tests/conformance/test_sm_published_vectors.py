"""SM3 and SM4 against the vectors that the package `cryptography-vectors` publishes, read from the installed
package. Nothing of them is written here."""

from collections.abc import Iterator

import cryptography_vectors
import pytest

from signing import digest, sm4

HASH_CASES_MIN = 4


def blocks(name: str) -> Iterator[dict[str, str]]:
    """The cases of one file: blocks of `NAME = value` lines, in the file's order."""
    with cryptography_vectors.open_vector_file(name, "r") as file:
        block: dict[str, str] = {}
        for line in (*file, "\n"):
            name_, is_value, value = line.partition("=")
            if is_value and not line.startswith("#"):
                block[name_.strip().upper()] = value.strip()
            elif block:
                yield block
                block = {}


SM3 = list(blocks("hashes/SM3/oscca.txt"))
CBC = list(blocks("ciphers/SM4/draft-ribose-cfrg-sm4-10-cbc.txt"))
GCM = list(blocks("ciphers/SM4/rfc8998.txt"))


def test_there_are_vectors() -> None:
    assert len(SM3) >= HASH_CASES_MIN
    assert CBC
    assert GCM


@pytest.mark.parametrize("hashed", [digest.sm3, digest.sm3_portable], ids=["sm3", "portable"])
@pytest.mark.parametrize("case", SM3, ids=lambda case: f"{case['LEN']} bits")
def test_sm3(case: dict[str, str], hashed: object) -> None:
    message = bytes.fromhex(case["MSG"])[: int(case["LEN"]) // 8]
    assert callable(hashed)
    assert hashed(message).hex() == case["MD"]


@pytest.mark.parametrize("case", CBC, ids=lambda case: case["COUNT"])
def test_sm4_cbc(case: dict[str, str]) -> None:
    key, iv, plain = (bytes.fromhex(case[name]) for name in ("KEY", "IV", "PLAINTEXT"))
    encrypted = sm4.sm4_cbc_encrypt(key, iv, plain)
    # Ours pads (PKCS#7), the vectors do not: theirs are the blocks before the padding.
    assert encrypted[: len(plain)].hex() == case["CIPHERTEXT"]
    assert sm4.sm4_cbc_decrypt(key, iv, encrypted) == plain


@pytest.mark.parametrize("case", GCM, ids=lambda case: case["COUNT"])
def test_sm4_gcm(case: dict[str, str]) -> None:
    key, nonce, plain, more = (bytes.fromhex(case[name]) for name in ("KEY", "IV", "PLAINTEXT", "AAD"))
    sealed = sm4.sm4_gcm_encrypt(key, nonce, plain, more)
    assert sealed.hex() == case["CIPHERTEXT"] + case["TAG"]
    assert sm4.sm4_gcm_decrypt(key, nonce, sealed, more) == plain
