"""Judging seals and seal signatures: every step of the standards by name, at the time of signing and now.
Times, trust anchors, revocation lists and the list of lost seals are arguments; no clock and no network here.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from signing.certificates import Certificate
from signing.digest import sha256, sm3
from signing.errors import SigningError
from signing.provider import Provider
from signing.seals.model import Seal, SealSignature, SignerDigest
from signing.seals.reading import parse_seal, parse_signature
from signing.timestamps import TimeStampResult, check_token
from signing.trust import Trust, check_path, signed_by

# A claimed time may be this far ahead of the verifier's clock.
CLOCK_AHEAD_MAX = timedelta(minutes=5)
_DIGESTS = {"SM3": sm3, "1.2.156.10197.1.401": sm3, "SHA256": sha256, "SHA-256": sha256}

Outcome = Literal["passed", "failed", "unknown", "absent"]


@dataclass(frozen=True, slots=True)
class Step:
    """One named step. `unknown`: could not be decided with what was given, so it does not count as good;
    `absent`: there is nothing to decide."""

    name: str
    outcome: Outcome
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Report:
    """All steps in the standards' order, judged for the moment `at` (None when the form did not even give
    one)."""

    at: datetime | None
    steps: tuple[Step, ...]

    @property
    def valid(self) -> bool:
        return bool(self.steps) and all(step.outcome in ("passed", "absent") for step in self.steps)

    @property
    def failures(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.outcome == "failed")


@dataclass(frozen=True, slots=True)
class SignatureReport:
    """A signature that was good when it was made may use a certificate that has run out since: both are
    told."""

    signature: SealSignature | None
    at_signing: Report
    now: Report


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a judgement rests on. `withdrawn` maps seal number (esID) to the time it was reported lost or
    destroyed; None when no such list was consulted."""

    trust: Trust
    provider: Provider
    now: datetime
    withdrawn: Mapping[str, datetime] | None = None


def check_seal(data: bytes, given: Circumstances, *, at: datetime | None = None) -> Report:
    """Judge a seal at a time (default: now). Never raises for what the data holds."""
    at = at or given.now
    try:
        seal = parse_seal(data)
    except SigningError as bad:
        return Report(at, (Step("seal.format", "failed", bad.zh, bad.en),))
    return Report(at, _seal_steps(seal, given, at))


def check_signature(data: bytes, given: Circumstances, *, original: bytes | None = None) -> SignatureReport:
    """Judge a seal signature over `original` (the protected bytes; in an OFD the file Signature.xml).

    Without `original` the step signature.digest is unknown and the signature therefore not valid.
    """
    try:
        signature = parse_signature(data)
    except SigningError as bad:
        broken = Report(None, (Step("signature.format", "failed", bad.zh, bad.en),))
        return SignatureReport(None, broken, broken)
    now = Report(given.now, _signature_steps(signature, given, given.now, original))
    at = _moment(signature, given)
    if at is None:
        unknown = _unknown(
            "signature.time", "签章时间在时间戳中，未能读取", "the time is inside a token not read"
        )
        return SignatureReport(signature, Report(None, (unknown,)), now)
    return SignatureReport(signature, Report(at, _signature_steps(signature, given, at, original)), now)


def _moment(signature: SealSignature, given: Circumstances) -> datetime | None:
    """The time of signing: what a good time stamp proves, otherwise what the signer claims."""
    stamp = _timestamp(signature, given)
    return stamp.made_at if stamp and stamp.ok else signature.signed_at


def _timestamp(signature: SealSignature, given: Circumstances) -> TimeStampResult | None:
    if signature.timestamp is None or signature.version != 4:
        return None
    return check_token(signature.timestamp, signature.signature, given.trust, given.provider, now=given.now)


def _seal_steps(seal: Seal, given: Circumstances, at: datetime) -> tuple[Step, ...]:
    return (
        _passed("seal.format", f"格式符合 版本 {seal.version}", f"well formed, version {seal.version}"),
        _value_step(
            "seal.maker_signature", seal.signed, seal.algorithm_oid, seal.signature, seal.maker, given
        ),
        _certificate_step("seal.maker_certificate", seal.maker, given, at),
        _term_step(seal, at),
        _withdrawn_step(seal, given, at),
    )


def _signature_steps(
    signature: SealSignature, given: Circumstances, at: datetime, original: bytes | None
) -> tuple[Step, ...]:
    return (
        _passed(
            "signature.format",
            f"格式符合 版本 {signature.version}",
            f"well formed, version {signature.version}",
        ),
        _value_step(
            "signature.value",
            signature.signed,
            signature.algorithm_oid,
            signature.signature,
            signature.signer,
            given,
        ),
        _certificate_step("signature.certificate", signature.signer, given, at),
        *_seal_steps(signature.seal, given, at),
        _listed_step(signature),
        _digest_step(signature, original),
        _time_step(signature, given),
        _timestamp_step(signature, given),
    )


def _value_step(
    name: str, signed: bytes, oid: str, value: bytes, signer: Certificate, given: Circumstances
) -> Step:
    if signed_by(signed, oid, value, signer, given.provider):
        return _passed(name, "签名值正确", "the signature value is right")
    return _failed(
        name, f"签名值与内容不符（算法 {oid}）", f"the signature value does not fit (algorithm {oid})"
    )


def _certificate_step(name: str, certificate: Certificate, given: Circumstances, at: datetime) -> Step:
    result = check_path(certificate, given.trust, given.provider, at=at, now=given.now)
    if result.ok:
        who = certificate.subject_text
        known_zh, known_en = (
            ("", "") if result.revocation_known else ("（未查吊销）", " (revocation not known)")
        )
        return _passed(name, f"证书可信{known_zh}：{who}", f"certificate believed{known_en}: {who}")
    if not given.trust.anchors and certificate.covers(at):
        return Step(name, "unknown", "未配置信任锚，无法判断证书", "no trust anchor given, cannot judge")
    return _failed(name, result.zh, result.en)


def _term_step(seal: Seal, at: datetime) -> Step:
    term = f"{seal.valid_from.isoformat()} … {seal.valid_until.isoformat()}"
    if seal.valid_from <= at <= seal.valid_until:
        return _passed(
            "seal.term", f"{at.isoformat()} 在印章有效期内", f"{at.isoformat()} is within the seal's term"
        )
    return _failed(
        "seal.term",
        f"{at.isoformat()} 不在印章有效期内（{term}）",
        f"{at.isoformat()} is outside the seal's term {term}",
    )


def _withdrawn_step(seal: Seal, given: Circumstances, at: datetime) -> Step:
    if given.withdrawn is None:
        return Step("seal.status", "absent", "未查印章状态", "no list of withdrawn seals consulted")
    since = given.withdrawn.get(seal.es_id)
    if since is None:
        return _passed("seal.status", "印章未挂失或销毁", "the seal was not lost or destroyed")
    when = since.isoformat()
    if at < since:
        return _passed(
            "seal.status",
            f"{at.isoformat()} 早于印章挂失或销毁的时间 {when}（时间无时间戳时为签章者自述）",
            f"{at.isoformat()} is before {when}, when the seal was lost or destroyed (without a time stamp "
            "that time is the signer's own word)",
        )
    return _failed("seal.status", f"印章已于 {when} 挂失或销毁", f"the seal was lost or destroyed at {when}")


def permitted(seal: Seal, signer: Certificate) -> bool:
    """Whether the seal names this certificate, in full or by digest, among those who may sign with it."""
    for entry in seal.signers:
        if isinstance(entry, SignerDigest):
            digest = _DIGESTS.get(entry.algorithm.upper())
            if digest is not None and hmac.compare_digest(digest(signer.raw), entry.value):
                return True
        elif entry == signer.raw:
            return True
    return False


def _listed_step(signature: SealSignature) -> Step:
    if permitted(signature.seal, signature.signer):
        return _passed("signature.signer_listed", "签章者在印章的证书列表中", "the seal names this signer")
    return _failed(
        "signature.signer_listed", "签章者不在印章的证书列表中", "the seal does not name this signer"
    )


def _digest_step(signature: SealSignature, original: bytes | None) -> Step:
    name = "signature.digest"
    if original is None:
        return Step(
            name, "unknown", "未提供原文，无法核对摘要", "the original was not given, digest not compared"
        )
    if hmac.compare_digest(sm3(original), signature.data_hash):
        return _passed(name, "原文摘要一致", "the digest of the original fits")
    return _failed(name, "原文已被改动：摘要不一致", "the original was changed: its digest differs")


def _time_step(signature: SealSignature, given: Circumstances) -> Step:
    name, moment = "signature.time", signature.signed_at
    if moment is None:
        return Step(name, "unknown", "签章时间在时间戳中，未能读取", "the time is inside a token not read")
    if moment <= given.now + CLOCK_AHEAD_MAX:
        return _passed(name, f"签章时间 {moment.isoformat()}", f"signed at {moment.isoformat()}")
    return _failed(
        name, f"签章时间晚于当前时间：{moment.isoformat()}", f"signed in the future: {moment.isoformat()}"
    )


def _timestamp_step(signature: SealSignature, given: Circumstances) -> Step:
    name = "signature.timestamp"
    if signature.timestamp is None:
        return Step(
            name, "absent", "无时间戳，签章时间为签章者自述", "none: the time is the signer's own word"
        )
    stamp = _timestamp(signature, given)
    if stamp is None:
        return _unknown(name, "含时间戳，未能核对", "a time stamp is present and was not verified")
    if not stamp.ok or stamp.made_at is None or signature.signed_at is None:
        return _failed(name, stamp.zh, stamp.en)
    if stamp.made_at < signature.signed_at - CLOCK_AHEAD_MAX:
        return _failed(name, "时间戳早于签章时间", "stamped before the time that the signer claims")
    return _passed(name, stamp.zh, stamp.en)


def _unknown(name: str, zh: str, en: str) -> Step:
    return Step(name, "unknown", zh, en)


def _passed(name: str, zh: str, en: str) -> Step:
    return Step(name, "passed", zh, en)


def _failed(name: str, zh: str, en: str) -> Step:
    return Step(name, "failed", zh, en)
