"""SM2, SM3 and SM4 against the standards' own examples, against a second implementation written out here with
nothing but integers, and against the OpenSSL command line.

Provenance: SM3 GB/T 32905-2016 annex A; SM4 GB/T 32907-2016 annex A; SM2 GB/T 32918.5-2017 annexes A and C;
SM4-GCM RFC 8998 appendix A.1.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from signing import digest, sm2_math, sm4
from signing.errors import SigningError
from signing.provider import Sm2, SoftwareProvider
from signing.sm2_gmssl import Gmssl
from signing.sm2_openssl import Libcrypto, Unavailable

OPENSSL = shutil.which("openssl")

D = bytes.fromhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8")
POINT = bytes.fromhex(
    "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
    "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
)
ZA = bytes.fromhex("B2E14C5C79C6DF5B85F4FE7ED8DB7A262B9DA7E07CCB0EA9F4747B8CCDA8A4F3")
E = bytes.fromhex("F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640")
K = 0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA
CIPHERTEXT = bytes.fromhex(
    "04"
    "04EBFC718E8D1798620432268E77FEB6415E2EDE0E073C0F4F640ECD2E149A73"
    "E858F9D81E5430A57B36DAAB8F950A3C64E6EE6A63094D99283AFF767E124DF0"
    "59983C18F809E262923C53AEC295D30383B54E39D609D160AFCB1908D0BD8766"
    "21886CA989CA9C7D58087307CA93092D651EFA"
)


def implementations() -> list[Sm2]:
    found: list[Sm2] = [Gmssl()]
    with contextlib.suppress(Unavailable):
        found.insert(0, Libcrypto())
    return found


@pytest.fixture(params=implementations(), ids=lambda i: type(i).__name__)
def sm2(request: pytest.FixtureRequest) -> Sm2:
    implementation: Sm2 = request.param
    return implementation


# A second SM2: affine, slow, only integers.
Affine = tuple[int, int] | None


def add(one: Affine, two: Affine) -> Affine:
    if one is None or two is None:
        return one or two
    (x1, y1), (x2, y2) = one, two
    if x1 == x2 and (y1 + y2) % sm2_math.P == 0:
        return None
    if one == two:
        slope = (3 * x1 * x1 + sm2_math.A) * pow(2 * y1, -1, sm2_math.P)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, sm2_math.P)
    x3 = (slope * slope - x1 - x2) % sm2_math.P
    return x3, (slope * (x1 - x3) - y1) % sm2_math.P


def multiply(scalar: int, point: Affine) -> Affine:
    result: Affine = None
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


GENERATOR = (sm2_math.GX, sm2_math.GY)


def point_bytes(point: Affine) -> bytes:
    assert point
    return b"".join(v.to_bytes(32, "big") for v in point)


def reference_sign(d: int, e: int, k: int) -> tuple[int, int]:
    at = multiply(k, GENERATOR)
    assert at
    r = (e + at[0]) % sm2_math.N
    return r, pow(1 + d, -1, sm2_math.N) * (k - r * d) % sm2_math.N


def reference_verify(point: bytes, e: bytes, r: int, s: int) -> bool:
    key = int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big")
    at = add(multiply(s, GENERATOR), multiply((r + s) % sm2_math.N, key))
    return at is not None and (int.from_bytes(e, "big") + at[0]) % sm2_math.N == r


def kdf(shared: bytes, length: int) -> bytes:
    blocks = (digest.sm3(shared + n.to_bytes(4, "big")) for n in range(1, length // 32 + 2))
    return b"".join(blocks)[:length]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
        (b"abcd" * 16, "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"),
        (b"", "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b"),
    ],
)
def test_sm3_annex_a(data: bytes, expected: str) -> None:
    assert digest.sm3_hex(data) == expected
    assert digest.sm3_portable(data).hex() == expected


SM4_KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")


def test_sm4_annex_a_once_and_a_million_times() -> None:
    """CBC over zero blocks with the plaintext as IV encrypts again and again what it just encrypted."""
    chain = sm4.sm4_cbc_encrypt(SM4_KEY, SM4_KEY, bytes(16 * 1_000_000))
    assert chain[:16].hex() == "681edf34d206965e86b3e94f536e4246"
    assert chain[16 * 999_999 :][:16].hex() == "595298c7c6fd271f0402f804c33d3f66"


def test_sm4_gcm_rfc_8998() -> None:
    plaintext = b"".join(bytes([octet]) * 8 for octet in b"\xaa\xbb\xcc\xdd\xee\xff\xee\xaa")
    nonce = bytes.fromhex("00001234567800000000abcd")
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    sealed = sm4.sm4_gcm_encrypt(SM4_KEY, nonce, plaintext, associated)
    assert sealed.hex() == (
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
        "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
        "83de3541e4c2b58177e065a9bf7b62ec"
    )
    assert sm4.sm4_gcm_decrypt(SM4_KEY, nonce, sealed, associated) == plaintext


def test_sm2_za_and_e() -> None:
    assert sm2_math.za(POINT) == ZA
    assert sm2_math.message_digest(POINT, b"message digest") == E


def test_the_second_implementation_reproduces_annex_a() -> None:
    assert point_bytes(multiply(int.from_bytes(D, "big"), GENERATOR)) == POINT
    assert reference_sign(int.from_bytes(D, "big"), int.from_bytes(E, "big"), K) == (R, S)


def test_sm2_annex_a_verifies(sm2: Sm2) -> None:
    signature = sm2_math.signature_der(R, S)
    assert sm2.public_point(D) == POINT
    assert sm2.verify_digest(POINT, E, signature)
    assert SoftwareProvider(sm2).verify(SoftwareProvider(sm2).sm2_key(D).public, b"message digest", signature)
    assert not sm2.verify_digest(POINT, digest.sm3(b""), signature)


def test_sm2_fresh_signatures_verify_by_the_second_implementation(sm2: Sm2) -> None:
    for n in range(8):
        e = digest.sm3(bytes([n]))
        r, s = sm2_math.signature_integers(sm2.sign_digest(D, e))
        assert reference_verify(POINT, e, r, s)


def test_sm2_signatures_by_the_second_implementation_verify(sm2: Sm2) -> None:
    for n in range(8):
        d = 1 + secrets.randbelow(sm2_math.N - 2)
        point = point_bytes(multiply(d, GENERATOR))
        assert sm2.public_point(d.to_bytes(32, "big")) == point
        e = digest.sm3(bytes([n]))
        r, s = reference_sign(d, int.from_bytes(e, "big"), 1 + secrets.randbelow(sm2_math.N - 1))
        assert sm2.verify_digest(point, e, sm2_math.signature_der(r, s))


@pytest.mark.parametrize("d", [1, 2, sm2_math.N - 2])
def test_sm2_keys_at_the_edges(sm2: Sm2, d: int) -> None:
    assert sm2.public_point(d.to_bytes(32, "big")) == point_bytes(multiply(d, GENERATOR))


def test_sm2_annex_c_decrypts(sm2: Sm2) -> None:
    key = SoftwareProvider(sm2).sm2_key(D)
    assert SoftwareProvider(sm2).decrypt(key, sm2_math.ciphertext_der(CIPHERTEXT)) == b"encryption standard"
    c1c2c3 = CIPHERTEXT[:65] + CIPHERTEXT[97:] + CIPHERTEXT[65:97]
    older = sm2_math.ciphertext_der(c1c2c3, "C1C2C3")
    assert SoftwareProvider(sm2).decrypt(key, older) == b"encryption standard"
    assert sm2_math.ciphertext_raw(older) == CIPHERTEXT
    assert sm2_math.ciphertext_raw(older, "C1C2C3") == c1c2c3


@pytest.mark.parametrize("length", [1, 19, 32, 33, 255])
def test_sm2_encryption_is_opened_by_the_second_implementation(sm2: Sm2, length: int) -> None:
    plaintext = secrets.token_bytes(length)
    encrypted = sm2_math.ciphertext_raw(sm2.encrypt(POINT, plaintext))
    c1 = int.from_bytes(encrypted[1:33], "big"), int.from_bytes(encrypted[33:65], "big")
    shared = point_bytes(multiply(int.from_bytes(D, "big"), c1))
    opened = bytes(a ^ b for a, b in zip(encrypted[97:], kdf(shared, length), strict=True))
    assert opened == plaintext
    assert encrypted[65:97] == digest.sm3(shared[:32] + plaintext + shared[32:])
    assert sm2.decrypt(D, sm2_math.ciphertext_der(encrypted)) == plaintext


@pytest.mark.skipif(OPENSSL is None, reason="no openssl command")
def test_sm2_with_the_openssl_command_line(sm2: Sm2, tmp_path: Path) -> None:
    assert OPENSSL
    provider = SoftwareProvider(sm2)
    key, data = provider.generate("SM2"), "一件事".encode() * 50
    (tmp_path / "data").write_bytes(data)
    (tmp_path / "key.der").write_bytes(sm2_math.private_key_der(key.secret, key.public.point))
    (tmp_path / "pub.der").write_bytes(key.public.spki)
    (tmp_path / "ours").write_bytes(provider.sign(key, data))
    common = ["-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678", "-in", "data"]

    def run(*args: str) -> bytes:
        assert OPENSSL
        return subprocess.run(
            [OPENSSL, "pkeyutl", *args], cwd=tmp_path, check=True, capture_output=True, timeout=20
        ).stdout

    run("-verify", "-pubin", "-inkey", "pub.der", "-keyform", "DER", "-sigfile", "ours", *common)
    theirs = run("-sign", "-inkey", "key.der", "-keyform", "DER", *common)
    assert provider.verify(key.public, data, theirs)
    encrypted = provider.encrypt(key.public, b"secret")
    (tmp_path / "cipher").write_bytes(encrypted)
    assert run("-decrypt", "-inkey", "key.der", "-keyform", "DER", "-in", "cipher") == b"secret"


def test_sm2_no_changed_signature_is_accepted(sm2: Sm2) -> None:
    """Every bit of the signature flipped: none accepted."""
    provider = SoftwareProvider(sm2)
    public, signature = provider.sm2_key(D).public, sm2_math.signature_der(R, S)
    accepted = 0
    for bit in range(8 * len(signature)):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(SigningError):
            accepted += provider.verify(public, b"message digest", bytes(changed))
    assert accepted == 0


@pytest.mark.parametrize(
    ("r", "s"),
    [(0, S), (R, 0), (R + sm2_math.N, S), (R, S + sm2_math.N), (-R, S), (sm2_math.N, S), (R, sm2_math.N)],
)
def test_sm2_integers_out_of_range_are_refused(sm2: Sm2, r: int, s: int) -> None:
    with pytest.raises(SigningError):
        SoftwareProvider(sm2).verify(
            SoftwareProvider(sm2).sm2_key(D).public, b"message digest", sm2_math.signature_der(r, s)
        )
