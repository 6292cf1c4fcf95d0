"""A sealed OFD and its judgement as plain data (for --json) and as lines (for people).
Nothing is judged here and nothing is left out of a judgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hub.seals.show import judged_data, report_lines, seal_data, signature_data
from signing.errors import SigningError
from signing.ofd.checking import OfdVerdict, SealVerdict
from signing.ofd.model import Document, Entry, Ofd
from signing.ofd.reading import read_signature
from signing.seals.checking import Report
from signing.seals.reading import parse_signature


def ofd_data(ofd: Ofd) -> dict[str, Any]:
    """A document as it says of itself; what cannot be parsed is told in its place."""
    return {
        "kind": "ofd",
        "documents": [_document_data(ofd.files, document) for document in ofd.documents],
        "files": [{"path": path, "bytes": len(content)} for path, content in ofd.files.items()],
    }


def _document_data(files: Mapping[str, bytes], document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "title": document.title,
        "root": document.root,
        "pages": [
            {"id": page.id, "width_mm": page.box[2], "height_mm": page.box[3]} for page in document.pages
        ],
        "signatures": [_entry_data(files, entry) for entry in document.entries],
    }


def _entry_data(files: Mapping[str, bytes], entry: Entry) -> dict[str, Any]:
    said: dict[str, Any] = {"id": entry.id, "type": entry.kind, "path": entry.path}
    try:
        file = read_signature(files, entry.path)
        said["protects"] = [reference.path for reference in file.references]
        said["stamps"] = [{"page": stamp.page_id, "box_mm": list(stamp.box)} for stamp in file.stamps]
        said |= signature_data(parse_signature(files.get(file.value_path, b"")))
    except SigningError as bad:
        said["problem"] = f"{bad.zh} / {bad.en}"
    return said


def ofd_lines(ofd: Ofd) -> Iterable[str]:
    """The same for people, a few lines a seal."""
    for document in ofd_data(ofd)["documents"]:
        yield f"标题 title: {document['title'] or '—'}"
        yield f"编号 id: {document['id'] or '—'}"
        yield f"页数 pages: {len(document['pages'])}"
        if not document["signatures"]:
            yield "签章 seals: 无 none"
        for one in document["signatures"]:
            yield f"签章 seal {one['id']}（{one['path']}）"
            if "problem" in one:
                yield f"  无法解析 cannot be read: {one['problem']}"
                continue
            seal = one["seal"]
            yield f"  印章 seal: {seal['name']}（{seal['es_id']}，{one['standard']}）"
            yield f"  签章者 signer: {one['signer']['subject']}"
            yield f"  签章时间 signed at: {one['signed_at'] or '—'}"
            yield f"  受保护文件 protected files: {len(one['protects'])}"
            for stamp in one["stamps"]:
                yield f"  外观 shown: page ID {stamp['page']}, mm {stamp['box_mm']}"


def verdict_data(verdict: OfdVerdict) -> dict[str, Any]:
    """The judgement, every step by name."""
    return {
        "kind": "ofd",
        "valid_now": verdict.valid,
        "valid_at_signing": verdict.valid_at_signing,
        "steps": [{"name": s.name, "outcome": s.outcome, "zh": s.zh, "en": s.en} for s in verdict.steps],
        "seals": [_seal_verdict(seal) for seal in verdict.seals],
    }


def _seal_verdict(seal: SealVerdict) -> dict[str, Any]:
    said = seal.report.signature
    return {
        "id": seal.id,
        "path": seal.path,
        "seal": seal_data(said.seal) if said else None,
        **judged_data(seal.report),
    }


def verdict_lines(verdict: OfdVerdict) -> Iterable[str]:
    """A line a step, then the verdict in one line."""
    # A package has no time of its own: its steps stand under no moment.
    yield from list(report_lines(Report(None, verdict.steps), "文档 document"))[1:]
    for seal in verdict.seals:
        name = seal.report.signature.seal.name if seal.report.signature else seal.path
        yield from report_lines(seal.report.at_signing, f"签章 seal {seal.id} {name} 签章时 at signing")
        yield from report_lines(seal.report.now, f"签章 seal {seal.id} {name} 现在 now")
    then, now = (
        "有效 valid" if good else "无效 NOT VALID" for good in (verdict.valid_at_signing, verdict.valid)
    )
    yield f"结论 verdict: 签章时 at signing {then}；现在 now {now}"
