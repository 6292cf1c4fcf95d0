"""Whether a certificate is believed: path to an anchor, terms, permissions, revocation, and the warnings
before its end. No bytes are parsed here and no clock is read: times are arguments (RFC 5280 section 6, GB/T
20518).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from signing.certificates import POOL_CERTIFICATES_MAX, Certificate, RevocationList
from signing.errors import SigningError
from signing.provider import SCHEMES_BY_OID, Provider

PATH_CERTIFICATES_MAX = 8
EXPIRY_WARNING_DAYS = (30, 7, 1)


@dataclass(frozen=True, slots=True)
class Trust:
    """What a verifier believes: `anchors` end every path, `intermediates` and `crls` help, nothing more.
    With `revocation_required` a certificate without a fresh list of its issuer is not believed."""

    anchors: tuple[Certificate, ...] = ()
    intermediates: tuple[Certificate, ...] = ()
    crls: tuple[RevocationList, ...] = ()
    revocation_required: bool = False


@dataclass(frozen=True, slots=True)
class PathResult:
    """`ok` with empty texts, or the first reason against the certificate; `revocation_known` says whether a
    fresh
    list was at hand for every link."""

    ok: bool
    zh: str = ""
    en: str = ""
    revocation_known: bool = False


def signed_by(
    tbs: bytes, signature_oid: str, signature: bytes, issuer: Certificate, provider: Provider
) -> bool:
    """Whether the issuer's key signed these original bytes; False also for malformed or unknown
    algorithms."""
    scheme = SCHEMES_BY_OID.get(signature_oid)
    if scheme is None:
        return False
    try:
        return provider.verify(issuer.public_key, tbs, signature, scheme)
    except SigningError:
        return False


def check_path(
    leaf: Certificate,
    trust: Trust,
    provider: Provider,
    *,
    at: datetime,
    now: datetime,
    usage: str = "digitalSignature",
) -> PathResult:
    """Judge a certificate at the time `at`, with revocation lists as they are known `now`.

    A revocation counts when it happened at or before `at`. The path ends at an anchor; its own term is
    checked too.
    """
    if leaf.key_usage is not None and not leaf.key_usage & {usage, "nonRepudiation"}:
        return _no(f"证书用途不含 {usage}", f"key usage lacks {usage}")
    revocation_known = True
    current, below = leaf, 0
    for _ in range(PATH_CERTIFICATES_MAX):
        problem = _link_problem(current, at)
        if problem:
            return problem
        if any(anchor.raw == current.raw for anchor in trust.anchors):
            return PathResult(True, revocation_known=revocation_known)
        issuer = _issuer_of(current, trust, provider)
        if issuer is None:
            name = current.issuer_text
            return _no(f"未找到可信的签发者：{name}", f"no trusted issuer found: {name}")
        if not _may_issue(issuer, below, trust):
            return _no(f"该证书不得签发证书：{issuer.subject_text}", f"may not issue: {issuer.subject_text}")
        revoked_at, known = _revocation(current, issuer, trust.crls, provider, now)
        if revoked_at is not None and revoked_at <= at:
            when, name = revoked_at.isoformat(), current.subject_text
            return _no(f"证书已于 {when} 吊销：{name}", f"revoked at {when}: {name}")
        revocation_known = revocation_known and known
        if trust.revocation_required and not known:
            name = current.issuer_text
            return _no(f"没有签发者的有效吊销列表：{name}", f"no fresh revocation list of: {name}")
        current, below = issuer, below + (issuer.subject != issuer.issuer)
    return _no("证书链过长", f"path longer than {PATH_CERTIFICATES_MAX} certificates")


def _no(zh: str, en: str) -> PathResult:
    return PathResult(False, zh, en)


def _link_problem(certificate: Certificate, at: datetime) -> PathResult | None:
    if not certificate.covers(at):
        term = f"{certificate.not_before.isoformat()} … {certificate.not_after.isoformat()}"
        return _no(
            f"{at.isoformat()} 不在证书有效期内（{term}）：{certificate.subject_text}",
            f"{at.isoformat()} is outside {term}: {certificate.subject_text}",
        )
    if certificate.critical_unknown:
        names = ", ".join(certificate.critical_unknown)
        return _no(f"证书含无法识别的关键扩展 {names}", f"unknown critical extension {names}")
    return None


def _issuer_of(certificate: Certificate, trust: Trust, provider: Provider) -> Certificate | None:
    pool = (*trust.anchors, *trust.intermediates[:POOL_CERTIFICATES_MAX])
    for candidate in pool:
        # One that issued itself leads nowhere but to itself: an anchor was recognised before this.
        if candidate.raw == certificate.raw or candidate.subject != certificate.issuer:
            continue
        if signed_by(certificate.tbs, certificate.signature_oid, certificate.signature, candidate, provider):
            return candidate
    return None


def _may_issue(issuer: Certificate, below: int, trust: Trust) -> bool:
    if issuer.key_usage is not None and "keyCertSign" not in issuer.key_usage:
        return False
    if issuer.path_length is not None and below > issuer.path_length:
        return False
    # Old roots carry no basicConstraints; as an anchor one was chosen by hand, as an intermediate it may be
    # anyone's.
    return issuer.is_ca or any(anchor.raw == issuer.raw for anchor in trust.anchors)


def _revocation(
    certificate: Certificate,
    issuer: Certificate,
    crls: Sequence[RevocationList],
    provider: Provider,
    now: datetime,
) -> tuple[datetime | None, bool]:
    """(time of revocation if listed, whether a fresh signed list of the issuer was seen)."""
    known, revoked_at = False, None
    for crl in crls:
        if crl.issuer != issuer.subject or not signed_by(
            crl.tbs, crl.signature_oid, crl.signature, issuer, provider
        ):
            continue
        known = known or crl.next_update is None or crl.this_update <= now <= crl.next_update
        if certificate.serial in crl.revoked:
            revoked_at = min(crl.revoked[certificate.serial], revoked_at or crl.revoked[certificate.serial])
    return revoked_at, known


def expiry_warning_days(certificate: Certificate, now: datetime) -> int | None:
    """The warning that is due: 30, 7 or 1 days before the end, 0 after it, None when it is far off."""
    left = certificate.not_after - now
    if left < timedelta(0):
        return 0
    return next((days for days in reversed(EXPIRY_WARNING_DAYS) if left <= timedelta(days=days)), None)
