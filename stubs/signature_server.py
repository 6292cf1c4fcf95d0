"""A signature server (签名验签服务器) in small: the reference for GOVHUB-SIGN-1 of docs/signing.md.
Keys are in memory and made at start: for tests and for trying out, never for keys that matter.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from signing.errors import AuthError, SigningError
from signing.http_auth import Verifier, claimed_member
from signing.provider import DIGEST_BYTES, SCHEME_OIDS, PrivateKey, SoftwareProvider

BODY_BYTES_MAX = 16 * 1024
KEYS_MAX = 100
_KINDS = ("SM2", "RSA", "EC")


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class SignatureServer:
    """Serves on 127.0.0.1 in a thread of its own while the `with` lasts. `clients`: name to shared key."""

    def __init__(self, clients: Mapping[str, bytes], keys: Mapping[str, PrivateKey], port: int = 0) -> None:
        self._clients, self._keys = clients, dict(keys)
        self._provider, self._verifier, self._lock = SoftwareProvider(), Verifier(), threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def do_GET(self) -> None:
                self._answer("GET")

            def do_POST(self) -> None:
                self._answer("POST")

            def _answer(self, method: str) -> None:
                try:
                    status, said = server.handle(method, self.path, dict(self.headers), self._body())
                except _Refused as refused:
                    status, said = refused.status, {"code": refused.code, "message": refused.message}
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _body(self) -> bytes:
                length = self.headers.get("Content-Length") or "0"
                if not length.isdigit() or int(length) > BODY_BYTES_MAX:
                    self.close_connection = True
                    raise _Refused(413, "too_large", f"a body has at most {BODY_BYTES_MAX} bytes")
                return self.rfile.read(int(length))

            def log_message(self, format: str, *args: object) -> None:
                """Silent: a request line tells which key is used when."""

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> SignatureServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, Any]]:
        """One request: who asks, then what. Raises _Refused."""
        client = claimed_member(headers) or ""
        try:
            with self._lock:
                self._verifier.verify(
                    headers,
                    method,
                    path,
                    body,
                    keys=[self._clients[client]] if client in self._clients else [],
                    now_ms=int(time.time() * 1000),
                )
        except AuthError as unknown:
            raise _Refused(401, unknown.code, unknown.en) from unknown
        asked = _read(body) if body else {}
        parts = path.strip("/").split("/")
        try:
            return self._work(method, parts, asked)
        except SigningError as bad:
            raise _Refused(400, "bad_request", bad.en) from bad

    def _work(self, method: str, parts: list[str], asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if method == "POST" and parts == ["v1", "keys"]:
            return 201, self._made(asked)
        if parts[:2] != ["v1", "keys"] or not 3 <= len(parts) <= 4:
            raise _Refused(404, "no_such_path", "see docs/signing.md")
        with self._lock:
            key = self._keys.get(parts[2])
        if key is None:
            raise _Refused(404, "no_such_key", parts[2][:64])
        action = (method, parts[3] if len(parts) == 4 else "")
        if action == ("GET", ""):
            return 200, _public(parts[2], key)
        if action == ("POST", "sign"):
            scheme = asked.get("scheme")
            if scheme not in SCHEME_OIDS:
                raise _Refused(400, "bad_scheme", f"one of {', '.join(SCHEME_OIDS)}")
            value = self._provider.sign_digest(key, _bytes(asked, "digest", DIGEST_BYTES), scheme)
            return 200, {"signature": base64.b64encode(value).decode()}
        if action == ("POST", "decrypt"):
            plain = self._provider.decrypt(key, _bytes(asked, "ciphertext", BODY_BYTES_MAX))
            return 200, {"plaintext": base64.b64encode(plain).decode()}
        raise _Refused(405, "no_such_action", "GET a key, POST sign or decrypt")

    def _made(self, asked: dict[str, Any]) -> dict[str, Any]:
        kind = asked.get("kind")
        if kind not in _KINDS:
            raise _Refused(400, "bad_kind", f"one of {', '.join(_KINDS)}")
        key = self._provider.generate(kind)
        with self._lock:
            if len(self._keys) >= KEYS_MAX:
                raise _Refused(409, "full", f"holds {KEYS_MAX} keys already")
            name = f"key-{len(self._keys) + 1}"
            self._keys[name] = key
        return _public(name, key)


def _public(name: str, key: PrivateKey) -> dict[str, Any]:
    return {"name": name, "kind": key.public.kind, "spki": base64.b64encode(key.public.spki).decode()}


def _read(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as bad:
        raise _Refused(400, "bad_json", "the body must be a JSON object") from bad
    if not isinstance(asked, dict):
        raise _Refused(400, "bad_json", "the body must be a JSON object")
    return asked


def _bytes(asked: dict[str, Any], field: str, bytes_max: int) -> bytes:
    try:
        value = base64.b64decode(asked[field], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as bad:
        raise _Refused(400, "bad_field", f"{field} must be base64") from bad
    if len(value) > bytes_max:
        raise _Refused(400, "bad_field", f"{field} has more than {bytes_max} bytes")
    return value
