"""Reading seals and seal signatures of both standards from DER. Reading judges the form only, and strictly.
Real files decide where a text and its implementations differ (extension data untagged, critical FALSE
written out).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from signing import der
from signing.certificates import parse_certificate
from signing.errors import SigningError
from signing.seals.model import (
    ID_CHARS_MAX,
    NAME_CHARS_MAX,
    PICTURE_BYTES_MAX,
    PICTURE_SIDE_MM_MAX,
    PROPERTY_CHARS_MAX,
    SEAL_BYTES_MAX,
    SIGNERS_MAX,
    STANDARDS,
    Extension,
    Picture,
    Seal,
    SealSignature,
    SignerDigest,
    Version,
)

_HASH_BYTES = 32
_CERTIFICATES, _DIGESTS = 1, 2
_PLAIN_TIME = re.compile(rb"(\d{12}|\d{14})Z?")


def parse_seal(data: bytes, field: str = "seal") -> Seal:
    """A seal from DER: four elements are GB/T 38540, two are GM/T 0031. Raises SigningError."""
    if len(data) > SEAL_BYTES_MAX:
        raise SigningError(field, f"longer than {SEAL_BYTES_MAX} bytes", "GB/T 38540-2020")
    return _read_seal(der.parse(data, field))


def _read_seal(root: der.Node) -> Seal:
    parts = der.children(der.expect(root, der.SEQUENCE), "info")
    if len(parts) == 4:
        info, cert, algorithm, value = parts
        return _seal_of(root, 4, info, cert, algorithm, value, info.raw)
    if len(parts) == 2:
        info = parts[0]
        cert, algorithm, value = der.sequence(parts[1], "cert", "signatureAlgorithm", "signData")
        # GM/T 0031 signs the information together with the maker's certificate and the algorithm.
        signed = der.make_sequence(info.raw, cert.raw, algorithm.raw)
        return _seal_of(root, 1, info, cert, algorithm, value, signed)
    raise SigningError(
        root.field, f"{len(parts)} elements, a seal has 4 (or 2 by GM/T 0031)", "GB/T 38540-2020"
    )


def _seal_of(
    root: der.Node,
    version: Version,
    info: der.Node,
    cert: der.Node,
    algorithm: der.Node,
    value: der.Node,
    signed: bytes,
) -> Seal:
    standard = STANDARDS[version]
    header, es_id, properties, picture, *extra = der.sequence(
        info, "header", "esID", "property", "picture", "extDatas", least=4
    )
    vendor = _read_header(header, version)
    read = _read_properties_v4 if version == 4 else _read_properties_v1
    kind, name, signers, created_at, valid_from, valid_until = read(properties)
    if not valid_from <= valid_until:
        raise SigningError(properties.field, "validStart must not be after validEnd", standard)
    return Seal(
        raw=root.raw,
        version=version,
        vendor=vendor,
        es_id=_short(es_id, ID_CHARS_MAX, standard),
        type=kind,
        name=name,
        signers=signers,
        created_at=created_at,
        valid_from=valid_from,
        valid_until=valid_until,
        picture=_read_picture(picture, standard),
        extensions=_read_extensions(extra[0]) if extra else (),
        maker=parse_certificate(der.octets(cert), f"{root.field}.maker"),
        algorithm_oid=der.oid(algorithm),
        signed=signed,
        signature=der.bits(value),
    )


def _read_header(header: der.Node, version: Version) -> str:
    identifier, number, vendor = der.sequence(header, "ID", "version", "Vid")
    if der.text(identifier) != "ES":
        raise SigningError(identifier.field, 'must be "ES"', STANDARDS[version])
    if der.integer(number) != version:
        rule = f"{der.integer(number)} does not fit the form, which is that of version {version}"
        raise SigningError(number.field, rule, STANDARDS[version])
    return _short(vendor, NAME_CHARS_MAX, STANDARDS[version])


_Properties = tuple[int, str, tuple[bytes, ...] | tuple[SignerDigest, ...], datetime, datetime, datetime]


def _read_properties_v1(node: der.Node) -> _Properties:
    names = ("type", "name", "certList", "createDate", "validStart", "validEnd")
    kind, name, certs, *times = der.sequence(node, *names)
    signers = tuple(der.octets(n) for n in _listed(certs))
    created, start, end = (der.time(n) for n in times)
    return der.integer(kind), _short(name, NAME_CHARS_MAX, STANDARDS[1]), signers, created, start, end


def _read_properties_v4(node: der.Node) -> _Properties:
    names = ("type", "name", "certListType", "certList", "createDate", "validStart", "validEnd")
    kind, name, list_type, certs, *times = der.sequence(node, *names)
    signers: tuple[bytes, ...] | tuple[SignerDigest, ...]
    if der.integer(list_type) == _CERTIFICATES:
        signers = tuple(der.octets(n) for n in _listed(certs))
    elif der.integer(list_type) == _DIGESTS:
        signers = tuple(_signer_digest(n) for n in _listed(certs))
    else:
        raise SigningError(list_type.field, "must be 1 (certificates) or 2 (digests)", STANDARDS[4])
    created, start, end = (der.time(der.expect(n, der.GENERALIZED_TIME)) for n in times)
    return der.integer(kind), _short(name, NAME_CHARS_MAX, STANDARDS[4]), signers, created, start, end


def _listed(node: der.Node) -> list[der.Node]:
    found = der.children(der.expect(node, der.SEQUENCE), at_most=SIGNERS_MAX)
    if not found:
        raise SigningError(node.field, "names nobody who may sign", "GB/T 38540-2020")
    return found


def _signer_digest(node: der.Node) -> SignerDigest:
    algorithm, value = der.sequence(node, "type", "value")
    return SignerDigest(der.text(algorithm), der.octets(value))


def _read_picture(node: der.Node, standard: str) -> Picture:
    kind, data, width, height = der.sequence(node, "type", "data", "width", "height")
    picture = Picture(der.text(kind), der.octets(data), der.integer(width), der.integer(height))
    if not 1 <= len(picture.data) <= PICTURE_BYTES_MAX:
        raise SigningError(data.field, f"must have 1 to {PICTURE_BYTES_MAX} bytes", standard)
    if not all(1 <= side <= PICTURE_SIDE_MM_MAX for side in (picture.width_mm, picture.height_mm)):
        raise SigningError(node.field, f"sides must lie in 1..{PICTURE_SIDE_MM_MAX} mm", standard)
    return picture


def _read_extensions(node: der.Node) -> tuple[Extension, ...]:
    """ExtensionDatas, with or without the context tag that the texts put around it and most files leave
    out."""
    if node.tag == 0xA0:
        inner = der.children(node)
        # [0] may be EXPLICIT (one SEQUENCE of entries) or IMPLICIT (the entries themselves).
        if len(inner) == 1 and der.children(inner[0]) and der.children(inner[0])[0].tag == der.SEQUENCE:
            inner = der.children(inner[0])
    else:
        inner = der.children(der.expect(node, der.SEQUENCE))
    found = []
    for entry in inner:
        oid, *rest = der.sequence(entry, "extnID", "critical", "extnValue", least=2)
        found.append(Extension(der.oid(oid), len(rest) == 2 and der.boolean(rest[0]), der.octets(rest[-1])))
    return tuple(found)


def _short(node: der.Node, chars_max: int, standard: str) -> str:
    value = der.text(node)
    if not 1 <= len(value) <= chars_max:
        raise SigningError(node.field, f"must have 1 to {chars_max} characters", standard)
    return value


def parse_signature(data: bytes, field: str = "seal signature") -> SealSignature:
    """A seal signature from DER (SignedValue.dat of an OFD): 4 or 5 elements are GB/T 38540, 2 are GM/T
    0031."""
    if len(data) > 2 * SEAL_BYTES_MAX:
        raise SigningError(field, f"longer than {2 * SEAL_BYTES_MAX} bytes", "GB/T 38540-2020")
    root = der.parse(data, field)
    parts = der.children(der.expect(root, der.SEQUENCE), "toSign")
    if len(parts) in (4, 5):
        return _signature_v4(root, parts)
    if len(parts) == 2:
        return _signature_v1(root, *parts)
    raise SigningError(field, f"{len(parts)} elements, expected 4 or 5 (2 by GM/T 0031)", "GB/T 38540-2020")


def _signature_v4(root: der.Node, parts: list[der.Node]) -> SealSignature:
    to_sign, cert, algorithm, value, *stamp = parts
    names = ("version", "eseal", "timeInfo", "dataHash", "propertyInfo", "extDatas")
    version, eseal, moment, digest, about, *extra = der.sequence(to_sign, *names, least=5)
    seal = _read_seal(eseal)
    _same_version(version, seal, 4)
    timestamp = None
    if stamp:
        (token,) = der.children(der.expect(stamp[0], 0xA0), "timeStamp")[:1] or [stamp[0]]
        timestamp = der.bits(token)
    return SealSignature(
        raw=root.raw,
        version=4,
        seal=seal,
        signed_at=der.time(der.expect(moment, der.GENERALIZED_TIME)),
        data_hash=_hash(digest, 4),
        property_info=_short(about, PROPERTY_CHARS_MAX, STANDARDS[4]),
        extensions=_read_extensions(der.expect(extra[0], 0xA0)) if extra else (),
        signer=parse_certificate(der.octets(cert), f"{root.field}.signer"),
        algorithm_oid=der.oid(algorithm),
        signed=to_sign.raw,
        signature=der.bits(value),
        timestamp=timestamp,
    )


def _signature_v1(root: der.Node, to_sign: der.Node, value: der.Node) -> SealSignature:
    names = ("version", "eseal", "timeInfo", "dataHash", "propertyInfo", "cert", "signatureAlgorithm")
    version, eseal, moment, digest, about, cert, algorithm = der.sequence(to_sign, *names)
    seal = _read_seal(eseal)
    _same_version(version, seal, 1)
    signed_at = _plain_time(der.bits(moment), moment.field)
    return SealSignature(
        raw=root.raw,
        version=1,
        seal=seal,
        signed_at=signed_at,
        data_hash=_hash(digest, 1),
        property_info=_short(about, PROPERTY_CHARS_MAX, STANDARDS[1]),
        extensions=(),
        signer=parse_certificate(der.octets(cert), f"{root.field}.signer"),
        algorithm_oid=der.oid(algorithm),
        signed=to_sign.raw,
        signature=der.bits(value),
        timestamp=der.bits(moment) if signed_at is None else None,
    )


def _same_version(node: der.Node, seal: Seal, version: Version) -> None:
    if der.integer(node) != version or seal.version != version:
        rule = f"signature {der.integer(node)} and seal {seal.version} must both be of version {version}"
        raise SigningError(node.field, rule, STANDARDS[version])


def _hash(node: der.Node, version: Version) -> bytes:
    value = der.bits(node)
    if len(value) != _HASH_BYTES:
        raise SigningError(node.field, f"must be a digest of {_HASH_BYTES} bytes", STANDARDS[version])
    return value


def _plain_time(content: bytes, field: str) -> datetime | None:
    """GM/T 0031 timeInfo: a UTCTime inside the BIT STRING, its bare characters, or (None) a time-stamp
    token."""
    if content[:1] in (b"\x17", b"\x18"):
        return der.time(der.parse(content, field))
    match = _PLAIN_TIME.fullmatch(content)
    if match is None:
        return None
    tag = der.UTC_TIME if len(match[1]) == 12 else der.GENERALIZED_TIME
    return der.time(der.parse(der.tlv(tag, match[1] + b"Z"), field)).astimezone(UTC)
