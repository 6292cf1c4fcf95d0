"""A signature server (签名验签服务器) in small: the reference for GOVHUB-SIGN-1 of docs/signing.md.
Keys are in memory: for tests and for trying out, never for keys that matter.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from signing.provider import DIGEST_BYTES, SCHEME_OIDS, PrivateKey, SoftwareProvider
from stubs.signed_json import Refused, SignedJsonServer, bytes_of

KEYS_MAX = 100
_KINDS = ("SM2", "RSA", "EC")


class SignatureServer(SignedJsonServer):
    """Holds the keys given and those that clients have it make."""

    def __init__(self, clients: Mapping[str, bytes], keys: Mapping[str, PrivateKey], port: int = 0) -> None:
        super().__init__(clients, port)
        self._keys, self._provider = dict(keys), SoftwareProvider()

    def work(self, method: str, parts: list[str], asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if method == "POST" and parts == ["v1", "keys"]:
            return 201, self._made(asked)
        if parts[:2] != ["v1", "keys"] or not 3 <= len(parts) <= 4:
            raise Refused(404, "no_such_path", "see docs/signing.md")
        with self.lock:
            key = self._keys.get(parts[2])
        if key is None:
            raise Refused(404, "no_such_key", parts[2][:64])
        action = (method, parts[3] if len(parts) == 4 else "")
        if action == ("GET", ""):
            return 200, _public(parts[2], key)
        if action == ("POST", "sign"):
            scheme = asked.get("scheme")
            if scheme not in SCHEME_OIDS:
                raise Refused(400, "bad_scheme", f"one of {', '.join(SCHEME_OIDS)}")
            value = self._provider.sign_digest(key, bytes_of(asked, "digest", DIGEST_BYTES), scheme)
            return 200, {"signature": base64.b64encode(value).decode()}
        if action == ("POST", "decrypt"):
            plain = self._provider.decrypt(key, bytes_of(asked, "ciphertext", self.body_bytes_max))
            return 200, {"plaintext": base64.b64encode(plain).decode()}
        raise Refused(405, "no_such_action", "GET a key, POST sign or decrypt")

    def _made(self, asked: dict[str, Any]) -> dict[str, Any]:
        kind = asked.get("kind")
        if kind not in _KINDS:
            raise Refused(400, "bad_kind", f"one of {', '.join(_KINDS)}")
        key = self._provider.generate(kind)
        with self.lock:
            if len(self._keys) >= KEYS_MAX:
                raise Refused(409, "full", f"holds {KEYS_MAX} keys already")
            name = f"key-{len(self._keys) + 1}"
            self._keys[name] = key
        return _public(name, key)


def _public(name: str, key: PrivateKey) -> dict[str, Any]:
    return {"name": name, "kind": key.public.kind, "spki": base64.b64encode(key.public.spki).decode()}
