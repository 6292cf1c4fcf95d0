"""The provider: keys of three kinds, and one error for everything malformed."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signing import der, sm2_math, sm4
from signing.errors import SigningError
from signing.provider import KeyKind, PrivateKey, Scheme, SoftwareProvider, read_public_key
from signing.sm2_gmssl import Gmssl
from signing.sm2_openssl import KNOWN_ANSWER, Libcrypto, Unavailable

PROVIDER = SoftwareProvider()
KEYS: dict[str, PrivateKey] = {kind: PROVIDER.generate(kind) for kind in ("SM2", "RSA", "EC")}
SCHEMES: list[tuple[KeyKind, Scheme]] = [
    ("SM2", "SM2-SM3"),
    ("RSA", "RSA-SHA256"),
    ("RSA", "RSA-PSS-SHA256"),
    ("EC", "ECDSA-SHA256"),
]


@pytest.mark.parametrize(("kind", "scheme"), SCHEMES)
def test_sign_and_verify(kind: KeyKind, scheme: Scheme) -> None:
    key = KEYS[kind]
    signature = PROVIDER.sign(key, b"data", scheme)
    assert PROVIDER.verify(key.public, b"data", signature, scheme)
    assert not PROVIDER.verify(key.public, b"Data", signature, scheme)
    assert not PROVIDER.verify(PROVIDER.generate(kind).public, b"data", signature, scheme)
    assert read_public_key(key.public.spki) == key.public


def test_a_scheme_must_fit_the_key() -> None:
    for key, scheme in [("SM2", "RSA-SHA256"), ("RSA", "SM2-SM3"), ("EC", "RSA-PSS-SHA256"), ("RSA", "none")]:
        with pytest.raises(SigningError):
            PROVIDER.sign(KEYS[key], b"data", scheme)  # type: ignore[arg-type]
        with pytest.raises(SigningError):
            PROVIDER.verify(KEYS[key].public, b"data", b"", scheme)  # type: ignore[arg-type]


def test_a_private_key_never_shows_itself() -> None:
    for key in KEYS.values():
        assert key.secret.hex() not in repr(key)
        assert repr(key.secret) not in repr(key)
        assert "secret" not in repr(key)


def test_errors_name_field_rule_and_standard_in_both_languages() -> None:
    with pytest.raises(SigningError) as caught:
        sm2_math.check_point(bytes(64))
    assert "SM2 public key" in str(caught.value)
    assert "GB/T 32918" in str(caught.value)
    assert "不符合要求" in caught.value.zh


@pytest.mark.parametrize(
    "scalar", [b"", bytes(32), bytes(31), (sm2_math.N - 1).to_bytes(32, "big"), b"\xff" * 32, b"\x01" * 33]
)
def test_sm2_private_keys_out_of_range_are_refused(scalar: bytes) -> None:
    with pytest.raises(SigningError):
        PROVIDER.sm2_key(scalar)


def test_points_off_the_curve_are_refused() -> None:
    point = KEYS["SM2"].public.point
    off = bytes([*point[:-1], point[-1] ^ 1])
    for bad in (off, bytes(64), b"\x02" + point[:32], b"\x04" + point + b"\x00", b"\xff" * 64):
        with pytest.raises(SigningError):
            sm2_math.check_point(bad)
    spki = KEYS["SM2"].public.spki
    with pytest.raises(SigningError):
        read_public_key(spki[:-1] + bytes([spki[-1] ^ 1]))
    with pytest.raises(SigningError):
        PROVIDER.encrypt(replace(KEYS["SM2"].public, point=off), b"x")


@given(st.binary(max_size=200))
def test_no_bytes_are_a_key_or_break_the_reader(data: bytes) -> None:
    with pytest.raises(SigningError):
        read_public_key(data)


@settings(max_examples=200)
@given(st.sampled_from(["SM2", "RSA", "EC"]), st.integers(0, 1 << 30), st.integers(0, 255), st.booleans())
def test_a_changed_key_is_refused_or_verifies_nothing(kind: str, at: int, octet: int, cut: bool) -> None:
    key = KEYS[kind]
    spki = bytearray(key.public.spki)
    at %= len(spki)
    if cut:
        del spki[at:]
    elif spki[at] == octet:
        return
    else:
        spki[at] = octet
    try:
        changed = read_public_key(bytes(spki))
        same = (changed.kind, changed.point) == (key.public.kind, key.public.point) and kind == "SM2"
        assert same or not PROVIDER.verify(changed, b"data", PROVIDER.sign(key, b"data"))
    except SigningError:
        pass


@given(st.binary(max_size=120))
def test_no_bytes_are_a_signature(data: bytes) -> None:
    for kind in ("SM2", "EC", "RSA"):
        with contextlib.suppress(SigningError):
            assert not PROVIDER.verify(KEYS[kind].public, b"data", data)


@pytest.mark.parametrize("kind", ["SM2", "EC", "RSA"])
def test_every_byte_of_a_signature_counts(kind: str) -> None:
    signature = PROVIDER.sign(KEYS[kind], b"data")
    accepted = 0
    for at in range(len(signature)):
        for changed in (signature[:at], signature[:at] + bytes([signature[at] ^ 0x11]) + signature[at + 1 :]):
            with contextlib.suppress(SigningError):
                accepted += PROVIDER.verify(KEYS[kind].public, b"data", changed)
    assert accepted == 0


def test_sm2_encryption_round_trip_and_its_limits() -> None:
    key = KEYS["SM2"]
    for length in (1, 16, 255):
        assert PROVIDER.decrypt(key, PROVIDER.encrypt(key.public, bytes(length))) == bytes(length)
    for bad in (b"", bytes(256)):
        with pytest.raises(SigningError):
            PROVIDER.encrypt(key.public, bad)
    with pytest.raises(SigningError):
        PROVIDER.encrypt(KEYS["RSA"].public, b"x")
    with pytest.raises(SigningError):
        PROVIDER.decrypt(KEYS["RSA"], b"x")


def test_every_byte_of_an_sm2_ciphertext_counts() -> None:
    key = KEYS["SM2"]
    ciphertext = PROVIDER.encrypt(key.public, b"0123456789abcdef")
    for at in range(len(ciphertext)):
        with pytest.raises(SigningError):
            PROVIDER.decrypt(key, ciphertext[:at] + bytes([ciphertext[at] ^ 1]) + ciphertext[at + 1 :])
        with pytest.raises(SigningError):
            PROVIDER.decrypt(key, ciphertext[:at])


def test_sm4_gcm_notices_every_change() -> None:
    key, nonce = b"k" * 16, b"n" * 12
    sealed = sm4.sm4_gcm_encrypt(key, nonce, b"data", b"case")
    assert sm4.sm4_gcm_decrypt(key, nonce, sealed, b"case") == b"data"
    for at in range(len(sealed)):
        with pytest.raises(SigningError):
            sm4.sm4_gcm_decrypt(key, nonce, sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], b"case")
    for args in [
        (key, nonce, sealed, b"Case"),
        (b"K" * 16, nonce, sealed, b"case"),
        (key, nonce, b"", b"case"),
    ]:
        with pytest.raises(SigningError):
            sm4.sm4_gcm_decrypt(*args)


def test_sm4_cbc_round_trip_and_refusals() -> None:
    key, iv = b"k" * 16, b"i" * 16
    for length in (0, 1, 15, 16, 17):
        assert sm4.sm4_cbc_decrypt(key, iv, sm4.sm4_cbc_encrypt(key, iv, bytes(length))) == bytes(length)
    for bad in (b"", bytes(15), bytes(32)):
        with pytest.raises(SigningError):
            sm4.sm4_cbc_decrypt(key, iv, bad)
    with pytest.raises(SigningError):
        sm4.sm4_cbc_encrypt(b"short", iv, b"")


def test_one_key_serves_many_threads() -> None:
    """ctypes drops the GIL in a call: contexts must not be shared between threads."""
    key, results = KEYS["SM2"], list[bool]()

    def work(seed: int) -> None:
        for n in range(40):
            data = f"{seed}/{n}".encode()
            results.append(PROVIDER.verify(key.public, data, PROVIDER.sign(key, data)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 320


def test_keys_are_freed() -> None:
    """More keys than the cache holds: the oldest are freed and loaded again on demand."""
    library = PROVIDER._sm2
    if not isinstance(library, Libcrypto):
        pytest.skip("this machine's libcrypto has no SM2")
    first = KEYS["SM2"]
    signature = PROVIDER.sign(first, b"data")
    library._public.cache_clear()
    library._private.cache_clear()
    assert PROVIDER.verify(first.public, b"data", signature)


def test_a_library_without_sm2_is_named_unavailable() -> None:
    with pytest.raises(Unavailable):
        Libcrypto("libm.so.6")
    with pytest.raises(Unavailable):
        Libcrypto("/nonexistent/libcrypto.so")


def test_a_ciphertext_whose_point_is_off_the_curve_is_refused_before_the_key_touches_it() -> None:
    """An invalid-curve point would leak the private key from an implementation that multiplies it."""
    outside = der.make_sequence(
        der.make_integer(1), der.make_integer(1), der.make_octets(bytes(32)), der.make_octets(b"x")
    )

    class Untouchable(Gmssl):
        def decrypt(self, scalar: bytes, ciphertext: bytes) -> bytes:
            raise AssertionError("the key was used")

    with pytest.raises(SigningError, match="point of the curve"):
        SoftwareProvider(Untouchable()).decrypt(KEYS["SM2"], outside)


def test_a_context_outlives_its_call_though_its_key_is_in_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that load a key at once leave one of the two in the cache: the other must not be freed
    while libcrypto works with it."""
    library = Libcrypto()
    monkeypatch.setattr(library, "_private", library._load_private)
    happened = []

    def recorded(name: str) -> None:
        function = getattr(library, name)

        def call(context: object, *more: object) -> object:
            happened.append((name, "begins", context))
            result = function(context, *more)
            happened.append((name, "ended", context))
            return result

        monkeypatch.setattr(library, name, call)

    recorded("EVP_PKEY_sign")
    recorded("EVP_PKEY_CTX_free")
    scalar, point, digest, _ = KNOWN_ANSWER
    signature = library.sign_digest(scalar, digest)
    assert [(name, moment) for name, moment, _ in happened] == [
        ("EVP_PKEY_sign", "begins"),
        ("EVP_PKEY_sign", "ended"),
        ("EVP_PKEY_CTX_free", "begins"),
        ("EVP_PKEY_CTX_free", "ended"),
    ]
    assert library.verify_digest(point, digest, signature)


def test_many_threads_begin_with_the_same_new_key() -> None:
    library, wrong = Libcrypto(), []
    scalar, point, digest, _ = KNOWN_ANSWER

    def work(start: threading.Barrier) -> None:
        start.wait(timeout=30)
        if not library.verify_digest(point, digest, library.sign_digest(scalar, digest)):
            wrong.append(threading.current_thread().name)

    for _ in range(100):
        library._private.cache_clear()  # type: ignore[attr-defined]
        library._public.cache_clear()  # type: ignore[attr-defined]
        start = threading.Barrier(8)
        threads = [threading.Thread(target=work, args=(start,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    assert wrong == []
