"""XML inside a package: bounded, without DTD, entities or network, and a few ways to ask it.
The tree is for reading only; what was signed are the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from signing.errors import SigningError
from signing.ofd.package import STANDARD, path_problem

NAMESPACE = "http://www.ofdspec.org/2016"
XML_BYTES_MAX = 16 * 1024 * 1024
DEPTH_MAX = 64
_FORBIDDEN = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_ENCODINGS = ("utf-8", "utf8", "us-ascii", "gb2312", "gbk", "gb18030")

Element = etree._Element


def parse(data: bytes, field: str) -> Element:
    """The root element. Raises SigningError: not well formed, a DTD, too large, nested too deeply."""
    if len(data) > XML_BYTES_MAX:
        raise SigningError(field, f"longer than {XML_BYTES_MAX} bytes", STANDARD)
    # In an encoding where '<' is not one byte a DTD could hide from the search below.
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data[:64] or _FORBIDDEN.search(data):
        raise SigningError(field, "a DTD or an encoding that is not accepted", STANDARD)
    label = re.match(rb"""\s*(?:\xef\xbb\xbf)?<\?xml[^>]{0,200}?encoding\s*=\s*["']([^"']{1,40})""", data)
    if label and label[1].decode("latin-1").lower() not in _ENCODINGS:
        raise SigningError(field, "an encoding that is not accepted", STANDARD)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError, LookupError) as broken:
        raise SigningError(field, "is not well-formed XML", STANDARD) from broken
    if _too_deep(root):
        raise SigningError(field, f"nested deeper than {DEPTH_MAX}", STANDARD)
    return root


def _too_deep(root: Element) -> bool:
    level = [root]
    for _ in range(DEPTH_MAX):
        level = [child for element in level for child in element]
        if not level:
            return False
    return True


def expect(element: Element, name: str, field: str) -> Element:
    """The element itself when it is ofd:`name`. Raises SigningError."""
    if element.tag != f"{{{NAMESPACE}}}{name}":
        raise SigningError(field, f"must be ofd:{name}", STANDARD)
    return element


def every(element: Element, name: str) -> Iterator[Element]:
    """Direct children ofd:`name`."""
    return element.iterchildren(f"{{{NAMESPACE}}}{name}")


def optional(element: Element, name: str, field: str) -> Element | None:
    """The one child ofd:`name`, or None. Raises SigningError when there are several."""
    found = list(every(element, name))
    if len(found) > 1:
        raise SigningError(field, f"several ofd:{name}", STANDARD)
    return found[0] if found else None


def one(element: Element, name: str, field: str) -> Element:
    """The one child ofd:`name`. Raises SigningError."""
    found = optional(element, name, field)
    if found is None:
        raise SigningError(field, f"ofd:{name} is missing", STANDARD)
    return found


def text(element: Element | None) -> str:
    """Text of an element without children; empty for None."""
    return (element.text or "").strip() if element is not None else ""


def attribute(element: Element, name: str, field: str) -> str:
    """A required attribute. Raises SigningError."""
    value = element.get(name)
    if value is None or not value.strip():
        raise SigningError(field, f"attribute {name} is missing", STANDARD)
    return value.strip()


def resolve(base: str, location: str, field: str) -> str:
    """An absolute path (ST_Loc): itself when it begins with '/', otherwise beside the file `base`.

    Raises SigningError for anything that is not a plain path: a URL, a climb, a drive.
    """
    path = location if location.startswith("/") else base.rsplit("/", 1)[0] + "/" + location
    parts: list[str] = []
    for part in path[1:].split("/"):
        if part == "." or (part == ".." and parts):
            parts = parts[: len(parts) - len(part) + 1]
        else:
            parts.append(part)
    problem = path_problem("/".join(parts))
    if problem:
        raise SigningError(field, f"bad location {location[:80]!r}: {problem}", STANDARD)
    return "/" + "/".join(parts)
