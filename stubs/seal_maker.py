"""A simulated seal-making system (制章系统): makes seals with its own key and keeps which are withdrawn.
In memory; asked again it answers the same, and a number asked for with another content is refused.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from signing.certificates import parse_certificate
from signing.digest import sm3_hex
from signing.issuing import Identity
from signing.seals.checking import Circumstances
from signing.seals.making import SealPlan, make_seal
from signing.seals.model import Picture
from stubs.signed_json import Refused, SignedJsonServer, bytes_of

_STATUSES = ("lost", "replaced", "destroyed")


class SealMakingSystem(SignedJsonServer):
    """`PUT /v1/seals/ID`, `POST /v1/seals/ID/status`, `GET /v1/seals/ID` (docs/signing.md)."""

    body_bytes_max = 4 * 1024 * 1024

    def __init__(
        self, clients: Mapping[str, bytes], maker: Identity, given: Circumstances, port: int = 0
    ) -> None:
        super().__init__(clients, port)
        self._maker, self._given = maker, given
        self._made: dict[str, tuple[str, bytes]] = {}
        self.statuses: dict[str, tuple[str, str]] = {}

    def work(self, method: str, parts: list[str], asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if parts[:2] != ["v1", "seals"] or not 3 <= len(parts) <= 4:
            raise Refused(404, "no_such_path", "see docs/signing.md")
        es_id, action = parts[2], (method, parts[3] if len(parts) == 4 else "")
        with self.lock:
            if action == ("PUT", ""):
                return self._make(es_id, asked)
            if es_id not in self._made:
                raise Refused(404, "no_such_seal", es_id[:64])
            if action == ("POST", "status"):
                return self._withdraw(es_id, asked)
            if action == ("GET", ""):
                status, since = self.statuses.get(es_id, ("valid", ""))
                return 200, {"es_id": es_id, "status": status, "since": since}
        raise Refused(405, "no_such_action", "PUT or GET a seal, POST its status")

    def _make(self, es_id: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        content = sm3_hex(repr(sorted(asked.items())).encode())
        held = self._made.get(es_id)
        if held is not None and held[0] != content:
            raise Refused(409, "other_content", "this number was made with another content")
        if held is None:
            held = self._made[es_id] = (content, make_seal(_plan(es_id, asked), self._maker, self._given))
        return 200, {"seal": base64.b64encode(held[1]).decode()}

    def _withdraw(self, es_id: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status = asked.get("status")
        if status not in _STATUSES:
            raise Refused(400, "bad_status", f"one of {', '.join(_STATUSES)}")
        self.statuses[es_id] = (status, str(asked.get("at", ""))[:40])
        return 200, {"es_id": es_id, "status": status}


def _plan(es_id: str, asked: dict[str, Any]) -> SealPlan:
    try:
        times = [datetime.fromisoformat(asked[name]) for name in ("created_at", "valid_from", "valid_until")]
        signers = tuple(parse_certificate(base64.b64decode(one, validate=True)) for one in asked["signers"])
        picture = Picture(
            str(asked["picture_kind"]),
            bytes_of(asked, "picture", 2 * 1024 * 1024),
            int(asked["width_mm"]),
            int(asked["height_mm"]),
        )
        return SealPlan(
            es_id=es_id,
            type=int(asked["type"]),
            name=str(asked["name"]),
            vendor=str(asked["vendor"]),
            signers=signers,
            picture=picture,
            created_at=times[0],
            valid_from=times[1],
            valid_until=times[2],
            version=1 if asked["version"] == 1 else 4,
        )
    except (KeyError, TypeError, ValueError) as bad:
        raise Refused(400, "bad_application", f"{type(bad).__name__}: {bad}"[:200]) from bad
