"""Seals, signatures and judgements as plain data (for --json) and as lines (for people).
Nothing is judged here and nothing is left out of a judgement: every step is printed by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from signing.certificates import Certificate
from signing.digest import sm3_hex
from signing.seals.checking import Report, SignatureReport
from signing.seals.lifecycle import STAGES_ZH, Entry, SealLife
from signing.seals.model import STANDARDS, Seal, SealSignature, SignerDigest

_MARKS = {"passed": "✓", "failed": "✗", "unknown": "?", "absent": "-"}


def seal_data(seal: Seal) -> dict[str, Any]:
    """A seal as it says of itself; nothing of it is judged."""
    return {
        "kind": "seal",
        "standard": STANDARDS[seal.version],
        "es_id": seal.es_id,
        "name": seal.name,
        "type": seal.type,
        "vendor": seal.vendor,
        "created_at": _moment(seal.created_at),
        "valid_from": _moment(seal.valid_from),
        "valid_until": _moment(seal.valid_until),
        "picture": {
            "kind": seal.picture.kind,
            "bytes": len(seal.picture.data),
            "width_mm": seal.picture.width_mm,
            "height_mm": seal.picture.height_mm,
        },
        "signers": [_signer(entry) for entry in seal.signers],
        "maker": certificate_data(seal.maker),
        "bytes": len(seal.raw),
    }


def signature_data(signature: SealSignature) -> dict[str, Any]:
    """A seal signature as it says of itself; nothing of it is judged."""
    return {
        "kind": "signature",
        "standard": STANDARDS[signature.version],
        "signed_at": _moment(signature.signed_at) if signature.signed_at else None,
        "about": signature.property_info,
        "digest": signature.data_hash.hex(),
        "timestamp": signature.timestamp is not None,
        "signer": certificate_data(signature.signer),
        "seal": seal_data(signature.seal),
    }


def certificate_data(certificate: Certificate) -> dict[str, Any]:
    return {
        "subject": certificate.subject_text,
        "issuer": certificate.issuer_text,
        "serial": f"{certificate.serial:x}",
        "not_before": _moment(certificate.not_before),
        "not_after": _moment(certificate.not_after),
        "sm3": certificate.fingerprint,
    }


def _signer(entry: bytes | SignerDigest) -> dict[str, str]:
    if isinstance(entry, SignerDigest):
        return {"algorithm": entry.algorithm, "digest": entry.value.hex()}
    return {"algorithm": "certificate", "sm3": sm3_hex(entry)}


def report_data(report: Report) -> dict[str, Any]:
    return {
        "at": _moment(report.at) if report.at else None,
        "valid": report.valid,
        "steps": [{"name": s.name, "outcome": s.outcome, "zh": s.zh, "en": s.en} for s in report.steps],
    }


def judged_data(judged: SignatureReport) -> dict[str, Any]:
    return {"now": report_data(judged.now), "at_signing": report_data(judged.at_signing)}


def lines_of(data: dict[str, Any], indent: str = "") -> Iterable[str]:
    """Nested data, a line per value."""
    for name, value in data.items():
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from lines_of(value, indent + "  ")
        elif isinstance(value, list):
            yield f"{indent}{name}:"
            for one in value:
                yield f"{indent}  - " + ", ".join(f"{k}={v}" for k, v in one.items())
        else:
            yield f"{indent}{name}: {value}"


def report_lines(report: Report, title: str) -> Iterable[str]:
    verdict = "有效 valid" if report.valid else "无效 NOT VALID"
    yield f"{title}{f'（{_moment(report.at)}）' if report.at else ''}: {verdict}"
    for step in report.steps:
        yield f"  {_MARKS[step.outcome]} {step.name:<26} {step.zh} / {step.en}"


def life_data(life: SealLife) -> dict[str, Any]:
    return {
        "es_id": life.es_id,
        "stage": life.stage,
        "stage_zh": STAGES_ZH[life.stage],
        "since": _moment(life.since),
        "name": life.application.get("name"),
        "holder": life.application.get("holder"),
        "valid_until": life.application.get("valid_until"),
        "applicant": life.applicant,
        "approver": life.approver,
        "renews": life.renews,
        "signatures": life.signatures,
        "seal_sm3": life.seal,
    }


def entry_data(entry: Entry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "at": _moment(entry.at),
        "act": entry.act,
        "es_id": entry.es_id,
        "by": entry.by,
        "detail": dict(entry.detail),
        "digest": entry.digest,
    }


def _moment(moment: datetime) -> str:
    return moment.isoformat()
