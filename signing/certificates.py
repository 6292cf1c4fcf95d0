"""X.509 certificates and revocation lists: read leniently, because real issuers bend the rules, and believed
strictly.
Reading judges nothing; paths, times, uses and revocation are judged by `check_path` alone (RFC 5280, GB/T
20518).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime

from signing import der
from signing.digest import sm3_hex
from signing.errors import SigningError
from signing.provider import PublicKey, read_public_key

CERTIFICATE_BYTES_MAX = 64 * 1024
CRL_BYTES_MAX = 8 * 1024 * 1024
CRL_ENTRIES_MAX = 200_000
POOL_CERTIFICATES_MAX = 64
_STANDARD = "RFC 5280"

_KEY_USAGES = (
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)
_OID_KEY_USAGE, _OID_BASIC_CONSTRAINTS, _OID_EXTENDED_KEY_USAGE = "2.5.29.15", "2.5.29.19", "2.5.29.37"
# Critical extensions that are understood, or narrow something never relied on here (extended key usage,
# policies).
_UNDERSTOOD = {_OID_KEY_USAGE, _OID_BASIC_CONSTRAINTS, _OID_EXTENDED_KEY_USAGE, "2.5.29.32", "2.5.29.17"}
_NAME_LABELS = {
    "2.5.4.3": "CN",
    "2.5.4.5": "SN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
}
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]{1,100000})-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True)
class Certificate:
    """`raw` and `tbs` are original DER; `issuer` and `subject` are original Name DER, compared byte by byte.
    `key_usage` and `extended_key_usage` (OIDs) are None when absent; `critical_unknown` holds extensions
    that forbid belief."""

    raw: bytes
    tbs: bytes
    serial: int
    issuer: bytes
    subject: bytes
    issuer_text: str
    subject_text: str
    not_before: datetime
    not_after: datetime
    spki: bytes
    signature_oid: str
    signature: bytes
    key_usage: frozenset[str] | None
    extended_key_usage: frozenset[str] | None
    is_ca: bool
    path_length: int | None
    critical_unknown: tuple[str, ...]

    @property
    def public_key(self) -> PublicKey:
        """Raises SigningError for a key of a kind that is not known here."""
        return read_public_key(self.spki)

    @property
    def fingerprint(self) -> str:
        """SM3 of the DER, 64 hex digits: how lists and logs name a certificate."""
        return sm3_hex(self.raw)

    def covers(self, moment: datetime) -> bool:
        return self.not_before <= moment <= self.not_after


@dataclass(frozen=True, slots=True)
class RevocationList:
    """`revoked` maps serial number to the time of revocation; `next_update` None means never stale by
    itself."""

    tbs: bytes
    issuer: bytes
    this_update: datetime
    next_update: datetime | None
    revoked: dict[int, datetime]
    signature_oid: str
    signature: bytes


def parse_pem(text: bytes) -> list[Certificate]:
    """Every certificate in a PEM text, in order (at most POOL_CERTIFICATES_MAX). Raises SigningError."""
    blocks = _PEM.findall(text)
    if not 1 <= len(blocks) <= POOL_CERTIFICATES_MAX:
        raise SigningError("certificates", f"a PEM text must hold 1 to {POOL_CERTIFICATES_MAX}", "RFC 7468")
    try:
        return [
            parse_certificate(base64.b64decode(b"".join(block.split()), validate=True)) for block in blocks
        ]
    except binascii.Error as bad:
        raise SigningError("certificates", "is not base64", "RFC 7468") from bad


def parse_certificate(data: bytes, field: str = "certificate") -> Certificate:
    """A certificate from DER. Raises SigningError."""
    if len(data) > CERTIFICATE_BYTES_MAX:
        raise SigningError(field, f"longer than {CERTIFICATE_BYTES_MAX} bytes", _STANDARD)
    tbs, algorithm, signature = der.sequence(der.parse(data, field), "tbs", "signatureAlgorithm", "signature")
    parts = der.children(der.expect(tbs, der.SEQUENCE))
    if parts and parts[0].tag == 0xA0:
        parts = parts[1:]
    if len(parts) < 6:
        raise SigningError(field, f"{len(parts)} fields, expected at least 6", _STANDARD)
    serial, _inner, issuer, validity, subject, spki = parts[:6]
    not_before, not_after = (der.time(n) for n in der.sequence(validity, "notBefore", "notAfter"))
    extensions = next((n for n in parts[6:] if n.tag == 0xA3), None)
    found = _extensions(extensions) if extensions else {}
    usage, extended = found.get(_OID_KEY_USAGE), found.get(_OID_EXTENDED_KEY_USAGE)
    is_ca, path_length = _basic_constraints(found)
    return Certificate(
        raw=data,
        tbs=tbs.raw,
        serial=der.integer(serial),
        issuer=issuer.raw,
        subject=subject.raw,
        issuer_text=_name_text(issuer),
        subject_text=_name_text(subject),
        not_before=not_before,
        not_after=not_after,
        spki=der.expect(spki, der.SEQUENCE).raw,
        signature_oid=_algorithm_oid(algorithm),
        signature=der.bits(signature),
        key_usage=_key_usage(usage[1]) if usage else None,
        extended_key_usage=_extended_key_usage(extended[1]) if extended else None,
        is_ca=is_ca,
        path_length=path_length,
        critical_unknown=tuple(
            oid for oid, (critical, _) in found.items() if critical and oid not in _UNDERSTOOD
        ),
    )


def _algorithm_oid(node: der.Node) -> str:
    return der.oid(der.sequence(node, "algorithm", "parameters", least=1)[0])


def _extensions(wrapper: der.Node) -> dict[str, tuple[bool, bytes]]:
    inside = der.children(wrapper, "extensions") or [der.parse(der.make_sequence(), "extensions")]
    if len(inside) != 1:
        raise SigningError("extensions", f"{len(inside)} elements, expected 1", "RFC 5280 4.1")
    listed = inside[0]
    found: dict[str, tuple[bool, bytes]] = {}
    for extension in der.children(listed):
        oid, *rest = der.sequence(extension, "extnID", "critical", "extnValue", least=2)
        # An explicit critical FALSE breaks DER and is common: tolerated, since original bytes are what is
        # verified.
        critical = len(rest) == 2 and der.boolean(rest[0])
        name = der.oid(oid)
        if name in found:
            raise SigningError(extension.field, f"extension {name} occurs twice", _STANDARD)
        found[name] = (critical, der.octets(rest[-1]))
    return found


def _basic_constraints(found: dict[str, tuple[bool, bytes]]) -> tuple[bool, int | None]:
    if _OID_BASIC_CONSTRAINTS not in found:
        return False, None
    parts = der.sequence(
        der.parse(found[_OID_BASIC_CONSTRAINTS][1], "basicConstraints"), "cA", "pathLen", least=0
    )
    is_ca = bool(parts) and parts[0].tag == der.BOOLEAN and der.boolean(parts[0])
    path_length = der.integer(parts[-1]) if is_ca and parts[-1].tag == der.INTEGER else None
    return is_ca, path_length


def _key_usage(value: bytes) -> frozenset[str]:
    content = der.expect(der.parse(value, "keyUsage"), der.BIT_STRING).content
    if not 1 <= len(content) <= 3 or content[0] > 7:
        raise SigningError("keyUsage", "malformed BIT STRING", _STANDARD)
    flags = content[1:]
    return frozenset(
        name
        for at, name in enumerate(_KEY_USAGES)
        if at // 8 < len(flags) and flags[at // 8] >> (7 - at % 8) & 1
    )


def _extended_key_usage(value: bytes) -> frozenset[str]:
    listed = der.children(der.expect(der.parse(value, "extKeyUsage"), der.SEQUENCE))
    return frozenset(der.oid(node) for node in listed)


def _name_text(name: der.Node) -> str:
    parts: list[str] = []
    for relative in der.children(der.expect(name, der.SEQUENCE)):
        for pair in der.children(relative):
            oid, value = der.sequence(pair, "type", "value")
            label = _NAME_LABELS.get(der.oid(oid), der.oid(oid))
            parts.append(f"{label}={der.text(value)}")
    return ", ".join(parts)


def parse_crl(data: bytes) -> RevocationList:
    """A certificate revocation list from DER (RFC 5280 section 5). Raises SigningError."""
    if len(data) > CRL_BYTES_MAX:
        raise SigningError("CRL", f"longer than {CRL_BYTES_MAX} bytes", _STANDARD)
    tbs, algorithm, signature = der.sequence(der.parse(data, "CRL"), "tbs", "signatureAlgorithm", "signature")
    parts = der.children(der.expect(tbs, der.SEQUENCE))
    if parts and parts[0].tag == der.INTEGER:
        parts = parts[1:]
    if len(parts) < 3:
        raise SigningError("CRL", f"{len(parts)} fields, expected at least 3", _STANDARD)
    times = [n for n in parts[2:4] if n.tag in (der.UTC_TIME, der.GENERALIZED_TIME)]
    if not times:
        raise SigningError("CRL.thisUpdate", "is missing", _STANDARD)
    revoked: dict[int, datetime] = {}
    listed = next((n for n in parts[2 + len(times) :] if n.tag == der.SEQUENCE), None)
    for entry in der.children(listed, at_most=CRL_ENTRIES_MAX) if listed else []:
        serial, moment, *_ = der.sequence(entry, "serial", "date", "extensions", least=2)
        revoked[der.integer(serial)] = der.time(moment)
    return RevocationList(
        tbs=tbs.raw,
        issuer=parts[1].raw,
        this_update=der.time(times[0]),
        next_update=der.time(times[1]) if len(times) > 1 else None,
        revoked=revoked,
        signature_oid=_algorithm_oid(algorithm),
        signature=der.bits(signature),
    )
