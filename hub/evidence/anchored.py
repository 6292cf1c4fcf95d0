"""The part of the judgement that asks whether a peer holds the same history: anchors and countersignatures
of an evidence file. Pure.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from hub.evidence.document import Anchored, Countersigned
from signing.anchors import Anchor, Countersignature
from signing.certificates import parse_certificate
from signing.errors import SigningError
from signing.evidence import RootStatement, chain_break
from signing.provider import Provider
from signing.trust import Trust, check_path

Statements = Mapping[tuple[str, int], RootStatement]


class Finding(msgspec.Struct, frozen=True):
    """One check. part: which part of the file; ok: whether it holds; texts for people."""

    part: str
    ok: bool
    zh: str
    en: str


def judge_anchors(
    anchors: Iterable[Anchored], statements: Statements, trust: Trust, provider: Provider, now: datetime
) -> tuple[list[Finding], list[str]]:
    """Findings, and the subjects of the peers that hold an anchor above every root of the file: below it the
    hub cannot have changed anything alone."""
    findings: list[Finding] = []
    witnesses: list[str] = []
    for anchored in anchors:
        anchor = _anchor(anchored, statements, provider)
        if isinstance(anchor, Finding):
            findings.append(anchor)
            continue
        for one in anchored.countersigned:
            finding, who = _countersigned(anchor, one, trust, provider, now)
            findings.append(finding)
            witnesses += [who] if finding.ok else []
    return findings, witnesses


def _anchor(anchored: Anchored, statements: Statements, provider: Provider) -> Anchor | Finding:
    text = anchored.text.encode()
    try:
        anchor = Anchor.from_bytes(text)
        key = parse_certificate(anchored.certificate).public_key
        fits = provider.verify(key, text, anchored.signature)
    except SigningError as bad:
        return Finding("anchor", False, f"锚：{bad.zh}", f"anchor: {bad.en}")
    part = f"anchor {anchor.number}"
    if not fits:
        return Finding(
            part, False, "锚已被改动，签名不符", "the anchor was changed, its signature does not fit"
        )
    return _leads_to(part, anchor, anchored.links, statements) or anchor


def _leads_to(part: str, anchor: Anchor, links: list[str], statements: Statements) -> Finding | None:
    """Every root of the file, through the statements between, to what the anchor names."""
    held = dict(statements)
    try:
        for text in links:
            statement = RootStatement.from_bytes(text.encode())
            held[statement.lane, statement.sequence] = statement
    except SigningError as bad:
        return Finding(part, False, f"中间的根声明：{bad.zh}", f"a statement between: {bad.en}")
    for lane in sorted({lane for lane, _ in statements}):
        chain = [held[place] for place in sorted(held) if place[0] == lane]
        newest = (chain[-1].sequence, chain[-1].digest().hex())
        if newest != anchor.lanes.get(lane) or chain_break(chain) is not None:
            zh = f"{lane} 的根不通向锚：与对等方留存的历史不同"
            en = f"the roots of {lane} do not lead to the anchor: the peer holds another history"
            return Finding(part, False, zh, en)
    return None


def _countersigned(
    anchor: Anchor, one: Countersigned, trust: Trust, provider: Provider, now: datetime
) -> tuple[Finding, str]:
    part = f"anchor {anchor.number} peer {one.peer[:64]}"
    try:
        said = Countersignature.from_bytes(one.text.encode())
        certificate = parse_certificate(one.certificate)
        at = datetime.fromisoformat(said.at)
        fits = provider.verify(certificate.public_key, one.text.encode(), one.signature)
        if not fits or at.tzinfo is None or (said.anchor, said.peer) != (anchor.digest(), one.peer):
            raise ValueError
    except (SigningError, ValueError):
        return Finding(part, False, "会签不符", "the countersignature does not fit"), ""
    who = certificate.subject_text
    path = check_path(certificate, trust, provider, at=at, now=now)
    if not path.ok:
        return Finding(part, False, f"会签者不可信：{path.zh}", f"the peer is not believed: {path.en}"), ""
    zh = f"{who} 自 {said.at} 起留存此锚：此前的根枢纽不能单独改写"
    en = f"{who} keeps this anchor since {said.at}: the hub alone cannot have changed what lies below"
    return Finding(part, True, zh, en), who
