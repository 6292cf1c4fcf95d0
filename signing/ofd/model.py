"""An OFD as data: its files, documents, pages and signature entries. Nothing here is judged.
reading.py fills these, checking.py judges them, sealing.py adds to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# left, top, width, height in millimetres from the page's upper left corner
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its id inside the document, its content file, its area on paper."""

    id: int
    path: str
    box: Box


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where a seal shows itself (StampAnnot): the page's id and the seal's area on it, in millimetres."""

    id: str
    page_id: int
    box: Box


@dataclass(frozen=True, slots=True)
class Reference:
    """A protected file: absolute name and the digest that its bytes had."""

    path: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class SignatureFile:
    """A Signature.xml. `raw` are its bytes, over which the seal signature was made; `digest` names the
    algorithm of the references as written; `method` and `signed_at` are repeated there for readers."""

    path: str
    raw: bytes
    provider: str
    method: str
    signed_at: str
    digest: str
    references: tuple[Reference, ...]
    stamps: tuple[Stamp, ...]
    seal_path: str | None
    value_path: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of Signatures.xml: number, kind (Seal or Sign) and where its Signature.xml lies."""

    id: str
    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class Document:
    """One DocBody: identification, pages, and its list of signatures if it has one."""

    id: str
    title: str
    root: str
    pages: tuple[Page, ...]
    signatures_path: str | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Ofd:
    """A whole package: the bytes of its files by absolute name, and its documents."""

    files: Mapping[str, bytes]
    documents: tuple[Document, ...]
