"""Making certificates and revocation lists: a certificate authority for tests, demonstrations and closed
networks.
Nothing is judged here; a province's real certificates come from its licensed authority.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from signing import der
from signing.certificates import Certificate, parse_certificate
from signing.digest import sm3
from signing.provider import SCHEME_OIDS, PrivateKey, Provider, PublicKey, Scheme

_NAME_OIDS = {
    "C": "2.5.4.6",
    "ST": "2.5.4.8",
    "L": "2.5.4.7",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "CN": "2.5.4.3",
}
_SCHEMES: dict[str, Scheme] = {"SM2": "SM2-SM3", "RSA": "RSA-SHA256", "EC": "ECDSA-SHA256"}
USAGE_SIGN = b"\x03\x02\x06\xc0"  # digitalSignature, nonRepudiation
USAGE_AUTHORITY = b"\x03\x02\x01\x06"  # keyCertSign, cRLSign


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and the key that belongs to it: an authority, a seal maker, a signer, a time-stamp
    service."""

    certificate: Certificate
    key: PrivateKey


def make_name(parts: Mapping[str, str]) -> bytes:
    """Name DER from labels C, ST, L, O, OU, CN in the given order."""
    relatives = []
    for label, value in parts.items():
        encoded = der.make_printable(value) if label == "C" else der.make_utf8(value)
        pair = der.make_sequence(der.make_oid(_NAME_OIDS[label]), encoded)
        relatives.append(der.tlv(der.SET, pair))
    return der.make_sequence(*relatives)


def make_authority(
    provider: Provider,
    key: PrivateKey,
    name: Mapping[str, str],
    *,
    not_before: datetime,
    not_after: datetime,
    parent: Identity | None = None,
    path_length: int | None = None,
) -> Identity:
    """A root (no parent) or a subordinate authority."""
    subject = make_name(name)
    constraints = [
        der.make_boolean(True),
        *([der.make_integer(path_length)] if path_length is not None else []),
    ]
    extensions = [
        make_extension("2.5.29.19", True, der.make_sequence(*constraints)),
        make_extension("2.5.29.15", True, USAGE_AUTHORITY),
    ]
    issuer = parent.certificate.subject if parent else subject
    tbs = _tbs(key.public, subject, issuer, not_before, not_after, extensions, parent.key if parent else key)
    return Identity(_sign(provider, tbs, parent.key if parent else key), key)


def issue(
    provider: Provider,
    authority: Identity,
    public: PublicKey,
    name: Mapping[str, str],
    *,
    not_before: datetime,
    not_after: datetime,
    usage: bytes = USAGE_SIGN,
    extra: Sequence[bytes] = (),
) -> Certificate:
    """A certificate for someone who signs."""
    extensions = [make_extension("2.5.29.15", True, usage), *extra]
    tbs = _tbs(
        public,
        make_name(name),
        authority.certificate.subject,
        not_before,
        not_after,
        extensions,
        authority.key,
    )
    return _sign(provider, tbs, authority.key)


def make_crl(
    provider: Provider,
    authority: Identity,
    revoked: Mapping[int, datetime],
    *,
    this_update: datetime,
    next_update: datetime,
) -> bytes:
    """A version 2 revocation list in DER: serial number → time of revocation."""
    entries = [
        der.make_sequence(der.make_integer(serial), der.make_time(moment))
        for serial, moment in sorted(revoked.items())
    ]
    algorithm = _algorithm(authority.key)
    tbs = der.make_sequence(
        der.make_integer(1),
        algorithm,
        authority.certificate.subject,
        der.make_time(this_update),
        der.make_time(next_update),
        *([der.make_sequence(*entries)] if entries else []),
    )
    return der.make_sequence(tbs, algorithm, der.make_bits(provider.sign(authority.key, tbs)))


def make_extension(oid: str, critical: bool, value: bytes) -> bytes:
    """One extension; critical FALSE is left out, as DER wants."""
    flag = [der.make_boolean(True)] if critical else []
    return der.make_sequence(der.make_oid(oid), *flag, der.make_octets(value))


def _algorithm(key: PrivateKey) -> bytes:
    kind = key.public.kind
    null = [der.tlv(der.NULL, b"")] if kind == "RSA" else []
    return der.make_sequence(der.make_oid(SCHEME_OIDS[_SCHEMES[kind]]), *null)


def _tbs(
    public: PublicKey,
    subject: bytes,
    issuer: bytes,
    not_before: datetime,
    not_after: datetime,
    extensions: Sequence[bytes],
    signer: PrivateKey,
) -> bytes:
    identifiers = [
        make_extension("2.5.29.14", False, der.make_octets(_key_identifier(public))),
        make_extension("2.5.29.35", False, der.make_sequence(der.tlv(0x80, _key_identifier(signer.public)))),
    ]
    return der.make_sequence(
        der.make_explicit(0, der.make_integer(2)),
        der.make_integer(secrets.randbits(120) + 1),
        _algorithm(signer),
        issuer,
        der.make_sequence(der.make_time(not_before), der.make_time(not_after)),
        subject,
        public.spki,
        der.make_explicit(3, der.make_sequence(*identifiers, *extensions)),
    )


def _key_identifier(public: PublicKey) -> bytes:
    """160 bits of a hash of the key (RFC 7093 method: any hash will do)."""
    return sm3(public.spki)[:20]


def _sign(provider: Provider, tbs: bytes, signer: PrivateKey) -> Certificate:
    signature = der.make_bits(provider.sign(signer, tbs))
    return parse_certificate(der.make_sequence(tbs, _algorithm(signer), signature))
