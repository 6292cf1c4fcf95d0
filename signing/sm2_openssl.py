"""SM2 by the system's libcrypto (OpenSSL 3, Tongsuo) through ctypes: the fast implementation.
Only pointers and lifetimes live here. ZA and e are computed outside and the 32-byte e is signed directly:
one context per key and thread then serves every call, which is faster than a digest context for each.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import threading
from collections.abc import Callable
from ctypes import byref, c_char_p, c_int, c_long, c_size_t, c_void_p
from functools import lru_cache

from signing import sm2_math
from signing.errors import SigningError

KEYS_CACHED_MAX = 1024
_LIBRARIES = ("libcrypto.so.3", "libcrypto.3.dylib", "libcrypto-3-x64.dll")


class Unavailable(RuntimeError):
    """This machine has no libcrypto that can do SM2."""


class _Key:
    """An EVP_PKEY and, for each thread, one context per operation. Contexts are not shared between threads
    because ctypes drops the GIL during a call."""

    def __init__(self, library: Libcrypto, pointer: int) -> None:
        self._library = library
        self.pointer = pointer
        self._contexts = threading.local()

    def context(self, operation: str) -> _Context:
        """To be held for the whole call: a key that two threads loaded at once is in the cache once, and the
        other dies, its contexts with it, as soon as nobody names them."""
        contexts = self._contexts.__dict__
        held: _Context | None = contexts.get(operation)
        if held is None:
            held = contexts[operation] = _Context(self._library, self.pointer, operation)
        return held

    def __del__(self) -> None:
        self._library.EVP_PKEY_free(self.pointer)


class _Context:
    def __init__(self, library: Libcrypto, key: int, operation: str) -> None:
        self._library = library
        self.pointer: int = library.EVP_PKEY_CTX_new(key, None) or 0
        if not self.pointer or library.init[operation](self.pointer) != 1:
            library.forget_errors()
            raise Unavailable(f"EVP_PKEY_{operation}_init")

    def __del__(self) -> None:
        self._library.EVP_PKEY_CTX_free(self.pointer)


class Libcrypto:
    """The functions used, with their C signatures, and a proof at start that they do SM2 right."""

    def __init__(self, path: str | None = None) -> None:
        lib = _open(path)

        def bind(name: str, result: object, *args: object) -> Callable[..., int]:
            try:
                function = getattr(lib, name)
            except AttributeError as missing:
                raise Unavailable(f"libcrypto lacks {name}") from missing
            function.restype, function.argtypes = result, list(args)
            bound: Callable[..., int] = function
            return bound

        pointer, data, size = c_void_p, c_char_p, c_size_t
        self.d2i_AutoPrivateKey = bind("d2i_AutoPrivateKey", pointer, pointer, pointer, c_long)
        self.d2i_PUBKEY = bind("d2i_PUBKEY", pointer, pointer, pointer, c_long)
        self.i2d_PUBKEY = bind("i2d_PUBKEY", c_int, pointer, pointer)
        self.EVP_PKEY_free = bind("EVP_PKEY_free", None, pointer)
        self.EVP_PKEY_CTX_new = bind("EVP_PKEY_CTX_new", pointer, pointer, pointer)
        self.EVP_PKEY_CTX_free = bind("EVP_PKEY_CTX_free", None, pointer)
        self.ERR_clear_error = bind("ERR_clear_error", None)
        self.init = {
            name: bind(f"EVP_PKEY_{name}_init", c_int, pointer)
            for name in ("sign", "verify", "encrypt", "decrypt")
        }
        self.EVP_PKEY_sign = bind("EVP_PKEY_sign", c_int, pointer, data, pointer, data, size)
        self.EVP_PKEY_verify = bind("EVP_PKEY_verify", c_int, pointer, data, size, data, size)
        self.EVP_PKEY_encrypt = bind("EVP_PKEY_encrypt", c_int, pointer, data, pointer, data, size)
        self.EVP_PKEY_decrypt = bind("EVP_PKEY_decrypt", c_int, pointer, data, pointer, data, size)
        self._private = lru_cache(KEYS_CACHED_MAX)(self._load_private)
        self._public = lru_cache(KEYS_CACHED_MAX)(self._load_public)
        self._prove()

    def public_point(self, scalar: bytes) -> bytes:
        """x || y of a private key."""
        key = self._private(scalar)
        length = self.i2d_PUBKEY(key.pointer, None)
        if length <= 0:
            raise self._failed("SM2 private key", "no public key derived")
        out = ctypes.create_string_buffer(length)
        cursor = c_void_p(ctypes.addressof(out))
        self.i2d_PUBKEY(key.pointer, byref(cursor))
        return out.raw[-sm2_math.POINT_BYTES :]

    def sign_digest(self, scalar: bytes, digest: bytes) -> bytes:
        context = self._private(scalar).context("sign")
        return self._call(self.EVP_PKEY_sign, context, digest, sm2_math.SIGNATURE_BYTES_MAX, "SM2 signature")

    def verify_digest(self, point: bytes, digest: bytes, signature: bytes) -> bool:
        context = self._public(point).context("verify")
        good = self.EVP_PKEY_verify(context.pointer, signature, len(signature), digest, len(digest)) == 1
        if not good:
            self.forget_errors()
        return good

    def encrypt(self, point: bytes, plaintext: bytes) -> bytes:
        context = self._public(point).context("encrypt")
        return self._call(
            self.EVP_PKEY_encrypt, context, plaintext, sm2_math.CIPHERTEXT_BYTES_MAX, "SM2 encryption"
        )

    def decrypt(self, scalar: bytes, ciphertext: bytes) -> bytes:
        context = self._private(scalar).context("decrypt")
        return self._call(
            self.EVP_PKEY_decrypt, context, ciphertext, sm2_math.CIPHERTEXT_BYTES_MAX, "SM2 ciphertext"
        )

    def forget_errors(self) -> None:
        """The error queue belongs to the thread and is shared with every other user of libcrypto in it."""
        self.ERR_clear_error()

    def _call(
        self, function: Callable[..., int], context: _Context, data: bytes, room: int, field: str
    ) -> bytes:
        out = ctypes.create_string_buffer(room)
        length = c_size_t(room)
        if function(context.pointer, out, byref(length), data, len(data)) != 1:
            raise self._failed(field, "refused by libcrypto")
        return out.raw[: length.value]

    def _failed(self, field: str, rule: str) -> SigningError:
        self.forget_errors()
        return SigningError(field, rule, "GB/T 32918")

    def _load_private(self, scalar: bytes) -> _Key:
        return self._load(self.d2i_AutoPrivateKey, sm2_math.private_key_der(scalar), "SM2 private key")

    def _load_public(self, point: bytes) -> _Key:
        return self._load(self.d2i_PUBKEY, sm2_math.public_key_der(point), "SM2 public key")

    def _load(self, function: Callable[..., int], encoded: bytes, field: str) -> _Key:
        held = ctypes.create_string_buffer(encoded, len(encoded))
        cursor = c_void_p(ctypes.addressof(held))
        pointer = function(None, byref(cursor), len(encoded))
        ctypes.memset(held, 0, len(encoded))
        if not pointer:
            raise self._failed(field, "refused by libcrypto")
        return _Key(self, pointer)

    def _prove(self) -> None:
        """GB/T 32918.5 annex A must verify, a changed digest must not, and a fresh signature must verify."""
        scalar, point, digest, signature = KNOWN_ANSWER
        try:
            good = (
                self.public_point(scalar) == point
                and self.verify_digest(point, digest, signature)
                and not self.verify_digest(point, bytes(32), signature)
                and self.verify_digest(point, digest, self.sign_digest(scalar, digest))
            )
        except SigningError as refused:
            raise Unavailable("libcrypto refuses the SM2 curve") from refused
        if not good:
            raise Unavailable("libcrypto computes SM2 wrongly")


def _open(path: str | None) -> ctypes.CDLL:
    names = [path] if path else [*_LIBRARIES, ctypes.util.find_library("crypto")]
    for name in names:
        if name is None:
            continue
        try:
            lib = ctypes.CDLL(name)
            lib.OpenSSL_version_num.restype = ctypes.c_ulong
            if lib.OpenSSL_version_num() >= 0x30000000:
                return lib
        except (OSError, AttributeError):
            continue
    raise Unavailable("no libcrypto of OpenSSL 3 found")


# GB/T 32918.5-2017 annex A: d, x || y, e and (r, s).
KNOWN_ANSWER = (
    bytes.fromhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8"),
    bytes.fromhex(
        "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
        "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
    ),
    bytes.fromhex("F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640"),
    sm2_math.signature_der(
        0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3,
        0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA,
    ),
)
