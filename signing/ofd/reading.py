"""Reading a package into its model. Reading judges the form only, and strictly; no signature is checked.
Page contents are not interpreted: what a seal protects are bytes.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping

from signing.errors import SigningError
from signing.ofd import xml
from signing.ofd.model import Box, Document, Entry, Ofd, Page, Reference, SignatureFile, Stamp
from signing.ofd.package import STANDARD, read_package

DOCUMENTS_MAX = 16
PAGES_MAX = 5_000
SIGNATURES_MAX = 64
REFERENCES_MAX = 4_096
STAMPS_MAX = 512
TEXT_CHARS_MAX = 512
MAIN = "/OFD.xml"
_DIGEST_BYTES_MAX = 64
# A side of a page or stamp in millimetres: ten metres is a banner.
_SIDE_MM_MAX = 10_000.0


def read_ofd(data: bytes) -> Ofd:
    """The package and what its index files say. Raises SigningError."""
    files = read_package(data)
    root = xml.expect(xml.parse(_file(files, MAIN, "OFD"), MAIN), "OFD", MAIN)
    bodies = list(xml.every(root, "DocBody"))
    if not 1 <= len(bodies) <= DOCUMENTS_MAX:
        raise SigningError(MAIN, f"must have 1 to {DOCUMENTS_MAX} DocBody", STANDARD)
    return Ofd(files, tuple(_document(files, body) for body in bodies))


def _file(files: Mapping[str, bytes], path: str, field: str) -> bytes:
    content = files.get(path)
    if content is None:
        raise SigningError(field, f"file {path} is missing", STANDARD, zh=f"{field}：缺少文件 {path}")
    return content


def _document(files: Mapping[str, bytes], body: xml.Element) -> Document:
    info = xml.one(body, "DocInfo", MAIN)
    root_path = xml.resolve(MAIN, xml.text(xml.one(body, "DocRoot", MAIN)), MAIN)
    listed = xml.text(xml.optional(body, "Signatures", MAIN))
    signatures_path = xml.resolve(MAIN, listed, MAIN) if listed else None
    return Document(
        id=xml.text(xml.optional(info, "DocID", MAIN))[:TEXT_CHARS_MAX],
        title=xml.text(xml.optional(info, "Title", MAIN))[:TEXT_CHARS_MAX],
        root=root_path,
        pages=_pages(files, root_path),
        signatures_path=signatures_path,
        entries=_entries(files, signatures_path) if signatures_path else (),
    )


def _pages(files: Mapping[str, bytes], root_path: str) -> tuple[Page, ...]:
    root = xml.expect(xml.parse(_file(files, root_path, MAIN), root_path), "Document", root_path)
    area = xml.optional(xml.one(root, "CommonData", root_path), "PageArea", root_path)
    usual = _area(area, root_path) or (0.0, 0.0, 210.0, 297.0)
    pages = list(xml.every(xml.one(root, "Pages", root_path), "Page"))
    if len(pages) > PAGES_MAX:
        raise SigningError(root_path, f"more than {PAGES_MAX} pages", STANDARD)
    found: list[Page] = []
    for page in pages:
        path = xml.resolve(root_path, xml.attribute(page, "BaseLoc", root_path), root_path)
        content = xml.expect(xml.parse(_file(files, path, root_path), path), "Page", path)
        box = _area(xml.optional(content, "Area", path), path) or usual
        found.append(Page(_number(xml.attribute(page, "ID", root_path), root_path), path, box))
    if len({page.id for page in found}) != len(found):
        raise SigningError(root_path, "two pages have one ID", STANDARD)
    return tuple(found)


def _area(area: xml.Element | None, field: str) -> Box | None:
    box = xml.optional(area, "PhysicalBox", field) if area is not None else None
    return read_box(xml.text(box), field) if box is not None else None


def read_box(value: str, field: str) -> Box:
    """A ST_Box "x y w h" in millimetres. Raises SigningError for anything but four sane numbers."""
    parts = value.split() if len(value) <= TEXT_CHARS_MAX else []
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if (
        len(numbers) != 4
        or not all(math.isfinite(n) and abs(n) <= _SIDE_MM_MAX for n in numbers)
        or numbers[2] <= 0
        or numbers[3] <= 0
    ):
        raise SigningError(field, f"bad box {value[:80]!r}", STANDARD)
    left, top, width, height = numbers
    return left, top, width, height


def _number(value: str, field: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise SigningError(field, f"bad number {value[:20]!r}", STANDARD)
    return int(value)


def _entries(files: Mapping[str, bytes], path: str) -> tuple[Entry, ...]:
    root = xml.expect(xml.parse(_file(files, path, MAIN), path), "Signatures", path)
    found: list[Entry] = []
    for line in xml.every(root, "Signature"):
        if len(found) == SIGNATURES_MAX:
            raise SigningError(path, f"more than {SIGNATURES_MAX} signatures", STANDARD)
        kind = line.get("Type") or "Seal"
        if kind not in ("Seal", "Sign"):
            raise SigningError(path, f"unknown kind of signature {kind[:20]!r}", STANDARD)
        where = xml.resolve(path, xml.attribute(line, "BaseLoc", path), path)
        found.append(Entry(xml.attribute(line, "ID", path)[:TEXT_CHARS_MAX], kind, where))
    if len({entry.id for entry in found}) != len(found) or len({e.path for e in found}) != len(found):
        raise SigningError(path, "two signatures have one ID or one place", STANDARD)
    return tuple(found)


def read_signature(files: Mapping[str, bytes], path: str) -> SignatureFile:
    """A Signature.xml of the package. Raises SigningError."""
    raw = _file(files, path, path)
    root = xml.expect(xml.parse(raw, path), "Signature", path)
    info = xml.one(root, "SignedInfo", path)
    references = xml.one(info, "References", path)
    provider = xml.one(info, "Provider", path)
    seal = xml.optional(info, "Seal", path)
    stamps = list(xml.every(info, "StampAnnot"))
    if len(stamps) > STAMPS_MAX:
        raise SigningError(path, f"more than {STAMPS_MAX} stamps", STANDARD)
    return SignatureFile(
        path=path,
        raw=raw,
        provider=" ".join(provider.get(name) or "" for name in ("ProviderName", "Version", "Company"))[
            :TEXT_CHARS_MAX
        ].strip(),
        method=xml.text(xml.optional(info, "SignatureMethod", path))[:TEXT_CHARS_MAX],
        signed_at=xml.text(xml.optional(info, "SignatureDateTime", path))[:TEXT_CHARS_MAX],
        digest=(references.get("CheckMethod") or "MD5")[:TEXT_CHARS_MAX],
        references=_references(references, path),
        stamps=tuple(_stamp(stamp, path) for stamp in stamps),
        seal_path=(
            xml.resolve(path, xml.text(xml.one(seal, "BaseLoc", path)), path) if seal is not None else None
        ),
        value_path=xml.resolve(path, xml.text(xml.one(root, "SignedValue", path)), path),
    )


def _references(listed: xml.Element, path: str) -> tuple[Reference, ...]:
    found: dict[str, Reference] = {}
    for line in xml.every(listed, "Reference"):
        if len(found) == REFERENCES_MAX:
            raise SigningError(path, f"more than {REFERENCES_MAX} references", STANDARD)
        where = xml.resolve(path, xml.attribute(line, "FileRef", path), path)
        if where in found:
            raise SigningError(path, f"{where} is referenced twice", STANDARD)
        try:
            value = xml.text(xml.one(line, "CheckValue", path))
            digest = base64.b64decode(value, validate=True)
        except binascii.Error as bad:
            raise SigningError(path, f"CheckValue of {where} is not base64", STANDARD) from bad
        if not 1 <= len(digest) <= _DIGEST_BYTES_MAX:
            raise SigningError(path, f"CheckValue of {where} is no digest", STANDARD)
        found[where] = Reference(where, digest)
    if not found:
        raise SigningError(path, "no Reference: nothing is protected", STANDARD)
    return tuple(found.values())


def _stamp(line: xml.Element, path: str) -> Stamp:
    return Stamp(
        id=(line.get("ID") or "")[:TEXT_CHARS_MAX],
        page_id=_number(xml.attribute(line, "PageRef", path), path),
        box=read_box(xml.attribute(line, "Boundary", path), path),
    )
