"""A small HTTP server of signed JSON requests, for simulated systems that are no members.
It runs in a thread, on 127.0.0.1. Who asks is proven by the headers of docs/authentication.md; what is
answered is each system's own.
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
from typing import Any, Self

from signing.errors import AuthError, SigningError
from signing.http_auth import Verifier, claimed_member


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class SignedJsonServer:
    """Serves while the `with` lasts. `clients`: name to shared key. A system gives `work`."""

    body_bytes_max = 16 * 1024

    def __init__(self, clients: Mapping[str, bytes], port: int = 0) -> None:
        self._clients = clients
        self._verifier, self.lock = Verifier(), threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def do_GET(self) -> None:
                self._answer("GET")

            def do_POST(self) -> None:
                self._answer("POST")

            def do_PUT(self) -> None:
                self._answer("PUT")

            def _answer(self, method: str) -> None:
                try:
                    status, said = server.handle(method, self.path, dict(self.headers), self._body())
                except Refused as refused:
                    status, said = refused.status, {"code": refused.code, "message": refused.message}
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _body(self) -> bytes:
                length = self.headers.get("Content-Length") or "0"
                if not length.isdigit() or int(length) > server.body_bytes_max:
                    self.close_connection = True
                    raise Refused(413, "too_large", f"a body has at most {server.body_bytes_max} bytes")
                return self.rfile.read(int(length))

            def log_message(self, format: str, *args: object) -> None:
                """Silent: a request line tells which key is used when."""

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
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
        """One request: who asks, then what. Raises Refused."""
        client = claimed_member(headers) or ""
        try:
            with self.lock:
                self._verifier.verify(
                    headers,
                    method,
                    path,
                    body,
                    keys=[self._clients[client]] if client in self._clients else [],
                    now_ms=int(time.time() * 1000),
                )
        except AuthError as unknown:
            raise Refused(401, unknown.code, unknown.en) from unknown
        asked = _read(body) if body else {}
        parts = path.strip("/").split("/")
        try:
            return self.work(method, parts, asked)
        except SigningError as bad:
            raise Refused(400, "bad_request", bad.en) from bad

    def work(self, method: str, parts: list[str], asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The answer to a request whose sender is known. Raises Refused or SigningError."""
        raise NotImplementedError


def _read(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as bad:
        raise Refused(400, "bad_json", "the body must be a JSON object") from bad
    if not isinstance(asked, dict):
        raise Refused(400, "bad_json", "the body must be a JSON object")
    return asked


def bytes_of(asked: dict[str, Any], field: str, bytes_max: int) -> bytes:
    try:
        value = base64.b64decode(asked[field], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as bad:
        raise Refused(400, "bad_field", f"{field} must be base64") from bad
    if len(value) > bytes_max:
        raise Refused(400, "bad_field", f"{field} has more than {bytes_max} bytes")
    return value
