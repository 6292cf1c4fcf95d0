"""A provider whose private keys stay in a signature server or HSM behind a small HTTP protocol.
The one module of this package that uses the network (docs/signing.md has the protocol). Only 32-byte digests
cross over, and every answer is checked.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import os
import re
import secrets
import ssl
import stat
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from signing import sm2_math
from signing.errors import SigningError
from signing.http_auth import HMAC_SM3, sign_request
from signing.provider import (
    KeyKind,
    PrivateKey,
    PublicKey,
    Scheme,
    SoftwareProvider,
    read_public_key,
    scheme_for,
    signed_digest,
)

PROTOCOL = "/v1/keys"
ANSWER_BYTES_MAX = 64 * 1024
TIMEOUT_MS_DEFAULT = 5_000
TIMEOUT_MS_MAX = 60_000
SIGNATURE_BYTES_MAX = 1024
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STANDARD = "GOVHUB-SIGN-1"


class RemoteProvider:
    """Signs and decrypts at the server; verifies and encrypts here, because that needs public keys only.

    `client` and `client_key` sign every request (http_auth, HMAC-SM3); `url` should be https, with `ca_file`
    when its authority is not the system's. A call takes at most `timeout_ms` as a whole. One connection for
    each thread, kept open. Every failure is a SigningError of the field "signature server".
    """

    def __init__(
        self,
        url: str,
        client: str,
        client_key: bytes,
        *,
        timeout_ms: int = TIMEOUT_MS_DEFAULT,
        ca_file: str | None = None,
        local: SoftwareProvider | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise SigningError("signature server", "its address must be http(s)://host[:port]", _STANDARD)
        if not 1 <= timeout_ms <= TIMEOUT_MS_MAX:
            raise SigningError("signature server", f"timeout must lie in 1..{TIMEOUT_MS_MAX} ms", _STANDARD)
        self._host, self._port, self._client, self._client_key = (
            parts.hostname,
            parts.port,
            client,
            client_key,
        )
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._timeout_s = timeout_ms / 1000
        self._local = local or SoftwareProvider()
        self._held = threading.local()

    def key(self, name: str) -> PrivateKey:
        """The key of that name: its public half from the server, its name as handle."""
        return self._key_of(self._call("GET", _path(name), None), name)

    def generate(self, kind: KeyKind = "SM2") -> PrivateKey:
        """A fresh key inside the server, when it allows this client to make one."""
        answer = self._call("POST", PROTOCOL, {"kind": kind})
        name = answer.get("name")
        if not isinstance(name, str):
            raise _refused("answers without a key name")
        made = self._key_of(answer, name)
        if made.public.kind != kind:
            raise _refused(f"made a key of kind {made.public.kind} instead of {kind}")
        return made

    def sign(self, key: PrivateKey, data: bytes, scheme: Scheme | None = None) -> bytes:
        """A signature by the server over the digest of `data`; it is verified here before it is returned."""
        scheme = scheme_for(key.public, scheme)
        digest = signed_digest(key.public, data, scheme)
        asked = {"scheme": scheme, "digest": base64.b64encode(digest).decode()}
        value = _bytes(
            self._call("POST", _path(_name_of(key)) + "/sign", asked), "signature", SIGNATURE_BYTES_MAX
        )
        try:
            good = self._local.verify(key.public, data, value, scheme)
        except SigningError:
            good = False
        if not good:
            raise _refused("answers with a signature that does not verify")
        return value

    def verify(self, key: PublicKey, data: bytes, signature: bytes, scheme: Scheme | None = None) -> bool:
        return self._local.verify(key, data, signature, scheme)

    def encrypt(self, key: PublicKey, plaintext: bytes) -> bytes:
        return self._local.encrypt(key, plaintext)

    def decrypt(self, key: PrivateKey, ciphertext: bytes) -> bytes:
        """The plaintext of an SM2 DER ciphertext, decrypted by the server."""
        if key.public.kind != "SM2":
            raise SigningError("decryption key", "must be SM2", "GB/T 32918.4")
        sm2_math.check_ciphertext(ciphertext)
        asked = {"ciphertext": base64.b64encode(ciphertext).decode()}
        answer = self._call("POST", _path(_name_of(key)) + "/decrypt", asked)
        return _bytes(answer, "plaintext", sm2_math.PLAINTEXT_BYTES_MAX)

    def close(self) -> None:
        """Close this thread's connection."""
        held: http.client.HTTPConnection | None = self._held.__dict__.pop("connection", None)
        if held is not None:
            held.close()

    def _key_of(self, answer: dict[str, Any], name: str) -> PrivateKey:
        public = read_public_key(_bytes(answer, "spki", 2048))
        if answer.get("kind") != public.kind:
            raise _refused("answers with a key of another kind than it says")
        return PrivateKey(public, name.encode(), self)

    def _call(self, method: str, path: str, asked: dict[str, Any] | None) -> dict[str, Any]:
        body = b"" if asked is None else json.dumps(asked).encode()
        until = time.monotonic() + self._timeout_s
        try:
            status, answer = self._exchange(method, path, body, until)
        except (OSError, http.client.HTTPException) as failed:
            self.close()
            raise _refused(f"cannot be reached: {type(failed).__name__}: {failed}"[:300]) from failed
        try:
            said = json.loads(answer)
        except (ValueError, RecursionError) as bad:
            raise _refused(f"answers {status} with something that is not JSON") from bad
        if not isinstance(said, dict):
            raise _refused(f"answers {status} with something that is no JSON object")
        if status not in (200, 201):
            raise _refused(
                f"answers {status}: {str(said.get('code', ''))[:40]} {str(said.get('message', ''))[:200]}"
            )
        return said

    def _exchange(self, method: str, path: str, body: bytes, until: float) -> tuple[int, bytes]:
        headers = sign_request(
            self._client_key,
            self._client,
            method,
            path,
            body,
            algorithm=HMAC_SM3,
            timestamp_ms=int(time.time() * 1000),
            nonce=secrets.token_urlsafe(16),
        )
        reused = "connection" in self._held.__dict__
        try:
            return self._send(method, path, body, headers, until)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # An idle connection that the server closed: asking again makes at most one more signature.
            self.close()
            if not reused:
                raise
            return self._send(method, path, body, headers, until)

    def _send(
        self, method: str, path: str, body: bytes, headers: dict[str, str], until: float
    ) -> tuple[int, bytes]:
        connection = self._held.__dict__.get("connection")
        if connection is None:
            connection = self._held.connection = self._connect()
        connection.timeout = _left(until)
        if connection.sock is not None:
            connection.sock.settimeout(_left(until))
        connection.request(method, path, body or None, {**headers, "Content-Type": "application/json"})
        response = connection.getresponse()
        kept = b""
        # Read piece by piece: a server that sends a byte now and then must not hold the caller past its time.
        while piece := response.read1(ANSWER_BYTES_MAX + 1 - len(kept)):
            kept += piece
            if len(kept) > ANSWER_BYTES_MAX:
                self.close()
                raise _refused(f"answers with more than {ANSWER_BYTES_MAX} bytes")
            if connection.sock is not None:
                connection.sock.settimeout(_left(until))
        if response.length:
            raise http.client.IncompleteRead(kept, response.length)
        response.close()
        return response.status, kept

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=self._tls
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)


def read_reference(text: bytes, folder: Path) -> PrivateKey:
    """The key that a reference file names: JSON with url, client, client_key_file (beside the reference,
    readable by its owner only), key, and where wanted timeout_ms and ca_file. Asks the server. Raises
    SigningError."""
    try:
        said = json.loads(text)
        names = {name: said[name] for name in ("url", "client", "client_key_file", "key")}
        timeout_ms, ca_file = said.get("timeout_ms", TIMEOUT_MS_DEFAULT), said.get("ca_file")
        if not all(isinstance(value, str) for value in names.values()) or not isinstance(timeout_ms, int):
            raise TypeError("wrong types")
        shared = folder / names["client_key_file"]
        if os.name == "posix" and stat.S_IMODE(shared.stat().st_mode) & 0o077:
            raise SigningError(f"key file {shared.name}", "must be readable by its owner only (chmod 600)")
        secret = shared.read_bytes().strip()
        server = RemoteProvider(
            names["url"],
            names["client"],
            secret,
            timeout_ms=timeout_ms,
            ca_file=str(folder / ca_file) if ca_file else None,
        )
    except SigningError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError) as bad:
        raise SigningError("key reference", f"is not well formed: {type(bad).__name__}", _STANDARD) from bad
    return server.key(names["key"])


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the answer took too long")
    return left


def _path(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise SigningError("key name", f"must match {_NAME.pattern}", _STANDARD)
    return f"{PROTOCOL}/{name}"


def _name_of(key: PrivateKey) -> str:
    try:
        return key.secret.decode("ascii")
    except UnicodeDecodeError:
        # Never told with the bytes: this may be the secret of a key that belongs to another provider.
        raise SigningError("key", "is not a key of the signature server", _STANDARD) from None


def _bytes(answer: dict[str, Any], field: str, bytes_max: int) -> bytes:
    try:
        value = base64.b64decode(answer[field], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as bad:
        raise _refused(f"answers without a readable {field}") from bad
    if not 1 <= len(value) <= bytes_max:
        raise _refused(f"answers with a {field} of {len(value)} bytes")
    return value


def _refused(rule: str) -> SigningError:
    return SigningError(
        "signature server", rule, _STANDARD, zh=f"签名服务器：{rule}", en=f"signature server: {rule}"
    )
