"""The room of a PDF signature: one DER SignedData whose parts that nothing signs are as RFC 5652 says.
No signature covers the version numbers, the list of digest algorithms or what pads the room, and readers
look past them: whatever is not judged here could be changed in a signed file unnoticed.
"""

from __future__ import annotations

from signing import der
from signing.errors import SigningError

_STANDARD = "ETSI EN 319 142-1 / RFC 5652"
_OID_DATA = "1.2.840.113549.1.7.1"
_DEPTH_MAX = 32
_CERTIFICATES, _CRLS = 0xA0, 0xA1
_ATTRIBUTE_CERTIFICATES, _OTHER = (0xA1, 0xA2), 0xA3
_SUBJECT_KEY_IDENTIFIER = 0x80


def check_container(room: bytes, issuer: bytes, field: str) -> None:
    """Raises SigningError naming the part of `room` (/Contents, decoded) that is not as it must be.
    `issuer`: the DER name of the signer's issuer, as in the certificate; names match in other spellings too
    (RFC 5280 7.1), but a signer copies it."""
    held = der.first_element(room, field)
    if room[len(held) :].strip(b"\0"):
        raise _bad(field, "holds bytes after its signature")
    info = der.parse(held, field)
    _check_lengths(info, 0)
    _kind, wrapped = der.sequence(info, "contentType", "content")
    (signed,) = _exactly(der.children(wrapped, "SignedData"), 1, wrapped)
    version, algorithms, content, *bags, signers = _parts(signed)
    (signer,) = _exactly(der.children(der.expect(signers, der.SET), "SignerInfo"), 1, signers)
    signer_version, sid, digest, *_rest = _parts(signer)
    by_key = sid.tag == _SUBJECT_KEY_IDENTIFIER
    if not by_key and der.sequence(sid, "issuer", "serialNumber")[0].raw != issuer:
        raise _bad(sid.field, "must hold the issuer as the certificate does")
    _check_version(signer_version, 3 if by_key else 1)
    _check_version(version, _signed_data_version(bags, content, by_key))
    (listed,) = _exactly(der.children(der.expect(algorithms, der.SET), "algorithm"), 1, algorithms)
    if _algorithm(listed) != _algorithm(digest):
        raise _bad(algorithms.field, "must be the digest algorithm of the signer")


def _check_lengths(node: der.Node, depth: int) -> None:
    """Every constructed element is filled by its elements exactly, with lengths in their shortest form."""
    if depth > _DEPTH_MAX:
        raise _bad(node.field, f"nested deeper than {_DEPTH_MAX}")
    if node.tag & 0x20:
        for child in der.children(node):
            _check_lengths(child, depth + 1)


def _parts(node: der.Node) -> list[der.Node]:
    """The elements of SignedData (RFC 5652 5.1) or SignerInfo (5.3): both begin with three that are named."""
    found = der.children(der.expect(node, der.SEQUENCE), "version")
    if len(found) < 4:
        raise _bad(node.field, f"{len(found)} elements, expected 4 or more")
    return found


def _exactly(found: list[der.Node], count: int, parent: der.Node) -> list[der.Node]:
    if len(found) != count:
        raise _bad(parent.field, f"{len(found)} elements, expected {count}")
    return found


def _check_version(node: der.Node, must: int) -> None:
    if der.integer(node) != must:
        raise _bad(node.field, f"must be {must}")


def _signed_data_version(bags: list[der.Node], content: der.Node, by_key: bool) -> int:
    """RFC 5652 5.1."""
    inside = [child.tag for bag in bags if bag.tag == _CERTIFICATES for child in der.children(bag)]
    revocations = [child.tag for bag in bags if bag.tag == _CRLS for child in der.children(bag)]
    if _OTHER in inside or 0xA1 in revocations:
        return 5
    if _ATTRIBUTE_CERTIFICATES[1] in inside:
        return 4
    kind = der.oid(der.children(der.expect(content, der.SEQUENCE), "eContentType")[0])
    return 3 if _ATTRIBUTE_CERTIFICATES[0] in inside or by_key or kind != _OID_DATA else 1


def _algorithm(node: der.Node) -> str:
    """The OID of a digest algorithm, whose parameters are absent or NULL (RFC 5754 2)."""
    found = der.sequence(node, "algorithm", "parameters", least=1)
    if len(found) == 2 and found[1].raw != b"\x05\x00":
        raise _bad(node.field, "parameters must be absent or NULL")
    return der.oid(found[0])


def _bad(field: str, rule: str) -> SigningError:
    return SigningError(field, rule, _STANDARD)
