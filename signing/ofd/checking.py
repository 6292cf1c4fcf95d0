"""Judging a sealed OFD: every step by name, the broken file by its path, now and at the time of signing.
The steps of the seal itself are those of signing/seals/checking; here are those of the document around it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from signing.digest import sha256, sm3
from signing.errors import SigningError
from signing.ofd.model import Document, Entry, Ofd, SignatureFile
from signing.ofd.reading import read_ofd, read_signature
from signing.seals.checking import (
    Circumstances,
    Outcome,
    Report,
    SignatureReport,
    Step,
    check_signature,
)

# MD5 and SHA-1, which GB/T 33190 names too, are no proof of anything any more.
_DIGESTS: Mapping[str, Callable[[bytes], bytes]] = {
    "1.2.156.10197.1.401": sm3,
    "SM3": sm3,
    "2.16.840.1.101.3.4.2.1": sha256,
    "SHA256": sha256,
}
# The algorithm is told twice. The seal signature's own word counts; 1.2.156.10197.501 is a slip that
# widespread software writes here.
_SM2_METHODS = ("1.2.156.10197.1.501", "1.2.156.10197.501", "")
NAMES_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class SealVerdict:
    """One seal on the document: its number and place, and the judgement, with the document's steps first in
    both reports. `signature_file` is None when Signature.xml could not be read."""

    id: str
    path: str
    signature_file: SignatureFile | None
    report: SignatureReport


@dataclass(frozen=True, slots=True)
class OfdVerdict:
    """`steps` concern the package as a whole. Valid is a document with at least one seal whose every seal is
    valid: one bad seal is not outweighed by a good one."""

    ofd: Ofd | None
    steps: tuple[Step, ...]
    seals: tuple[SealVerdict, ...]

    @property
    def valid(self) -> bool:
        """Valid now."""
        return self._good() and all(seal.report.now.valid for seal in self.seals)

    @property
    def valid_at_signing(self) -> bool:
        """Valid when each seal was set, whatever ran out since."""
        return self._good() and all(seal.report.at_signing.valid for seal in self.seals)

    def _good(self) -> bool:
        return bool(self.seals) and all(step.outcome in ("passed", "absent") for step in self.steps)


def check_ofd(data: bytes, given: Circumstances) -> OfdVerdict:
    """Judge a document. Never raises for what the data holds."""
    try:
        ofd = read_ofd(data)
    except SigningError as bad:
        return OfdVerdict(None, (Step("package.format", "failed", bad.zh, bad.en),), ())
    steps = [
        _passed(
            "package.format", f"{len(ofd.files)} 个文件，格式符合", f"well formed, {len(ofd.files)} files"
        )
    ]
    unsigned = [document.root for document in ofd.documents if not document.entries]
    if unsigned:
        names = ", ".join(unsigned)
        steps.append(_failed("package.signed", f"文档未签章：{names}", f"no signature on {names}"))
    else:
        steps.append(_passed("package.signed", "文档均已签章", "every document is signed"))
    own = _signing_files(ofd)
    seals = tuple(
        _check_entry(ofd, document, entry, own, given)
        for document in ofd.documents
        for entry in document.entries
    )
    return OfdVerdict(ofd, tuple(steps), seals)


def _signing_files(ofd: Ofd) -> dict[str, frozenset[str]]:
    """Signature.xml → the files that this signature itself consists of. A later seal adds such files, so an
    earlier one cannot protect them."""
    found: dict[str, frozenset[str]] = {}
    for document in ofd.documents:
        for entry in document.entries:
            files = {entry.path}
            try:
                signature = read_signature(ofd.files, entry.path)
            except SigningError:
                pass  # told where the entry itself is judged
            else:
                files.add(signature.value_path)
                if signature.seal_path:
                    files.add(signature.seal_path)
            # What a reader shows is never a part of a signature, whatever a Signature.xml says.
            found[entry.path] = frozenset(files - _shown_files(document))
    return found


def _shown_files(document: Document) -> set[str]:
    return {"/OFD.xml", document.root, *(page.path for page in document.pages)}


def _check_entry(
    ofd: Ofd, document: Document, entry: Entry, own: Mapping[str, frozenset[str]], given: Circumstances
) -> SealVerdict:
    try:
        signature = read_signature(ofd.files, entry.path)
    except SigningError as bad:
        broken = Report(None, (Step("document.signature", "failed", bad.zh, bad.en),))
        return SealVerdict(entry.id, entry.path, None, SignatureReport(None, broken, broken))
    value = ofd.files.get(signature.value_path)
    steps = [
        _passed("document.signature", f"{entry.path} 格式符合", f"{entry.path} is well formed"),
        _kind_step(entry, signature),
        _references_step(ofd, signature),
        _coverage_step(ofd, document, signature, own),
        _stamp_step(document, signature),
    ]
    if value is None:
        name = signature.value_path
        steps.append(_failed("signature.format", f"缺少签名值文件 {name}", f"file {name} is missing"))
        broken = Report(None, tuple(steps))
        return SealVerdict(entry.id, entry.path, signature, SignatureReport(None, broken, broken))
    judged = check_signature(value, given, original=signature.raw)
    steps.append(_seal_file_step(ofd, signature, judged))
    around = tuple(steps)
    report = SignatureReport(
        judged.signature,
        replace(judged.at_signing, steps=around + judged.at_signing.steps),
        replace(judged.now, steps=around + judged.now.steps),
    )
    return SealVerdict(entry.id, entry.path, signature, report)


def _kind_step(entry: Entry, signature: SignatureFile) -> Step:
    name = "document.kind"
    if entry.kind != "Seal":
        return Step(
            name, "unknown", "数字签名（Sign）不在此核验", "a plain signature (Sign) is not judged here"
        )
    if signature.method not in _SM2_METHODS:
        return _failed(
            name, f"签名算法未知：{signature.method}", f"unknown signature method {signature.method}"
        )
    return _passed(name, "电子签章", "a seal signature")


def _references_step(ofd: Ofd, signature: SignatureFile) -> Step:
    name = "document.references"
    digest = _DIGESTS.get(signature.digest.upper())
    if digest is None:
        return _failed(
            name, f"摘要算法不可信：{signature.digest}", f"digest algorithm {signature.digest} is no proof"
        )
    missing = [r.path for r in signature.references if r.path not in ofd.files]
    changed = [
        r.path
        for r in signature.references
        if r.path in ofd.files and not hmac.compare_digest(digest(ofd.files[r.path]), r.digest)
    ]
    if missing or changed:
        zh = [f"被改动 {_names(changed)}"] * bool(changed) + [f"被删除 {_names(missing)}"] * bool(missing)
        en = [f"changed {_names(changed)}"] * bool(changed) + [f"removed {_names(missing)}"] * bool(missing)
        return _failed(name, "签章后" + "；".join(zh), "after sealing: " + "; ".join(en))
    count = len(signature.references)
    return _passed(name, f"{count} 个受保护文件均未改动", f"all {count} protected files are unchanged")


def _coverage_step(
    ofd: Ofd, document: Document, signature: SignatureFile, own: Mapping[str, frozenset[str]]
) -> Step:
    """What may be unprotected: the list of signatures, this signature itself, and whole later signatures."""
    name = "document.coverage"
    protected = {reference.path for reference in signature.references}
    lists = {d.signatures_path for d in ofd.documents}
    loose = [
        path
        for path in ofd.files
        if path not in protected and path not in lists and not any(path in files for files in own.values())
    ]
    bare = sorted(_shown_files(document) - protected)
    if bare or loose:
        shown = _names(sorted({*bare, *loose}))
        return _failed(name, f"未受签章保护的内容：{shown}", f"not protected by this seal: {shown}")
    return _passed(name, "文档全部内容受签章保护", "the whole document is protected")


def _stamp_step(document: Document, signature: SignatureFile) -> Step:
    name = "document.stamp"
    if not signature.stamps:
        return Step(name, "absent", "印章无外观", "the seal has no appearance on a page")
    pages = {page.id: page for page in document.pages}
    for stamp in signature.stamps:
        page = pages.get(stamp.page_id)
        if page is None:
            return _failed(
                name,
                f"印章所在页不存在：{stamp.page_id}",
                f"stamp on page {stamp.page_id}, which is not there",
            )
        left, top, width, height = stamp.box
        if left + width <= 0 or top + height <= 0 or left >= page.box[2] or top >= page.box[3]:
            return _failed(name, "印章在页面之外", "stamp outside its page")
    places = len(signature.stamps)
    return _passed(name, f"印章外观 {places} 处", f"shown in {places} place(s)")


def _seal_file_step(ofd: Ofd, signature: SignatureFile, judged: SignatureReport) -> Step:
    """A reader may take the picture from Seal.esl or from the signed value: both must be one seal."""
    name = "document.seal_file"
    if signature.seal_path is None:
        return Step(name, "absent", "无单独的印章文件", "no separate seal file")
    content = ofd.files.get(signature.seal_path)
    if content is None:
        path = signature.seal_path
        return _failed(name, f"缺少印章文件 {path}", f"file {path} is missing")
    if judged.signature is None or content != judged.signature.seal.raw:
        path = signature.seal_path
        return _failed(
            name, f"{path} 与签章所用印章不同", f"{path} is not the seal that the signature was made with"
        )
    return _passed(name, "印章文件与签章所用印章一致", "the seal file is the seal of the signature")


def _names(paths: list[str]) -> str:
    shown = ", ".join(paths[:NAMES_SHOWN_MAX])
    return shown if len(paths) <= NAMES_SHOWN_MAX else f"{shown} … ({len(paths)})"


def _passed(name: str, zh: str, en: str) -> Step:
    return _step(name, "passed", zh, en)


def _failed(name: str, zh: str, en: str) -> Step:
    return _step(name, "failed", zh, en)


def _step(name: str, outcome: Outcome, zh: str, en: str) -> Step:
    return Step(name, outcome, zh, en)


def steps_of(verdict: OfdVerdict) -> Iterator[Step]:
    """Every step of a verdict as of now, the package's first."""
    yield from verdict.steps
    for seal in verdict.seals:
        yield from seal.report.now.steps
