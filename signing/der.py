"""DER reading and writing (X.690): definite lengths, minimal lengths, every read bounded.
No structure of any standard lives here. A node keeps its original bytes, because what was signed is
verified as it was received and never re-encoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from signing.errors import SigningError

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTF8_STRING, PRINTABLE_STRING, T61_STRING, IA5_STRING = 0x0C, 0x13, 0x14, 0x16
UTC_TIME, GENERALIZED_TIME, BMP_STRING = 0x17, 0x18, 0x1E
SEQUENCE, SET = 0x30, 0x31

DATA_BYTES_MAX = 16 * 1024 * 1024
CHILDREN_MAX = 4096
INTEGER_BYTES_MAX = 1024
_OID_BYTES_MAX = 64
_TEXT_ENCODINGS = {
    UTF8_STRING: "utf-8",
    PRINTABLE_STRING: "ascii",
    IA5_STRING: "ascii",
    BMP_STRING: "utf-16-be",
    T61_STRING: "gb18030",  # what Chinese issuers of the 2000s put there
}
_UTC_TIME = re.compile(rb"(\d{10})(\d\d)?(Z|[+-]\d{4})")
_GENERALIZED_TIME = re.compile(rb"(\d{14})(?:\.\d{1,9})?(Z|[+-]\d{4})?")


@dataclass(frozen=True, slots=True)
class Node:
    """One element: identifier octet, content octets, all its original octets, and its name for error
    texts."""

    tag: int
    content: bytes
    raw: bytes
    field: str


def _bad(field: str, rule: str) -> SigningError:
    return SigningError(field, rule, "X.690 DER")


def parse(data: bytes, field: str) -> Node:
    """The one element that `data` consists of. Raises SigningError (also for bytes after it)."""
    node, end = _read(data, 0, field)
    if end != len(data):
        raise _bad(field, f"{len(data) - end} bytes after the end of the element")
    return node


def first_element(data: bytes, field: str) -> bytes:
    """The bytes of the element that `data` begins with, where a format pads what follows (PDF /Contents)."""
    return _read(data, 0, field)[0].raw


def _read(data: bytes, start: int, field: str) -> tuple[Node, int]:
    if len(data) > DATA_BYTES_MAX:
        raise _bad(field, f"longer than {DATA_BYTES_MAX} bytes")
    if len(data) - start < 2:
        raise _bad(field, "truncated header")
    tag, first = data[start], data[start + 1]
    if tag & 0x1F == 0x1F:
        raise _bad(field, "multi-byte tags are not used here")
    head = start + 2
    length = first
    if first & 0x80:
        size = first & 0x7F
        if not 1 <= size <= 4:
            raise _bad(field, "indefinite or oversized length")
        octets = data[head : head + size]
        if len(octets) < size:
            raise _bad(field, "truncated length")
        length = int.from_bytes(octets, "big")
        if length < 0x80 or octets[0] == 0:
            raise _bad(field, "length not in its shortest form")
        head += size
    end = head + length
    if end > len(data):
        raise _bad(field, f"content truncated: {length} bytes announced, {len(data) - head} present")
    return Node(tag, data[head:end], data[start:end], field), end


def children(node: Node, *names: str, at_most: int = CHILDREN_MAX) -> list[Node]:
    """The elements inside a constructed node, named for error texts by `names` in order (as far as given)."""
    if not node.tag & 0x20:
        raise _bad(node.field, "must be constructed")
    found: list[Node] = []
    position = 0
    while position < len(node.content):
        if len(found) == at_most:
            raise _bad(node.field, f"more than {at_most} elements")
        name = names[len(found)] if len(found) < len(names) else f"[{len(found)}]"
        child, position = _read(node.content, position, f"{node.field}.{name}")
        found.append(child)
    return found


def sequence(node: Node, *names: str, least: int | None = None) -> list[Node]:
    """The elements of a SEQUENCE with at least `least` (default: all the named) and at most the named
    elements."""
    expect(node, SEQUENCE)
    found = children(node, *names)
    least = len(names) if least is None else least
    if not least <= len(found) <= len(names):
        raise _bad(node.field, f"{len(found)} elements, expected {least} to {len(names)}")
    return found


def expect(node: Node, tag: int) -> Node:
    if node.tag != tag:
        raise _bad(node.field, f"tag 0x{node.tag:02x}, expected 0x{tag:02x}")
    return node


def integer(node: Node) -> int:
    expect(node, INTEGER)
    content = node.content
    if not 1 <= len(content) <= INTEGER_BYTES_MAX:
        raise _bad(node.field, f"an INTEGER has 1 to {INTEGER_BYTES_MAX} bytes")
    if len(content) > 1 and (content[0], content[1] >> 7) in ((0, 0), (0xFF, 1)):
        raise _bad(node.field, "INTEGER not in its shortest form")
    return int.from_bytes(content, "big", signed=True)


def boolean(node: Node) -> bool:
    expect(node, BOOLEAN)
    if node.content not in (b"\x00", b"\xff"):
        raise _bad(node.field, "BOOLEAN must be 00 or FF")
    return node.content == b"\xff"


def oid(node: Node) -> str:
    expect(node, OID)
    content = node.content
    if not 1 <= len(content) <= _OID_BYTES_MAX or content[-1] & 0x80:
        raise _bad(node.field, "malformed OBJECT IDENTIFIER")
    arcs: list[int] = []
    value, fresh = 0, True
    for octet in content:
        if fresh and octet == 0x80:
            raise _bad(node.field, "arc not in its shortest form")
        value, fresh = value << 7 | octet & 0x7F, not octet & 0x80
        if fresh:
            arcs.append(value)
            value = 0
    top = min(arcs[0] // 40, 2)
    return ".".join(map(str, [top, arcs[0] - 40 * top, *arcs[1:]]))


def octets(node: Node) -> bytes:
    return expect(node, OCTET_STRING).content


def bits(node: Node) -> bytes:
    """Content of a BIT STRING of whole octets: every signature and digest here."""
    expect(node, BIT_STRING)
    if not node.content or node.content[0] != 0:
        raise _bad(node.field, "BIT STRING must be whole octets")
    return node.content[1:]


def text(node: Node) -> str:
    encoding = _TEXT_ENCODINGS.get(node.tag)
    if encoding is None:
        raise _bad(node.field, f"tag 0x{node.tag:02x} is no character string")
    try:
        return node.content.decode(encoding)
    except UnicodeDecodeError as wrong:
        raise _bad(node.field, f"not {encoding}") from wrong


def time(node: Node) -> datetime:
    """UTCTime (1950–2049) or GeneralizedTime as an aware datetime; without a zone it is taken as UTC."""
    if node.tag == UTC_TIME:
        match = _UTC_TIME.fullmatch(node.content)
        digits = (match[1] + (match[2] or b"00")) if match else b""
        digits = (b"20" if digits < b"50" else b"19") + digits
        zone = match[3] if match else b""
    elif node.tag == GENERALIZED_TIME:
        match = _GENERALIZED_TIME.fullmatch(node.content)
        digits, zone = (match[1], match[2] or b"Z") if match else (b"", b"")
    else:
        raise _bad(node.field, f"tag 0x{node.tag:02x} is no time")
    if match is None:
        raise _bad(node.field, "malformed time")
    try:
        moment = datetime.strptime(digits.decode("ascii"), "%Y%m%d%H%M%S")
        if zone == b"Z":
            return moment.replace(tzinfo=UTC)
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5])) * (-1 if zone[:1] == b"-" else 1)
        return moment.replace(tzinfo=timezone(offset)).astimezone(UTC)
    except (ValueError, OverflowError) as wrong:
        raise _bad(node.field, "no such time") from wrong


def tlv(tag: int, content: bytes) -> bytes:
    """One element, length in its shortest form."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def make_sequence(*parts: bytes) -> bytes:
    return tlv(SEQUENCE, b"".join(parts))


def make_integer(value: int) -> bytes:
    return tlv(
        INTEGER, value.to_bytes(((value if value >= 0 else ~value).bit_length() // 8) + 1, "big", signed=True)
    )


def make_boolean(value: bool) -> bytes:
    return tlv(BOOLEAN, b"\xff" if value else b"\x00")


def make_oid(dotted: str) -> bytes:
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return tlv(OID, bytes(content))


def make_octets(content: bytes) -> bytes:
    return tlv(OCTET_STRING, content)


def make_bits(content: bytes) -> bytes:
    return tlv(BIT_STRING, b"\x00" + content)


def make_utf8(value: str) -> bytes:
    return tlv(UTF8_STRING, value.encode("utf-8"))


def make_ia5(value: str) -> bytes:
    return tlv(IA5_STRING, value.encode("ascii"))


def make_printable(value: str) -> bytes:
    return tlv(PRINTABLE_STRING, value.encode("ascii"))


def make_generalized_time(moment: datetime) -> bytes:
    return tlv(GENERALIZED_TIME, moment.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode("ascii"))


def make_utc_time(moment: datetime) -> bytes:
    utc = moment.astimezone(UTC)
    if not 1950 <= utc.year < 2050:
        raise _bad("UTCTime", "year outside 1950 to 2049")
    return tlv(UTC_TIME, utc.strftime("%y%m%d%H%M%SZ").encode("ascii"))


def make_time(moment: datetime) -> bytes:
    """UTCTime to 2049, GeneralizedTime after: what RFC 5280 prescribes for certificates."""
    return make_utc_time(moment) if moment.astimezone(UTC).year < 2050 else make_generalized_time(moment)


def make_explicit(number: int, content: bytes) -> bytes:
    return tlv(0xA0 | number, content)
