"""Judging the signatures of a PDF, each by named steps, at the time of signing and now.
pyHanko reads the document and compares its revisions; who is believed is decided by `signing.trust` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import ModificationLevel, SuspiciousModification
from pyhanko.sign.validation.generic_cms import extract_tst_data_iter, validate_sig_integrity
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature, collect_embedded_signatures
from pyhanko.sign.validation.status import SignatureCoverageLevel

from signing import der
from signing.certificates import Certificate, parse_certificate
from signing.errors import SigningError
from signing.pdf.container import check_container
from signing.pdf.reading import STANDARD, foreign_errors, open_pdf
from signing.seals.checking import CLOCK_AHEAD_MAX, Circumstances, Report, Step
from signing.timestamps import TimeStampResult, check_token
from signing.trust import Trust, check_path

SIGNATURES_MAX = 64
_DIGESTS = ("sha256", "sha384", "sha512")
_OID_SIGNED_DATA = "1.2.840.113549.1.7.2"


@dataclass(frozen=True, slots=True)
class PdfSignatureReport:
    """One signature field, in the order of signing. `signer` and `signed_at` are as the signature says."""

    field: str
    signer: str
    signed_at: datetime | None
    at_signing: Report
    now: Report


@dataclass(frozen=True, slots=True)
class PdfReport:
    """A document is valid when it has signatures and every one is; `problem` says why none could be read."""

    signatures: tuple[PdfSignatureReport, ...]
    problem: SigningError | None = None

    @property
    def valid_now(self) -> bool:
        return bool(self.signatures) and all(one.now.valid for one in self.signatures)

    @property
    def valid_at_signing(self) -> bool:
        return bool(self.signatures) and all(one.at_signing.valid for one in self.signatures)


def check_pdf(data: bytes, given: Circumstances) -> PdfReport:
    """Judge every signature of a PDF. Never raises for what the document holds."""
    try:
        reader = open_pdf(data)
        with foreign_errors("PDF"):
            found = collect_embedded_signatures(reader)
    except SigningError as bad:
        return PdfReport((), bad)
    if len(found) > SIGNATURES_MAX:
        return PdfReport((), SigningError("PDF", f"more than {SIGNATURES_MAX} signatures", STANDARD))
    try:
        with foreign_errors("PDF"):
            strays = len(reader.embedded_signatures) - len(found)
    except SigningError as bad:
        return PdfReport((), bad)
    if strays:
        return PdfReport((), SigningError("PDF", f"{strays} signatures of an unknown kind", STANDARD))
    return PdfReport(tuple(_judge(one, reader, given) for one in found))


def _judge(found: EmbeddedPdfSignature, reader: PdfFileReader, given: Circumstances) -> PdfSignatureReport:
    name = str(found.field_name)[:200]
    try:
        with foreign_errors(name):
            return _judged(found, name, reader, given)
    except SigningError as bad:
        broken = Report(None, (Step("signature.format", "failed", bad.zh, bad.en),))
        return PdfSignatureReport(name, "", None, broken, broken)


def _judged(
    found: EmbeddedPdfSignature, name: str, reader: PdfFileReader, given: Circumstances
) -> PdfSignatureReport:
    found.compute_integrity_info()
    check_container(found.pkcs7_content, found.signer_cert.issuer.dump(), name)
    if found.sig_object_type == "/DocTimeStamp":
        return _document_stamp(found, name, given)
    signer = parse_certificate(found.signer_cert.dump(), "signer")
    others = tuple(parse_certificate(c.dump(), "chain") for c in found.other_embedded_certs)
    claimed = found.self_reported_timestamp
    claimed = claimed if claimed is None or claimed.tzinfo else claimed.replace(tzinfo=UTC)
    believed = Trust(
        given.trust.anchors,
        (*given.trust.intermediates, *others),
        given.trust.crls,
        given.trust.revocation_required,
    )
    stamp = _time_stamp(found, believed, given)
    at = stamp.made_at if stamp and stamp.ok else claimed
    fixed = (
        Step("signature.format", "passed", "格式符合", "well formed"),
        _coverage(found),
        *_integrity(found),
        _changes(found),
        _time(claimed, stamp, given),
        _stamped(stamp, claimed),
    )

    def report(moment: datetime | None) -> Report:
        return Report(moment, (*fixed, _certificate(signer, believed, given, moment)))

    return PdfSignatureReport(name, signer.subject_text, at, report(at), report(given.now))


def _document_stamp(found: EmbeddedPdfSignature, name: str, given: Circumstances) -> PdfSignatureReport:
    """A document time stamp (ETSI EN 319 142): a token over the signed bytes in place of a signature."""
    stream = found.reader.stream
    signed = b""
    for start, length in zip(found.byte_range[::2], found.byte_range[1::2], strict=True):
        stream.seek(start)
        signed += stream.read(length)
    token = der.first_element(found.pkcs7_content, "time stamp")
    result = check_token(token, signed, given.trust, given.provider, now=given.now)
    steps = (
        _coverage(found),
        _changes(found),
        _outcome("signature.timestamp", result.ok, result.zh, result.en),
    )
    report = Report(result.made_at, steps)
    return PdfSignatureReport(name, "", result.made_at, report, report)


def _coverage(found: EmbeddedPdfSignature) -> Step:
    good = found.coverage in (SignatureCoverageLevel.ENTIRE_FILE, SignatureCoverageLevel.ENTIRE_REVISION)
    if good:
        return Step("signature.coverage", "passed", "签名覆盖其全部内容", "covers the whole of its revision")
    return Step(
        "signature.coverage", "failed", "签名未覆盖全部内容", "does not cover the whole of its revision"
    )


def _integrity(found: EmbeddedPdfSignature) -> tuple[Step, Step]:
    if found.md_algorithm not in _DIGESTS:
        zh, en = (
            f"摘要算法不可接受：{found.md_algorithm}",
            f"digest algorithm {found.md_algorithm} not accepted",
        )
        return Step("signature.digest", "failed", zh, en), Step("signature.value", "failed", zh, en)
    intact, valid = validate_sig_integrity(
        found.signer_info, found.signer_cert, "data", found.compute_digest()
    )
    return (
        _outcome(
            "signature.digest",
            intact,
            "原文摘要一致" if intact else "原文已被改动：摘要不一致",
            "the digest of the signed bytes fits" if intact else "the signed bytes were changed",
        ),
        _outcome(
            "signature.value",
            valid,
            "签名值正确" if valid else "签名值与内容不符",
            "the signature value is right" if valid else "the signature value does not fit",
        ),
    )


def _changes(found: EmbeddedPdfSignature) -> Step:
    """What was appended after this signature: other signatures and filled fields are allowed."""
    name, result = "signature.changes_after", found.diff_result
    if result is None or isinstance(result, SuspiciousModification):
        return Step(name, "failed", "签名后内容被改动", f"changed after signing: {str(result)[:200]}")
    level, allowed = result.modification_level, found.docmdp_level
    if level == ModificationLevel.OTHER or (allowed is not None and level.value > allowed.value):
        return Step(name, "failed", "签名后有不允许的改动", f"changed beyond what is allowed: {level.name}")
    if level == ModificationLevel.NONE:
        return Step(name, "passed", "签名后未改动", "nothing was changed after signing")
    return Step(name, "passed", "签名后只有允许的追加", f"only what is allowed was appended: {level.name}")


def _time_stamp(found: EmbeddedPdfSignature, trust: Trust, given: Circumstances) -> TimeStampResult | None:
    tokens = list(extract_tst_data_iter(found.signer_info, signed=False))
    if not tokens:
        return None
    # The original bytes of the SignedData, with the tag [0] they travelled under.
    token = der.make_sequence(der.make_oid(_OID_SIGNED_DATA), tokens[0].dump())
    value = found.signer_info["signature"].native
    return check_token(token, value, trust, given.provider, now=given.now)


def _stamped(stamp: TimeStampResult | None, claimed: datetime | None) -> Step:
    name = "signature.timestamp"
    if stamp is None:
        return Step(
            name, "absent", "无时间戳，签名时间为签名者自述", "none: the time is the signer's own word"
        )
    if stamp.ok and stamp.made_at and claimed and stamp.made_at < claimed - CLOCK_AHEAD_MAX:
        return Step(name, "failed", "时间戳早于签名时间", "stamped before the time that the signer claims")
    return _outcome(name, stamp.ok, stamp.zh, stamp.en)


def _time(claimed: datetime | None, stamp: TimeStampResult | None, given: Circumstances) -> Step:
    name = "signature.time"
    if claimed is None:
        if stamp is not None and stamp.ok:
            return Step(name, "absent", "签名时间由时间戳给出", "the time is the time stamp's")
        return Step(name, "unknown", "签名未给出时间", "the signature gives no time")
    good = claimed <= given.now + CLOCK_AHEAD_MAX
    zh, en = ("签名时间", "signed at") if good else ("签名时间晚于当前时间：", "signed in the future:")
    return _outcome(name, good, f"{zh} {claimed.isoformat()}", f"{en} {claimed.isoformat()}")


def _certificate(signer: Certificate, trust: Trust, given: Circumstances, at: datetime | None) -> Step:
    name = "signature.certificate"
    if at is None:
        return Step(name, "unknown", "签名时间未知，无法判断证书", "the time of signing is not known")
    if not trust.anchors and signer.covers(at):
        return Step(name, "unknown", "未配置信任锚，无法判断证书", "no trust anchor given, cannot judge")
    result = check_path(signer, trust, given.provider, at=at, now=given.now)
    if not result.ok:
        return Step(name, "failed", result.zh, result.en)
    zh, en = ("", "") if result.revocation_known else ("（未查吊销）", " (revocation not known)")
    who = signer.subject_text
    return Step(name, "passed", f"证书可信{zh}：{who}", f"certificate believed{en}: {who}")


def _outcome(name: str, good: bool, zh: str, en: str) -> Step:
    return Step(name, "passed" if good else "failed", zh, en)
