"""Case routing in plain Python, the same for every peer that is written in it: what a
record carries, what is remembered of a case, what is written. Nothing of a framework here.

State of a case: 50 bytes a message (id, digest, two bytes), as the hub keeps it. Outputs of a record seen for
the first time: a ledger line of about 330 bytes, the record with two headers more (event), the record with
two headers more (dispatch).
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass

ENTRY_BYTES = 50
_ID_BYTES = 16
MEMBER = b"platform"
_FILL = b"x" * 60
Headers = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Given:
    """The job as a program is given it. outputs: topic names; `routed`, `events`, `deliver` or `copy`."""

    bootstrap: str
    topic: str
    name: str
    partitions: int
    scratch: str
    outputs: dict[str, str]

    @property
    def copies(self) -> bool:
        return "copy" in self.outputs


def given() -> Given:
    """From the command line."""
    return Given(**json.loads(sys.argv[1]))


def entry(headers: Iterable[tuple[str, bytes]]) -> bytes:
    """What is remembered of a record."""
    known = dict(headers)
    return bytes.fromhex(known["ce_id"].decode()) + bytes.fromhex(known["ce_digest"].decode()) + b"\0\0"


def seen(state: bytes, new: bytes) -> bool:
    """Whether the id of this entry is in the state."""
    id_ = new[:_ID_BYTES]
    place = state.find(id_)
    while place >= 0 and place % ENTRY_BYTES:
        place = state.find(id_, place + 1)
    return place >= 0


def dispatch_id(headers: Iterable[tuple[str, bytes]]) -> bytes:
    """Derived from message id and member."""
    return hashlib.sha256(dict(headers)["ce_id"] + b"/" + MEMBER).hexdigest()[:32].encode()


def line(key: bytes, headers: Iterable[tuple[str, bytes]]) -> bytes:
    """The ledger line."""
    known = dict(headers)
    type_, dispatch = known["ce_type"], dispatch_id(known.items())
    said = (known["ce_id"], key, b"routed", dispatch, MEMBER, type_, known["ce_source"], type_)
    return b"|".join((*said, known["ce_time"], known["ce_digest"], _FILL))


def event_headers(headers: Iterable[tuple[str, bytes]]) -> Headers:
    """Of an event."""
    return [*headers, ("hub_disposition", b"routed"), ("hub_stage", b"accepted")]


def dispatch_headers(headers: Iterable[tuple[str, bytes]]) -> Headers:
    """Of a dispatch."""
    known = list(headers)
    return [*known, ("hub_dispatch", dispatch_id(known)), ("hub_kind", b"case.process_step")]
