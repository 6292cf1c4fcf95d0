"""Time-stamp tokens (RFC 3161, in CMS SignedData or its Chinese twin GB/T 35275): read, judged and made.
No transport here: a request goes to a time-stamp service by whoever may use the network.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from signing import der
from signing.certificates import Certificate, parse_certificate
from signing.digest import sha256, sm3
from signing.errors import SigningError
from signing.issuing import Identity
from signing.provider import SCHEME_OIDS, KeyKind, Provider, Scheme
from signing.trust import Trust, check_path, signed_by

TOKEN_BYTES_MAX = 256 * 1024
CERTIFICATES_MAX = 16
OID_TIME_STAMPING = "1.3.6.1.5.5.7.3.8"

_STANDARD = "RFC 3161"
_OID_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_OID_SIGNED_DATA = "1.2.840.113549.1.7.2"
_OID_SIGNED_DATA_GM = "1.2.156.10197.6.1.4.2.2"
_OID_CONTENT_TYPE, _OID_MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_OID_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
OID_SM3, OID_SHA256 = "1.2.156.10197.1.401", "2.16.840.1.101.3.4.2.1"
_HASHES: dict[str, Callable[[bytes], bytes]] = {
    OID_SM3: sm3,
    OID_SHA256: sha256,
    "2.16.840.1.101.3.4.2.2": lambda data: hashlib.sha384(data).digest(),
    "2.16.840.1.101.3.4.2.3": lambda data: hashlib.sha512(data).digest(),
}
_SCHEMES: dict[KeyKind, Scheme] = {"SM2": "SM2-SM3", "RSA": "RSA-SHA256", "EC": "ECDSA-SHA256"}
# What CMS calls the signature algorithm, where it differs from what certificates call it.
_CMS_SCHEMES = {
    "1.2.840.113549.1.1.1": SCHEME_OIDS["RSA-SHA256"],
    "1.2.156.10197.1.301.1": SCHEME_OIDS["SM2-SM3"],
    "1.2.156.10197.1.301": SCHEME_OIDS["SM2-SM3"],
}


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """A token as read: `imprint` is the digest (algorithm `imprint_oid`) of what existed at `made_at`.
    `signed` are the bytes under `signature`; `attributes_digest` is the digest of `content` that they
    carry."""

    made_at: datetime
    policy: str
    serial: int
    nonce: int | None
    imprint_oid: str
    imprint: bytes
    content: bytes
    signer: Certificate
    intermediates: tuple[Certificate, ...]
    digest_oid: str
    signature_oid: str
    signed: bytes
    attributes_digest: bytes
    signature: bytes


def parse_token(data: bytes, field: str = "time stamp") -> TimeStamp:
    """A TimeStampToken from DER. Raises SigningError."""
    if len(data) > TOKEN_BYTES_MAX:
        raise SigningError(field, f"longer than {TOKEN_BYTES_MAX} bytes", _STANDARD)
    kind, wrapped = der.sequence(der.parse(data, field), "contentType", "content")
    if der.oid(kind) not in (_OID_SIGNED_DATA, _OID_SIGNED_DATA_GM):
        raise SigningError(field, "must be SignedData", "RFC 5652")
    (signed_data,) = _exactly(der.children(der.expect(wrapped, 0xA0), "signedData"), 1, wrapped.field)
    parts = der.children(
        der.expect(signed_data, der.SEQUENCE), "version", "digestAlgorithms", "encapContentInfo"
    )
    if len(parts) < 4:
        raise SigningError(field, "SignedData is incomplete", "RFC 5652")
    content = _encapsulated(parts[2])
    listed = next((n for n in parts[3:] if n.tag == 0xA0), None)
    certificates = (
        [parse_certificate(n.raw) for n in der.children(listed, at_most=CERTIFICATES_MAX)] if listed else []
    )
    (signer_info,) = _exactly(der.children(der.expect(parts[-1], der.SET), "signer"), 1, parts[-1].field)
    return _token(content, certificates, signer_info)


def _exactly(nodes: list[der.Node], count: int, field: str) -> list[der.Node]:
    if len(nodes) != count:
        raise SigningError(field, f"must hold exactly {count}", _STANDARD)
    return nodes


def _encapsulated(node: der.Node) -> bytes:
    kind, wrapped = der.sequence(node, "eContentType", "eContent")
    if der.oid(kind) != _OID_TST_INFO:
        raise SigningError(kind.field, "must be TSTInfo", _STANDARD)
    (content,) = _exactly(der.children(der.expect(wrapped, 0xA0), "content"), 1, wrapped.field)
    return der.octets(content)


def _token(content: bytes, certificates: list[Certificate], info: der.Node) -> TimeStamp:
    version, who, digest, attributes, algorithm, value, *_ = der.sequence(
        info,
        "version",
        "sid",
        "digestAlgorithm",
        "signedAttrs",
        "signatureAlgorithm",
        "signature",
        "unsigned",
        least=6,
    )
    if der.integer(version) not in (1, 3):
        raise SigningError(version.field, "must be 1 or 3", "RFC 5652")
    signer = _find_signer(who, certificates)
    found = _attributes(der.expect(attributes, 0xA0), signer)
    names = ("version", "policy", "messageImprint", "serialNumber", "genTime")
    tst = der.children(der.expect(der.parse(content, "TSTInfo"), der.SEQUENCE), *names)
    if len(tst) < 5 or der.integer(tst[0]) != 1:
        raise SigningError("TSTInfo", "must be of version 1 and complete", _STANDARD)
    imprint_algorithm, imprint = der.sequence(tst[2], "hashAlgorithm", "hashedMessage")
    nonce = next((der.integer(n) for n in tst[5:] if n.tag == der.INTEGER), None)
    oid = _algorithm_oid(algorithm)
    return TimeStamp(
        made_at=der.time(der.expect(tst[4], der.GENERALIZED_TIME)),
        policy=der.oid(tst[1]),
        serial=der.integer(tst[3]),
        nonce=nonce,
        imprint_oid=_algorithm_oid(imprint_algorithm),
        imprint=der.octets(imprint),
        content=content,
        signer=signer,
        intermediates=tuple(c for c in certificates if c.raw != signer.raw),
        digest_oid=_algorithm_oid(digest),
        signature_oid=_CMS_SCHEMES.get(oid, oid),
        # The attributes are signed as a SET OF, although they travel under a context tag (RFC 5652 section
        # 5.4).
        signed=der.tlv(der.SET, attributes.content),
        attributes_digest=found,
        signature=der.octets(value),
    )


def _algorithm_oid(node: der.Node) -> str:
    return der.oid(der.sequence(node, "algorithm", "parameters", least=1)[0])


def _find_signer(who: der.Node, certificates: list[Certificate]) -> Certificate:
    issuer, serial = der.sequence(who, "issuer", "serialNumber")
    number = der.integer(serial)
    for certificate in certificates:
        if certificate.issuer == issuer.raw and certificate.serial == number:
            return certificate
    raise SigningError(who.field, "the token does not carry its signer's certificate", _STANDARD)


def _attributes(node: der.Node, signer: Certificate) -> bytes:
    """The messageDigest; contentType must be TSTInfo, and a signing-certificate attribute must name the
    signer."""
    values: dict[str, der.Node] = {}
    for attribute in der.children(node):
        oid, held = der.sequence(attribute, "type", "values")
        name = der.oid(oid)
        if name in values:
            raise SigningError(attribute.field, f"attribute {name} occurs twice", "RFC 5652")
        (values[name],) = _exactly(der.children(der.expect(held, der.SET), "value"), 1, held.field)
    if _OID_CONTENT_TYPE not in values or der.oid(values[_OID_CONTENT_TYPE]) != _OID_TST_INFO:
        raise SigningError(node.field, "signed content type must be TSTInfo", _STANDARD)
    if _OID_MESSAGE_DIGEST not in values:
        raise SigningError(node.field, "lacks the message digest", "RFC 5652")
    if _OID_SIGNING_CERTIFICATE_V2 in values:
        _check_named(values[_OID_SIGNING_CERTIFICATE_V2], signer)
    return der.octets(values[_OID_MESSAGE_DIGEST])


def _check_named(node: der.Node, signer: Certificate) -> None:
    """ESSCertIDv2 (RFC 5816): hash algorithm DEFAULT SHA-256, then the hash of the signer's certificate."""
    listed = der.children(der.expect(node, der.SEQUENCE), "certs")
    first = der.children(der.children(listed[0])[0]) if listed and der.children(listed[0]) else []
    algorithm = _algorithm_oid(first[0]) if first and first[0].tag == der.SEQUENCE else OID_SHA256
    digest = next((der.octets(n) for n in first if n.tag == der.OCTET_STRING), b"")
    if algorithm not in _HASHES or not hmac.compare_digest(_HASHES[algorithm](signer.raw), digest):
        raise SigningError(node.field, "names another certificate than the signer's", "RFC 5816")


@dataclass(frozen=True, slots=True)
class TimeStampResult:
    """`made_at` is proven only when `ok`; otherwise the first reason against the token."""

    ok: bool
    made_at: datetime | None
    zh: str
    en: str


def check_token(
    data: bytes, stamped: bytes, trust: Trust, provider: Provider, *, now: datetime
) -> TimeStampResult:
    """Judge a token over the bytes `stamped`. Never raises for what the token holds."""
    try:
        token = parse_token(data)
    except SigningError as bad:
        return TimeStampResult(False, None, bad.zh, bad.en)
    problem = _problem(token, stamped, trust, provider, now)
    if problem is not None:
        return TimeStampResult(False, token.made_at, *problem)
    when, who = token.made_at.isoformat(), token.signer.subject_text
    return TimeStampResult(True, token.made_at, f"时间戳 {when}，签发者 {who}", f"stamped at {when} by {who}")


def _problem(
    token: TimeStamp, stamped: bytes, trust: Trust, provider: Provider, now: datetime
) -> tuple[str, str] | None:
    if token.imprint_oid not in _HASHES or token.digest_oid not in _HASHES:
        return "时间戳使用了不支持的摘要算法", "unknown digest algorithm"
    if not hmac.compare_digest(_HASHES[token.imprint_oid](stamped), token.imprint):
        return "时间戳与所签内容不符", "the token is over other bytes"
    if not hmac.compare_digest(_HASHES[token.digest_oid](token.content), token.attributes_digest):
        return "时间戳内容已被改动", "the token's content was changed"
    if not signed_by(token.signed, token.signature_oid, token.signature, token.signer, provider):
        return "时间戳签名值不正确", "the token's signature value is wrong"
    if token.signer.extended_key_usage != frozenset({OID_TIME_STAMPING}):
        return "时间戳证书的用途不是（仅）时间戳", "the signer's certificate is not for time stamping alone"
    if token.made_at > now:
        return "时间戳晚于当前时间", "stamped in the future"
    helped = Trust(
        trust.anchors, (*trust.intermediates, *token.intermediates), trust.crls, trust.revocation_required
    )
    path = check_path(token.signer, helped, provider, at=token.made_at, now=now)
    return None if path.ok else (path.zh, path.en)


def make_token(
    provider: Provider,
    service: Identity,
    stamped: bytes,
    *,
    at: datetime,
    serial: int,
    policy: str,
    nonce: int | None = None,
) -> bytes:
    """A token over `stamped` by a time-stamp service: for tests, demonstrations and closed networks. An SM2
    service stamps SM3(stamped), one with an RSA or EC key SHA-256(stamped).

    The certificate needs the critical extended key usage timeStamping (RFC 3161 section 2.3).
    """
    oid = _digest_of_service(service)
    return stamp_digest(
        provider, service, oid, _HASHES[oid](stamped), at=at, serial=serial, policy=policy, nonce=nonce
    )


def stamp_digest(
    provider: Provider,
    service: Identity,
    imprint_oid: str,
    imprint: bytes,
    *,
    at: datetime,
    serial: int,
    policy: str,
    nonce: int | None = None,
) -> bytes:
    """A token over a digest that the caller computed with the algorithm `imprint_oid`."""
    own_oid = _digest_of_service(service)
    own = _HASHES[own_oid]
    content = der.make_sequence(
        der.make_integer(1),
        der.make_oid(policy),
        der.make_sequence(der.make_sequence(der.make_oid(imprint_oid)), der.make_octets(imprint)),
        der.make_integer(serial),
        der.make_generalized_time(at),
        *([der.make_integer(nonce)] if nonce is not None else []),
    )
    certificate = service.certificate
    algorithm = der.make_sequence(der.make_oid(own_oid))
    # ESSCertIDv2: SHA-256 is the DEFAULT and therefore left out in DER.
    named = der.make_sequence(
        *([algorithm] if own_oid != OID_SHA256 else []), der.make_octets(own(certificate.raw))
    )
    attributes = sorted(
        der.make_sequence(der.make_oid(oid), der.tlv(der.SET, value))
        for oid, value in (
            (_OID_CONTENT_TYPE, der.make_oid(_OID_TST_INFO)),
            (_OID_MESSAGE_DIGEST, der.make_octets(own(content))),
            (_OID_SIGNING_CERTIFICATE_V2, der.make_sequence(der.make_sequence(named))),
        )
    )
    scheme = _SCHEMES[service.key.public.kind]
    signature = provider.sign(service.key, der.tlv(der.SET, b"".join(attributes)), scheme)
    null = [der.tlv(der.NULL, b"")] if service.key.public.kind == "RSA" else []
    signer_info = der.make_sequence(
        der.make_integer(1),
        der.make_sequence(certificate.issuer, der.make_integer(certificate.serial)),
        algorithm,
        der.tlv(0xA0, b"".join(attributes)),
        der.make_sequence(der.make_oid(SCHEME_OIDS[scheme]), *null),
        der.make_octets(signature),
    )
    signed_data = der.make_sequence(
        der.make_integer(3),
        der.tlv(der.SET, algorithm),
        der.make_sequence(der.make_oid(_OID_TST_INFO), der.make_explicit(0, der.make_octets(content))),
        der.tlv(0xA0, certificate.raw),
        der.tlv(der.SET, signer_info),
    )
    return der.make_sequence(der.make_oid(_OID_SIGNED_DATA), der.make_explicit(0, signed_data))


def _digest_of_service(service: Identity) -> str:
    return OID_SM3 if service.key.public.kind == "SM2" else OID_SHA256


USAGE_TIME_STAMPING = der.make_sequence(
    der.make_oid("2.5.29.37"),
    der.make_boolean(True),
    der.make_octets(der.make_sequence(der.make_oid(OID_TIME_STAMPING))),
)
