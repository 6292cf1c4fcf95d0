"""Making seals and signing with them (GB/T 38540-2020 clauses 6 and 7; GM/T 0031-2014 for older readers).
What is made is judged before it is handed out: a bad seal or signature never leaves this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from signing import der
from signing.certificates import Certificate
from signing.digest import sm3
from signing.errors import SigningError
from signing.issuing import Identity
from signing.provider import SCHEME_OIDS, PrivateKey, Provider
from signing.seals.checking import Circumstances, Report, check_seal, check_signature, permitted
from signing.seals.model import STANDARDS, Picture, Seal, Version
from signing.seals.reading import parse_seal, parse_signature

_OID = der.make_oid(SCHEME_OIDS["SM2-SM3"])


@dataclass(frozen=True, slots=True)
class SealPlan:
    """What an approved application says of a seal: number, name, term, picture, and who may sign with it."""

    es_id: str
    type: int
    name: str
    vendor: str
    signers: tuple[Certificate, ...]
    picture: Picture
    created_at: datetime
    valid_from: datetime
    valid_until: datetime
    version: Version = 4
    by_digest: bool = False


def make_seal(plan: SealPlan, maker: Identity, given: Circumstances) -> bytes:
    """A new seal in DER, signed by the maker (制章者). Raises SigningError when it is not valid then."""
    _must_own(maker)
    info = _seal_info(plan)
    cert = der.make_octets(maker.certificate.raw)
    if plan.version == 4:
        value = _sign(given.provider, maker.key, info)
        seal = der.make_sequence(info, cert, _OID, value)
    else:
        value = _sign(given.provider, maker.key, der.make_sequence(info, cert, _OID))
        seal = der.make_sequence(info, der.make_sequence(cert, _OID, value))
    _must_be_valid("seal", check_seal(seal, given, at=plan.valid_from))
    return seal


def _seal_info(plan: SealPlan) -> bytes:
    header = der.make_sequence(der.make_ia5("ES"), der.make_integer(plan.version), der.make_ia5(plan.vendor))
    picture = der.make_sequence(
        der.make_ia5(plan.picture.kind),
        der.make_octets(plan.picture.data),
        der.make_integer(plan.picture.width_mm),
        der.make_integer(plan.picture.height_mm),
    )
    times = (plan.created_at, plan.valid_from, plan.valid_until)
    if plan.version == 4:
        listed = _digest_list(plan.signers) if plan.by_digest else _certificate_list(plan.signers)
        names = [der.make_integer(2 if plan.by_digest else 1), listed]
        moments = [der.make_generalized_time(t) for t in times]
    else:
        if plan.by_digest:
            raise SigningError("certList", "cannot be digests", STANDARDS[1])
        names = [_certificate_list(plan.signers)]
        moments = [der.make_utc_time(t) for t in times]
    properties = der.make_sequence(der.make_integer(plan.type), der.make_utf8(plan.name), *names, *moments)
    return der.make_sequence(header, der.make_ia5(plan.es_id), properties, picture)


def _certificate_list(signers: Sequence[Certificate]) -> bytes:
    return der.make_sequence(*(der.make_octets(c.raw) for c in signers))


def _digest_list(signers: Sequence[Certificate]) -> bytes:
    entries = (der.make_sequence(der.make_printable("SM3"), der.make_octets(sm3(c.raw))) for c in signers)
    return der.make_sequence(*entries)


def seal_document(
    seal_data: bytes,
    signer: Identity,
    original: bytes,
    property_info: str,
    given: Circumstances,
) -> bytes:
    """A seal signature in DER over SM3(original) at the time `given.now`, in the seal's own version.

    `property_info` names what is protected (in an OFD the absolute path of Signature.xml; ASCII). Raises
    SigningError when the seal is not valid, withdrawn, does not name the signer, or the result does not
    verify.
    """
    _must_be_valid("seal", check_seal(seal_data, given))
    seal = parse_seal(seal_data)
    if not permitted(seal, signer.certificate):
        raise SigningError(
            "signer",
            "is not named by the seal",
            STANDARDS[seal.version],
            zh=f"签章者不在印章的证书列表中：{signer.certificate.subject_text}",
        )
    _must_own(signer)
    if not property_info.isascii():
        raise SigningError("propertyInfo", "must be ASCII", STANDARDS[seal.version])
    signature = _signature(seal, signer, original, property_info, given)
    report = check_signature(signature, given, original=original)
    _must_be_valid("seal signature", report.now)
    return signature


def _signature(
    seal: Seal, signer: Identity, original: bytes, property_info: str, given: Circumstances
) -> bytes:
    cert = der.make_octets(signer.certificate.raw)
    digest = der.make_bits(sm3(original))
    number, about = der.make_integer(seal.version), der.make_ia5(property_info)
    if seal.version == 4:
        moment = der.make_generalized_time(given.now)
        to_sign = der.make_sequence(number, seal.raw, moment, digest, about)
        return der.make_sequence(to_sign, cert, _OID, _sign(given.provider, signer.key, to_sign))
    moment = der.make_bits(der.make_utc_time(given.now))
    to_sign = der.make_sequence(number, seal.raw, moment, digest, about, cert, _OID)
    return der.make_sequence(to_sign, _sign(given.provider, signer.key, to_sign))


def add_timestamp(signature: bytes, token: bytes, original: bytes, given: Circumstances) -> bytes:
    """A GB/T 38540 signature with a time-stamp token over its value. Raises SigningError unless the whole
    is valid."""
    read = parse_signature(signature)
    if read.version != 4 or read.timestamp is not None:
        raise SigningError("seal signature", "must be of version 4 and without a time stamp", STANDARDS[4])
    inner = der.parse(signature, "seal signature").content
    stamped = der.make_sequence(inner, der.make_explicit(0, der.make_bits(token)))
    _must_be_valid("seal signature", check_signature(stamped, given, original=original).now)
    return stamped


def _sign(provider: Provider, key: PrivateKey, data: bytes) -> bytes:
    return der.make_bits(provider.sign(key, data, "SM2-SM3"))


def _must_own(identity: Identity) -> None:
    if identity.certificate.public_key.point != identity.key.public.point or not identity.key.public.point:
        raise SigningError("key", "is not the SM2 key of the certificate", "GB/T 38540-2020")


def _must_be_valid(field: str, report: Report) -> None:
    bad = next((step for step in report.steps if step.outcome in ("failed", "unknown")), None)
    if bad is not None:
        raise SigningError(
            field, f"{bad.name}: {bad.en}", "GB/T 38540-2020", zh=f"{field}：{bad.zh}（{bad.name}）"
        )
