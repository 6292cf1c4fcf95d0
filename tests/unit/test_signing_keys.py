"""Key files: encrypted or refused, never overwritten, never readable by others; rotation with overlap."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signing import der, sm2_math
from signing.errors import SigningError
from signing.keys import (
    KeyPeriod,
    decode_key,
    encode_key,
    load_key,
    signing_key_at,
    verifying_keys_at,
    write_key,
)
from signing.provider import KeyKind, SoftwareProvider

PROVIDER = SoftwareProvider()
PASSPHRASE = "口令够长了吧".encode()
OPENSSL = shutil.which("openssl")
FAST = 1_000
SM2_KEY = PROVIDER.generate("SM2")
SM2_PEM = encode_key(SM2_KEY, PASSPHRASE, rounds=FAST)


def pem_of(body: bytes) -> bytes:
    label = b"ENCRYPTED PRIVATE KEY-----"
    return b"-----BEGIN " + label + b"\n" + base64.encodebytes(body) + b"-----END " + label + b"\n"


@pytest.mark.parametrize("kind", ["SM2", "RSA", "EC"])
@pytest.mark.parametrize("cipher", ["SM4-CBC", "AES-256-CBC"])
def test_a_key_comes_back_with_its_passphrase_only(kind: KeyKind, cipher: str) -> None:
    key = PROVIDER.generate(kind)
    pem = encode_key(key, PASSPHRASE, cipher=cipher, rounds=FAST)  # type: ignore[arg-type]
    assert decode_key(pem, PASSPHRASE, PROVIDER) == key
    with pytest.raises(SigningError, match="wrong passphrase"):
        decode_key(pem, PASSPHRASE + b"x", PROVIDER)


@pytest.mark.skipif(OPENSSL is None, reason="no openssl command")
@pytest.mark.parametrize("kind", ["SM2", "RSA", "EC"])
def test_openssl_reads_our_files_and_we_read_its(kind: KeyKind, tmp_path: Path) -> None:
    assert OPENSSL
    key = PROVIDER.generate(kind)
    ours = tmp_path / "ours.pem"
    ours.write_bytes(encode_key(key, PASSPHRASE, rounds=FAST))
    secret = ["-passin", f"file:{tmp_path / 'pass'}"]
    (tmp_path / "pass").write_bytes(PASSPHRASE + b"\n")
    (tmp_path / "pass2").write_bytes(PASSPHRASE + b"\n")
    public = subprocess.run(
        [OPENSSL, "pkey", "-in", str(ours), *secret, "-pubout", "-outform", "DER"],
        check=True,
        capture_output=True,
        timeout=20,
    ).stdout
    assert public == key.public.spki
    for v2 in ("sm4-cbc", "aes-256-cbc"):
        theirs = subprocess.run(
            [
                OPENSSL,
                "pkcs8",
                "-topk8",
                "-v2",
                v2,
                "-v2prf",
                "hmacWithSHA256",
                "-in",
                str(ours),
                *secret,
                "-passout",
                f"file:{tmp_path / 'pass2'}",
            ],
            check=True,
            capture_output=True,
            timeout=20,
        ).stdout
        assert decode_key(theirs, PASSPHRASE, PROVIDER).public == key.public


def test_a_key_in_clear_is_refused() -> None:
    key = PROVIDER.generate("EC")
    clear = b"-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(key.secret) + b"-----END PRIVATE KEY-----\n"
    with pytest.raises(SigningError, match="never a key in clear"):
        decode_key(clear, PASSPHRASE, PROVIDER)


def test_nothing_of_the_key_is_in_the_file_or_an_error() -> None:
    body = base64.b64decode(b"".join(SM2_PEM.splitlines()[1:-1]))
    assert SM2_KEY.secret not in body
    assert SM2_KEY.public.point not in body
    with pytest.raises(SigningError) as caught:
        decode_key(SM2_PEM, b"another passphrase", PROVIDER)
    assert "another passphrase" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_short_passphrases_are_refused() -> None:
    with pytest.raises(SigningError, match="passphrase"):
        encode_key(SM2_KEY, b"short", rounds=FAST)


def test_files_are_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "签章.pem"
    write_key(path, SM2_KEY, PASSPHRASE)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path, PASSPHRASE, PROVIDER) == SM2_KEY
    with pytest.raises(FileExistsError):
        write_key(path, PROVIDER.generate("SM2"), PASSPHRASE)
    assert load_key(path, PASSPHRASE, PROVIDER) == SM2_KEY
    assert os.listdir(tmp_path) == ["签章.pem"]
    path.chmod(0o640)
    with pytest.raises(SigningError, match="chmod 600"):
        load_key(path, PASSPHRASE, PROVIDER)


def test_a_file_that_asks_for_endless_work_is_refused() -> None:
    with pytest.raises(SigningError, match="iteration count"):
        decode_key(encode_key(SM2_KEY, PASSPHRASE, rounds=999), PASSPHRASE, PROVIDER)
    body = base64.b64decode(b"".join(SM2_PEM.splitlines()[1:-1]))
    asked = body.replace(der.make_integer(FAST), der.make_integer(32_767))
    assert asked != body
    with pytest.raises(SigningError, match="wrong passphrase"):
        decode_key(pem_of(asked), PASSPHRASE, PROVIDER)
    endless = der.make_integer(2**31 - 1) + der.make_octets(b"")
    with pytest.raises(SigningError):
        decode_key(
            pem_of(body.replace(der.make_integer(FAST) + der.make_integer(16), endless)), PASSPHRASE, PROVIDER
        )


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255))
@example(at=268, octet=88)
def test_a_changed_file_gives_no_other_key(at: int, octet: int) -> None:
    changed = bytearray(SM2_PEM)
    changed[at % len(changed)] = octet
    with contextlib.suppress(SigningError):
        assert decode_key(bytes(changed), PASSPHRASE, PROVIDER) == SM2_KEY


@given(st.binary(max_size=400))
def test_no_bytes_are_a_key_file(data: bytes) -> None:
    for text in (
        data,
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + data + b"\n-----END ENCRYPTED PRIVATE KEY-----",
    ):
        with pytest.raises(SigningError):
            decode_key(text, PASSPHRASE, PROVIDER)


def test_rotation_has_an_overlap_and_no_gap() -> None:
    old, new = KeyPeriod("2025", 0, 2_000), KeyPeriod("2026", 1_000, 9_000)
    assert signing_key_at([old, new], 999) == old
    assert signing_key_at([old, new], 1_000) == new
    assert verifying_keys_at([old, new], 1_500) == [new, old]
    assert verifying_keys_at([old, new], 2_000) == [new]
    for now_ms in (-1, 9_000):
        with pytest.raises(SigningError, match="no key"):
            signing_key_at([old, new], now_ms)


def test_a_public_half_that_is_not_the_keys_is_refused() -> None:
    other = PROVIDER.generate("SM2")
    mixed = replace(SM2_KEY, public=other.public)
    with pytest.raises(SigningError):
        decode_key(encode_key(mixed, PASSPHRASE, rounds=FAST), PASSPHRASE, PROVIDER)
    assert len(sm2_math.private_key_der(SM2_KEY.secret)) < len(
        sm2_math.private_key_der(SM2_KEY.secret, SM2_KEY.public.point)
    )
