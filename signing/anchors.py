"""Anchors: one signed text over the newest statement of every lane, and a peer's countersignature under it.
A peer that keeps anchors makes it impossible to rewrite history alone. Pure: no storage, no transport, no
clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from signing.digest import sm3_hex
from signing.errors import SigningError

ANCHOR_FORMAT = "govhub-anchor-1"
COUNTERSIGNATURE_FORMAT = "govhub-countersignature-1"
NO_ANCHOR = "0" * 64
TEXT_BYTES_MAX = 1 << 20
LANES_MAX = 4_000


@dataclass(frozen=True, slots=True)
class Anchor:
    """`lanes`: lane -> (sequence, digest of its statement in hex). `previous`: SM3 of the anchor before, in
    hex."""

    hub: str
    number: int
    at_ms: int
    previous: str
    lanes: Mapping[str, tuple[int, str]]

    def to_bytes(self) -> bytes:
        """The signed bytes: JSON with sorted names, no spaces, UTF-8."""
        lanes = {
            lane: {"digest": digest, "sequence": number} for lane, (number, digest) in self.lanes.items()
        }
        return _canonical(
            {
                "at": self.at_ms,
                "format": ANCHOR_FORMAT,
                "hub": self.hub,
                "lanes": lanes,
                "number": self.number,
                "previous": self.previous,
            }
        )

    def digest(self) -> str:
        """What the next anchor and a countersignature name."""
        return sm3_hex(self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Anchor:
        """Raises SigningError for bytes that are no anchor in its one written form."""
        found = _read(data, ANCHOR_FORMAT)
        try:
            lanes = {
                str(lane): (int(one["sequence"]), str(one["digest"])) for lane, one in found["lanes"].items()
            }
            anchor = cls(
                str(found["hub"]), int(found["number"]), int(found["at"]), str(found["previous"]), lanes
            )
        except (KeyError, TypeError, ValueError, AttributeError) as bad:
            raise SigningError("anchor", "is incomplete") from bad
        if anchor.to_bytes() != data or len(lanes) > LANES_MAX:
            raise SigningError("anchor", "is not in its one written form")
        return anchor

    def follows(self, before: Anchor | None) -> bool:
        """Whether this is the next of the same hub's anchors, and no lane went back."""
        if before is None:
            return self.number == 0 and self.previous == NO_ANCHOR
        forward = all(
            lane in self.lanes
            and self.lanes[lane][0] >= number
            and (self.lanes[lane][0] > number or self.lanes[lane][1] == digest)
            for lane, (number, digest) in before.lanes.items()
        )
        return (
            forward
            and self.hub == before.hub
            and self.number == before.number + 1
            and self.previous == before.digest()
            and self.at_ms >= before.at_ms
        )


@dataclass(frozen=True, slots=True)
class Countersignature:
    """`anchor`: the digest of the anchor that the peer keeps since `at` (ISO 8601, its own clock)."""

    peer: str
    anchor: str
    at: str

    def to_bytes(self) -> bytes:
        """The bytes that the peer signs."""
        return _canonical(
            {"anchor": self.anchor, "at": self.at, "format": COUNTERSIGNATURE_FORMAT, "peer": self.peer}
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Countersignature:
        """Raises SigningError."""
        found = _read(data, COUNTERSIGNATURE_FORMAT)
        one = cls(str(found.get("peer")), str(found.get("anchor")), str(found.get("at")))
        if one.to_bytes() != data:
            raise SigningError("countersignature", "is not in its one written form")
        return one


def _canonical(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _read(data: bytes, form: str) -> dict[str, Any]:
    if len(data) > TEXT_BYTES_MAX:
        raise SigningError(form, f"longer than {TEXT_BYTES_MAX} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as bad:
        raise SigningError(form, "is not JSON") from bad
    if not isinstance(found, dict) or found.get("format") != form:
        raise SigningError(form, "is of another form")
    return found
