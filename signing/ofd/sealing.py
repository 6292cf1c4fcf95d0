"""Setting a seal on an OFD: Signatures.xml, Signature.xml over every file, the seal signature over that.
Files that are there keep their bytes; what is made is judged before it is handed out.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC

from lxml import etree

from signing.digest import sm3
from signing.errors import SigningError
from signing.issuing import Identity
from signing.ofd import xml
from signing.ofd.checking import check_ofd, steps_of
from signing.ofd.model import Box, Document, Ofd
from signing.ofd.package import STANDARD, write_package
from signing.ofd.reading import MAIN, SIGNATURES_MAX, read_ofd, read_signature
from signing.seals.checking import Circumstances
from signing.seals.making import seal_document
from signing.seals.reading import parse_seal

_SM3, _SM2_SM3 = "1.2.156.10197.1.401", "1.2.156.10197.1.501"
PROVIDER_NAME, PROVIDER_VERSION = "govhub", "1.0"
_MAP = {"ofd": xml.NAMESPACE}

# (bytes of Signature.xml, its name) -> a seal signature over them in DER
Sign = Callable[[bytes, str], bytes]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the seal's centre comes to lie: page counted from 1, millimetres from its upper left corner."""

    page: int
    x_mm: float
    y_mm: float


def sign_with(seal: bytes, signer: Identity, given: Circumstances) -> Sign:
    """Signing with a key at hand; a book of seals or a signature server gives its own."""
    return lambda original, about: seal_document(seal, signer, original, about, given)


def seal_ofd(data: bytes, seal: bytes, places: tuple[Place, ...], sign: Sign, given: Circumstances) -> bytes:
    """The document with one more seal, at the time `given.now`.

    Every file is protected but the list of signatures, which the next seal must be able to extend. Raises
    SigningError when the document cannot be sealed, an earlier seal is broken by it or invalid, or the seal
    may not be used.
    """
    ofd = read_ofd(data)
    if len(ofd.documents) != 1:
        raise SigningError("OFD", "several documents in one package are not sealed here", STANDARD)
    document = ofd.documents[0]
    _must_be_open(ofd, document)
    files = dict(ofd.files)
    list_path = document.signatures_path or document.root.rsplit("/", 1)[0] + "/Signs/Signatures.xml"
    if document.signatures_path is None:
        files[MAIN] = _with_list(files[MAIN], list_path)
    number = _next_number(document)
    folder = _new_folder(files, list_path, number)
    files[list_path] = _listed(files.get(list_path), number, f"{folder}/Signature.xml")
    seal_path, value_path = f"{folder}/Seal.esl", f"{folder}/SignedValue.dat"
    protected = {path: content for path, content in files.items() if path != list_path}
    protected[seal_path] = files[seal_path] = seal
    boxes = tuple(_stamp(document, place, seal) for place in places)
    signature = _signature_xml(protected, boxes, given)
    files[f"{folder}/Signature.xml"] = signature
    files[value_path] = sign(signature, f"{folder}/Signature.xml")
    sealed = write_package(files)
    _must_be_valid(sealed, given)
    return sealed


def _must_be_open(ofd: Ofd, document: Document) -> None:
    """An earlier signature may protect the list of signatures: then no further seal is allowed (it would
    break that one)."""
    for entry in document.entries:
        signature = read_signature(ofd.files, entry.path)
        if any(reference.path == document.signatures_path for reference in signature.references):
            raise SigningError(
                entry.path,
                "protects the list of signatures: no further seal can be set",
                STANDARD,
                zh=f"{entry.path}：已锁定签章列表，不能再加盖印章",
            )


def _next_number(document: Document) -> int:
    if len(document.entries) == SIGNATURES_MAX:
        raise SigningError("OFD", f"has {SIGNATURES_MAX} signatures already", STANDARD)
    taken = [int(entry.id) for entry in document.entries if entry.id.isascii() and entry.id.isdigit()]
    return max(taken, default=0) + 1


def _new_folder(files: dict[str, bytes], list_path: str, number: int) -> str:
    base = list_path.rsplit("/", 1)[0]
    while any(path.startswith(f"{base}/Sign_{number}/") for path in files):
        number += 1
    return f"{base}/Sign_{number}"


def _with_list(main: bytes, list_path: str) -> bytes:
    root = xml.parse(main, MAIN)
    body = next(iter(xml.every(root, "DocBody")))
    line = etree.SubElement(body, f"{{{xml.NAMESPACE}}}Signatures")
    line.text = list_path[1:]
    return _written(root)


def _listed(before: bytes | None, number: int, path: str) -> bytes:
    root = xml.parse(before, "Signatures.xml") if before else _new("Signatures")
    highest = xml.optional(root, "MaxSignId", "Signatures.xml")
    if highest is None:
        highest = etree.Element(f"{{{xml.NAMESPACE}}}MaxSignId")
        root.insert(0, highest)
    highest.text = str(number)
    _add(root, "Signature", ID=str(number), Type="Seal", BaseLoc=path)
    return _written(root)


def _stamp(document: Document, place: Place, seal: bytes) -> tuple[int, Box]:
    if not 1 <= place.page <= len(document.pages):
        raise SigningError("page", f"must be 1 to {len(document.pages)}", STANDARD)
    picture = parse_seal(seal).picture
    return document.pages[place.page - 1].id, (
        place.x_mm - picture.width_mm / 2,
        place.y_mm - picture.height_mm / 2,
        float(picture.width_mm),
        float(picture.height_mm),
    )


def _signature_xml(
    protected: dict[str, bytes], boxes: tuple[tuple[int, Box], ...], given: Circumstances
) -> bytes:
    root = _new("Signature")
    info = _add(root, "SignedInfo")
    _add(info, "Provider", ProviderName=PROVIDER_NAME, Version=PROVIDER_VERSION, Company=PROVIDER_NAME)
    _add(info, "SignatureMethod").text = _SM2_SM3
    _add(info, "SignatureDateTime").text = given.now.astimezone(UTC).strftime("%Y%m%d%H%M%SZ")
    references = _add(info, "References", CheckMethod=_SM3)
    for path, content in protected.items():
        line = _add(references, "Reference", FileRef=path)
        _add(line, "CheckValue").text = base64.b64encode(sm3(content)).decode("ascii")
    for number, (page_id, box) in enumerate(boxes, 1):
        corners = " ".join(f"{value:g}" for value in box)
        _add(info, "StampAnnot", ID=str(number), PageRef=str(page_id), Boundary=corners)
    _add(_add(info, "Seal"), "BaseLoc").text = "Seal.esl"
    _add(root, "SignedValue").text = "SignedValue.dat"
    return _written(root)


def _new(name: str) -> xml.Element:
    return etree.Element(f"{{{xml.NAMESPACE}}}{name}", nsmap=_MAP)


def _add(parent: xml.Element, name: str, **attributes: str) -> xml.Element:
    return etree.SubElement(parent, f"{{{xml.NAMESPACE}}}{name}", attributes)


def _written(root: xml.Element) -> bytes:
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def _must_be_valid(sealed: bytes, given: Circumstances) -> None:
    verdict = check_ofd(sealed, given)
    bad = next((step for step in steps_of(verdict) if step.outcome in ("failed", "unknown")), None)
    if bad is not None:
        raise SigningError("OFD", f"{bad.name}: {bad.en}", STANDARD, zh=f"{bad.zh}（{bad.name}）")
