"""The evidence file of one case: its form, read strictly and within bounds. Nothing is judged here."""

from pathlib import Path
from typing import Any, Final

import msgspec

from hub.evidence.leaves import SignedRoot

FORMAT: Final = "govhub-evidence-1"
FILE_BYTES_MAX: Final = 256 * 1024 * 1024
HANDOVERS_MAX: Final = 50_000
LINKS_MAX: Final = 20_000


class NoDocument(Exception):
    """The file is no evidence file; the text is bilingual."""


class Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message as it was handed in. content: JSON of which, with the type, the digest is taken; None where
    only the digest is on record."""

    id: str
    type: str
    content: Any = None


class HandOver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ledger line with its place. leaf: its canonical JSON is what was hashed; hash: of that leaf; proof:
    from leaf to root. All hashes in hex."""

    lane: str
    sequence: int
    index: int
    hash: str
    proof: list[str]
    leaf: dict[str, Any]


class Countersigned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A peer's word that it holds an anchor since a time. text: what it signed."""

    peer: str
    text: str
    signature: bytes
    certificate: bytes


class Anchored(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A digest over the newest statement of every lane, as peers keep it. links: statements, as text, that
    lead from the file's newest root of a lane to the one the anchor names."""

    text: str
    signature: bytes
    certificate: bytes
    timestamp: bytes
    countersigned: list[Countersigned]
    links: list[str] = []


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. unsigned: ledger lines whose root was not signed yet when the file was made."""

    format: str
    case: str
    exported_at: str
    messages: list[Content]
    handovers: list[HandOver]
    roots: list[SignedRoot]
    anchors: list[Anchored] = []
    unsigned: int = 0


def to_bytes(document: Document) -> bytes:
    """Readable JSON, the same for the same evidence but for `exported_at`."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def read(path: Path) -> Document:
    """Raises NoDocument or OSError."""
    if path.stat().st_size > FILE_BYTES_MAX:
        raise NoDocument(f"文件超过 {FILE_BYTES_MAX} 字节 / the file is over {FILE_BYTES_MAX} bytes")
    return from_bytes(path.read_bytes())


def from_bytes(data: bytes) -> Document:
    """Raises NoDocument."""
    try:
        document = msgspec.json.decode(data, type=Document)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as bad:
        raise NoDocument(f"不是证据文件 / not an evidence file: {bad}") from bad
    if document.format != FORMAT:
        raise NoDocument(f"格式须为 {FORMAT} / the format must be {FORMAT}, not {document.format[:50]!r}")
    if len(document.handovers) > HANDOVERS_MAX:
        raise NoDocument(f"超过 {HANDOVERS_MAX} 条 / over {HANDOVERS_MAX} hand-overs")
    return document
