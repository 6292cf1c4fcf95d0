"""Judges an evidence file offline: nothing but the file and trust anchors. Says what is proven, by whom, and
what is not. Pure: no clock, no network.
"""

import itertools
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import msgspec

from hub import ids
from hub.evidence.anchored import Finding, judge_anchors
from hub.evidence.document import Content, Document, HandOver
from hub.evidence.leaves import ROUTED, SignedRoot, canonical, line_of, stamped_bytes
from signing.certificates import Certificate, parse_certificate
from signing.errors import SigningError
from signing.evidence import RootStatement, chain_break, leaf_hash, verify_inclusion
from signing.provider import Provider
from signing.receipts import believed, parse_receipt, signature_fits
from signing.timestamps import OID_TIME_STAMPING, TimeStamp, check_token, parse_token
from signing.trust import Trust, check_path

# Between a root's closing and its stamp lies one signature and one call; more says that a clock is wrong.
STAMP_LAG_MS_MAX: Final = 24 * 3_600_000


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """One hand-over that is proven: what, by whose signature, and since when it cannot have been changed.
    receiver: whose own signature confirms it, "" where it rests on the hub's word."""

    what: str
    message_id: str
    dispatch_id: str = ""
    member: str = ""
    result: str = ""
    recorded_at_ms: int = 0
    signed_by: str
    stamped_at: str
    stamped_by: str
    content_shown: bool = False
    receiver: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. witnesses: peers that countersigned. unproven: (Chinese, English) sentences about what
    the file does not prove."""

    case: str
    findings: list[Finding]
    proven: list[Proven]
    witnesses: list[str]
    unproven: list[tuple[str, str]]

    @property
    def ok(self) -> bool:
        """Everything that the file claims is proven, and it claims something."""
        return bool(self.proven) and all(finding.ok for finding in self.findings)


class _Root(msgspec.Struct, frozen=True):
    """A root that holds."""

    statement: RootStatement
    signer: str
    stamp: TimeStamp
    own_stamp: bool


class Verifier:
    """One file, one judgement."""

    def __init__(self, document: Document, trust: Trust, provider: Provider, now: datetime) -> None:
        self._document = document
        self._trust = trust
        self._provider = provider
        self._now = now
        self._findings: list[Finding] = []
        self._proven: list[Proven] = []
        self._roots: dict[tuple[str, int], _Root] = {}
        self._statements: dict[tuple[str, int], RootStatement] = {}
        self._digests: dict[str, str] = {}
        self._recorded: dict[str, str] = {}
        self._witnesses: list[str] = []

    def report(self) -> Report:
        """Judge everything once."""
        for root in self._document.roots:
            self._root(root)
        self._chains()
        for message in self._document.messages:
            if message.content is not None:
                self._digests[message.id] = ids.content_digest(message.type, message.content)
        for handover in self._document.handovers:
            line = line_of(handover.leaf)
            if line.get("digest"):
                self._recorded.setdefault(str(line.get("messageId")), str(line["digest"]))
        for handover in self._document.handovers:
            self._hand_over(handover)
        self._contents()
        findings, self._witnesses = judge_anchors(
            self._document.anchors, self._statements, self._trust, self._provider, self._now
        )
        self._findings += findings
        return Report(
            case=self._document.case,
            findings=self._findings,
            proven=self._proven,
            witnesses=self._witnesses,
            unproven=list(self._unproven()),
        )

    def _note(self, part: str, ok: bool, zh: str, en: str) -> bool:
        self._findings.append(Finding(part, ok, zh, en))
        return ok

    # -- roots

    def _root(self, root: SignedRoot) -> None:
        text = root.statement.encode()
        try:
            statement = RootStatement.from_bytes(text)
        except SigningError as bad:
            self._note(f"root {text[:60]!r}", False, f"根声明：{bad.zh}", f"root statement: {bad.en}")
            return
        place = (statement.lane, statement.sequence)
        part = f"root {statement.lane}#{statement.sequence}"
        if place in self._statements:
            self._note(part, False, "同一区间有两个根", "there are two roots of one interval")
            return
        self._statements[place] = statement
        try:
            certificate = parse_certificate(root.certificate)
            fits = self._provider.verify(certificate.public_key, text, root.signature)
        except SigningError as bad:
            self._note(part, False, f"签名无法读取：{bad.zh}", f"the signature cannot be read: {bad.en}")
            return
        if not fits:
            self._note(
                part,
                False,
                "根声明已被改动（根、时间、位置或前序），签名不符",
                "the root statement was changed (root, time, positions or predecessor): "
                "its signature does not fit",
            )
            return
        stamp = self._stamp(part, root, text)
        if stamp is None:
            return
        path = check_path(certificate, self._trust, self._provider, at=stamp.made_at, now=self._now)
        if certificate.extended_key_usage == frozenset({OID_TIME_STAMPING}):
            self._note(
                part, False, "签名证书只用于时间戳", "the signer's certificate is for time stamps only"
            )
            return
        if not path.ok:
            self._note(part, False, f"签名证书不可信：{path.zh}", f"the signer is not believed: {path.en}")
            return
        if not self._time_fits(part, statement, stamp):
            return
        own = _organisation(stamp.signer) == _organisation(certificate)
        self._roots[place] = _Root(statement, certificate.subject_text, stamp, own)
        self._note(
            part,
            True,
            f"{statement.size} 条的根由 {certificate.subject_text} 签名，时间戳 {stamp.made_at.isoformat()}",
            f"the root over {statement.size} lines is signed by {certificate.subject_text}, "
            f"stamped {stamp.made_at.isoformat()} by {stamp.signer.subject_text}",
        )

    def _stamp(self, part: str, root: SignedRoot, text: bytes) -> TimeStamp | None:
        stamped = stamped_bytes(text, root.signature)
        result = check_token(root.timestamp, stamped, self._trust, self._provider, now=self._now)
        if not result.ok:
            self._note(part, False, f"时间戳：{result.zh}", f"time stamp: {result.en}")
            return None
        return parse_token(root.timestamp)

    def _time_fits(self, part: str, statement: RootStatement, stamp: TimeStamp) -> bool:
        lag_ms = int(stamp.made_at.timestamp() * 1000) - statement.closed_at_ms
        if -STAMP_LAG_MS_MAX <= lag_ms <= STAMP_LAG_MS_MAX:
            return True
        return self._note(
            part,
            False,
            f"封存时间与时间戳相差 {lag_ms} 毫秒",
            f"closing time and time stamp are {lag_ms} ms apart",
        )

    def _chains(self) -> None:
        """Roots of one lane that follow each other must name each other."""
        ordered = [self._statements[place] for place in sorted(self._statements)]
        for before, after in itertools.pairwise(ordered):
            follows = before.lane == after.lane and before.sequence + 1 == after.sequence
            if follows and chain_break((before, after)) is not None:
                part = f"root {after.lane}#{after.sequence}"
                self._note(part, False, "与前一区间不相接", "does not follow the interval before it")

    # -- hand-overs

    def _hand_over(self, one: HandOver) -> None:
        line = line_of(one.leaf)
        part = f"line {one.lane}@{one.leaf.get('offset')} {_subject(line)}"
        if not self._included(part, one):
            return
        root = self._roots[one.lane, one.sequence]
        receiver = ""
        if one.lane.startswith(ROUTED + "-"):
            if not self._ids_fit(part, line):
                return
        elif line.get("receipt") is not None:
            receiver = self._receiver(part, line, root)
        self._proven.append(
            Proven(
                what=str(line.get("type") or line.get("kind") or ""),
                message_id=str(line.get("messageId", "")),
                dispatch_id=str(line.get("dispatchId", "")),
                member=str(line.get("member") or line.get("source") or ""),
                result=str(line.get("disposition") or line.get("outcome") or ""),
                recorded_at_ms=max(0, _number(one.leaf.get("at"))),
                signed_by=root.signer,
                stamped_at=root.stamp.made_at.isoformat(),
                stamped_by=root.stamp.signer.subject_text,
                content_shown=self._digests.get(str(line.get("messageId", ""))) is not None,
                receiver=receiver,
            )
        )

    def _included(self, part: str, one: HandOver) -> bool:
        """Leaf, hash, proof and root, each named when it is the one that does not fit."""
        leaf = leaf_hash(canonical(one.leaf))
        if leaf.hex() != one.hash:
            return self._note(
                part, False, "台账行已被改动，与其摘要不符", "the line was changed: it is not what was hashed"
            )
        if one.leaf.get("lane") != one.lane or line_of(one.leaf).get("caseNo") != self._document.case:
            return self._note(part, False, "台账行属于别处", "the line belongs to another lane or case")
        statement = self._statements.get((one.lane, one.sequence))
        if statement is None:
            return self._note(part, False, "文件中没有它的根", "its root is not in the file")
        try:
            steps = [bytes.fromhex(step) for step in one.proof]
            fits = verify_inclusion(leaf, one.index, statement.size, steps, statement.root)
        except (ValueError, SigningError):
            fits = False
        if not fits:
            zh = "包含证明已被改动，不通向所签的根"
            en = "the proof was changed (or its root was): it does not lead to the root"
            return self._note(part, False, zh, en)
        if not statement.first_offset <= _number(one.leaf.get("offset")) <= statement.last_offset:
            return self._note(part, False, "位置在区间之外", "its position is outside the interval")
        if (one.lane, one.sequence) not in self._roots:
            return self._note(part, False, "它的根不成立", "its root does not hold")
        return self._note(part, True, "已证明", "proven")

    def _ids_fit(self, part: str, line: dict[str, Any]) -> bool:
        """Dispatch ids are derived: each listed one must be its message's and member's."""
        listed = line.get("dispatches")
        for entry in listed if isinstance(listed, list) else ():
            given = entry if isinstance(entry, dict) else {}
            if given.get("id") != ids.dispatch_id(str(line.get("messageId")), str(given.get("member"))):
                zh, en = (
                    "分发编号不是由消息与成员导出的",
                    "a dispatch id is not derived from message and member",
                )
                return self._note(part, False, zh, en)
        return True

    def _receiver(self, part: str, line: dict[str, Any], root: _Root) -> str:
        """The subject of the receiver's certificate when its own signature holds; "" otherwise, noted."""
        digest = self._recorded.get(str(line.get("messageId", "")), "")
        try:
            receipt = parse_receipt(str(line["receipt"]))
        except SigningError as bad:
            self._note(part, False, f"收讫凭证：{bad.zh}", f"receipt: {bad.en}")
            return ""
        if not digest or not signature_fits(receipt, str(line.get("dispatchId")), digest, self._provider):
            self._note(part, False, "收讫凭证的签名不符", "the receiver's signature does not fit")
            return ""
        path = believed(receipt, self._trust, self._provider, at=root.stamp.made_at, now=self._now)
        if not path.ok:
            self._note(
                part, False, f"收讫凭证的证书不可信：{path.zh}", f"the receiver's certificate: {path.en}"
            )
            return ""
        who = receipt.certificate.subject_text
        self._note(part, True, f"接收方 {who} 签名确认", f"the receiver {who} signed for it")
        return who

    # -- messages

    def _contents(self) -> None:
        for message in self._document.messages:
            if message.content is not None:
                self._content(message)

    def _content(self, message: Content) -> None:
        part = f"message {message.id} {message.type}"
        recorded = self._recorded.get(message.id)
        if not recorded:
            self._note(part, False, "没有台账行说到这条消息", "no ledger line tells of this message")
        elif recorded != self._digests[message.id]:
            self._note(
                part,
                False,
                f"消息内容已被改动：摘要 {self._digests[message.id]}，台账 {recorded}",
                f"the message was changed: its digest is {self._digests[message.id]}, "
                f"the ledger has {recorded}",
            )
        else:
            self._note(part, True, "内容与台账的摘要相符", "its content has the digest on record")

    # -- what is not proven

    def _unproven(self) -> Iterator[tuple[str, str]]:
        document = self._document
        if document.unsigned:
            yield (
                f"{document.unsigned} 条台账行尚未封存签名，稍后重新导出",
                f"{document.unsigned} lines were not under a signed root yet; export again later",
            )
        shown = {message.id for message in document.messages if message.content is not None}
        hidden = {one.message_id for one in self._proven if one.message_id and one.message_id not in shown}
        if hidden:
            yield (
                f"{len(hidden)} 条消息只有摘要，没有内容",
                f"of {len(hidden)} messages only the digest is proven, not the content",
            )
        by_word = sum(1 for one in self._proven if one.dispatch_id and not one.receiver)
        if by_word:
            yield (
                f"{by_word} 次送达只有枢纽的陈述，没有接收方签名",
                f"{by_word} outcomes rest on the hub's word: the receiver did not sign",
            )
        yield (
            "发送方用共享密钥鉴别时，其身份只有枢纽的陈述",
            "where a sender authenticates with a shared key, who sent it rests on the hub's word",
        )
        if any(root.own_stamp for root in self._roots.values()):
            yield (
                "时间戳由同一单位签发，时间只凭其时钟",
                "the time stamps are of the same organisation: the time rests on its clock",
            )
        if not self._witnesses:
            yield (
                "没有其他单位会签，历史的唯一性只凭枢纽",
                "no peer countersigned: that there is one history only rests on the hub",
            )
        yield (
            "文件不证明没有别的台账行：未列出的可能被略去",
            "the file does not prove that there are no other lines: some may have been left out",
        )


def _number(value: object) -> int:
    """A whole number of a leaf; -1 for anything else."""
    return value if isinstance(value, int) and 0 <= value < 1 << 53 else -1


def _organisation(certificate: Certificate) -> str:
    parts = dict(part.split("=", 1) for part in certificate.subject_text.split(", ") if "=" in part)
    return parts.get("O", certificate.subject_text)


def _subject(line: dict[str, Any]) -> str:
    return " ".join(
        str(line[name])[:64]
        for name in ("messageId", "dispatchId", "disposition", "outcome", "member")
        if line.get(name)
    )


def verify(document: Document, trust: Trust, provider: Provider, *, now: datetime) -> Report:
    """Judge a file. Never raises for what the file holds."""
    return Verifier(document, trust, provider, now).report()
