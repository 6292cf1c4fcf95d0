"""The life of a seal (申请 审批 制作 发放 签章 续期 挂失 销毁) as an append-only, hash-chained book: pure.
No file, no clock and no key here: times and people are arguments, storing is the caller's affair
(DB37/T 政务服务 4.3.4; GB/T 38540-2020 clause 6).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, get_args

from signing.digest import sm3_hex
from signing.errors import SigningError

Act = Literal["apply", "approve", "reject", "make", "issue", "sign", "lose", "destroy"]
Stage = Literal["applied", "approved", "rejected", "made", "issued", "lost", "replaced", "destroyed"]

STANDARD = "GB/T 38540-2020 6"
GENESIS = "0" * 64
PERSON_CHARS_MAX = 64
TEXT_CHARS_MAX = 500
ENTRY_BYTES_MAX = 64 * 1024
_WITHDRAWN: frozenset[Stage] = frozenset(("lost", "replaced", "destroyed"))
_PENDING: frozenset[Stage] = frozenset(("applied", "approved", "made"))
# Act → stages it may happen in, and the stage it leads to. `apply` begins a life and has no row.
_STEPS: dict[Act, tuple[frozenset[Stage], Stage]] = {
    "approve": (frozenset(("applied",)), "approved"),
    "reject": (frozenset(("applied",)), "rejected"),
    "make": (frozenset(("approved",)), "made"),
    "issue": (frozenset(("made",)), "issued"),
    "sign": (frozenset(("issued",)), "issued"),
    "lose": (frozenset(("issued",)), "lost"),
    "destroy": (frozenset(("approved", "made", "issued", "lost", "replaced")), "destroyed"),
}
_ACTS_ZH: dict[Act, str] = {
    "apply": "申请",
    "approve": "审批",
    "reject": "驳回",
    "make": "制作",
    "issue": "发放",
    "sign": "签章",
    "lose": "挂失",
    "destroy": "销毁",
}
STAGES_ZH: dict[Stage, str] = {
    "applied": "已申请",
    "approved": "已审批",
    "rejected": "已驳回",
    "made": "已制作",
    "issued": "已发放",
    "lost": "已挂失",
    "replaced": "已续期替换",
    "destroyed": "已销毁",
}
# What an act must say besides who and when: field → longest text.
_DETAILS: dict[Act, dict[str, int]] = {
    "apply": {"name": 256, "holder": 256, "picture": 64, "valid_from": 40, "valid_until": 40},
    "approve": {},
    "reject": {"reason": TEXT_CHARS_MAX},
    "make": {"seal": 64},
    "issue": {"to": PERSON_CHARS_MAX},
    "sign": {"document": 64, "signer": 64},
    "lose": {"reason": TEXT_CHARS_MAX},
    "destroy": {"reason": TEXT_CHARS_MAX},
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the book. `detail` holds texts, numbers and lists of texts; `previous` and `digest` are
    SM3 in hex: each line fixes all before it."""

    number: int
    act: Act
    es_id: str
    by: str
    at: datetime
    detail: Mapping[str, object]
    previous: str
    digest: str


@dataclass(frozen=True, slots=True)
class SealLife:
    """One seal as the book has it. `application` is the detail of its apply line; `since` when the stage
    began; `seal` the SM3 of the made seal's bytes; `signatures` how many were made with it."""

    es_id: str
    stage: Stage
    since: datetime
    applicant: str
    application: Mapping[str, object]
    approver: str = ""
    seal: str = ""
    renews: str = ""
    signatures: int = 0


@dataclass(frozen=True, slots=True)
class Book:
    """All seals, and the head of the chain that the next line must name."""

    seals: Mapping[str, SealLife] = field(default_factory=dict)
    entries: int = 0
    head: str = GENESIS
    last_at: datetime | None = None

    def withdrawn(self) -> dict[str, datetime]:
        """esID → since when it must not sign any more: what `Circumstances.withdrawn` takes."""
        return {life.es_id: life.since for life in self.seals.values() if life.stage in _WITHDRAWN}


def write(
    book: Book, act: Act, es_id: str, by: str, at: datetime, detail: Mapping[str, object]
) -> tuple[Entry, Book]:
    """The line for an act and the book after it. Raises SigningError naming the rule that forbids it."""
    _check_form(act, es_id, by, at, detail)
    if book.last_at is not None and at < book.last_at:
        raise _refused(
            act, es_id, "时间早于上一条记录", f"is earlier than the last line, {book.last_at.isoformat()}"
        )
    seals = (
        _applied(book, es_id, by, at, detail)
        if act == "apply"
        else _stepped(book, act, es_id, by, at, detail)
    )
    number = book.entries + 1
    body = _body(number, act, es_id, by, at, detail, book.head)
    entry = Entry(number, act, es_id, by, at, detail, book.head, sm3_hex(body))
    return entry, Book(seals, number, entry.digest, at)


def _applied(
    book: Book, es_id: str, by: str, at: datetime, detail: Mapping[str, object]
) -> dict[str, SealLife]:
    if es_id in book.seals:
        raise _refused("apply", es_id, "印章编号已存在", "this seal number exists already")
    renews = str(detail.get("renews", ""))
    if renews:
        old = book.seals.get(renews)
        if old is None or old.stage != "issued":
            raise _refused("apply", es_id, f"被续期的印章 {renews} 未在用", f"{renews} is not a seal in use")
        if any(life.renews == renews and life.stage in _PENDING for life in book.seals.values()):
            raise _refused(
                "apply", es_id, f"{renews} 已有续期申请", f"a renewal of {renews} is already under way"
            )
    return {**book.seals, es_id: SealLife(es_id, "applied", at, by, detail, renews=renews)}


def _stepped(
    book: Book, act: Act, es_id: str, by: str, at: datetime, detail: Mapping[str, object]
) -> dict[str, SealLife]:
    life = book.seals.get(es_id)
    if life is None:
        raise _refused(act, es_id, "簿中没有该印章", "the book has no such seal")
    allowed, stage = _STEPS[act]
    if life.stage not in allowed:
        zh = f"印章{STAGES_ZH[life.stage]}（{life.since.isoformat()}），不能{_ACTS_ZH[act]}"
        raise _refused(act, es_id, zh, f"the seal is {life.stage} since {life.since.isoformat()}")
    if act in ("approve", "reject") and by == life.applicant:
        raise _refused(
            act, es_id, "审批人不得是申请人", "must be decided by a second person, not the applicant"
        )
    seals = dict(book.seals)
    if act == "sign":
        seals[es_id] = replace(life, signatures=life.signatures + 1)
        return seals
    seals[es_id] = replace(
        life,
        stage=stage,
        since=at,
        approver=by if act == "approve" else life.approver,
        seal=str(detail["seal"]) if act == "make" else life.seal,
    )
    if act == "issue" and life.renews and seals[life.renews].stage == "issued":
        seals[life.renews] = replace(seals[life.renews], stage="replaced", since=at)
    return seals


def _check_form(act: Act, es_id: str, by: str, at: datetime, detail: Mapping[str, object]) -> None:
    if act not in get_args(Act):
        raise SigningError("act", f"must be one of {', '.join(get_args(Act))}", STANDARD)
    if at.tzinfo is None:
        raise SigningError("at", "must have a time zone", STANDARD)
    for name, value, longest in (("esID", es_id, PERSON_CHARS_MAX), ("by", by, PERSON_CHARS_MAX)):
        if not value.strip() or len(value) > longest or not value.isprintable():
            raise SigningError(name, f"must have 1 to {longest} printable characters", STANDARD)
    for name, longest in _DETAILS[act].items():
        text = detail.get(name)
        if not isinstance(text, str) or not text.strip() or len(text) > longest:
            raise SigningError(f"{act}.{name}", f"must have 1 to {longest} characters", STANDARD)


def _body(
    number: int, act: Act, es_id: str, by: str, at: datetime, detail: Mapping[str, object], previous: str
) -> bytes:
    """What is hashed and stored: JSON with sorted names and no spaces, so that there is one form only."""
    line = {
        "number": number,
        "act": act,
        "es_id": es_id,
        "by": by,
        "at": at.astimezone(UTC).isoformat(),
        "detail": dict(detail),
        "previous": previous,
    }
    body = json.dumps(line, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    if len(body) > ENTRY_BYTES_MAX:
        raise SigningError("entry", f"longer than {ENTRY_BYTES_MAX} bytes", STANDARD)
    return body


def to_line(entry: Entry) -> bytes:
    """One line of the stored book: the body and its digest, without a line end."""
    body = _body(entry.number, entry.act, entry.es_id, entry.by, entry.at, entry.detail, entry.previous)
    return body + b"\t" + entry.digest.encode()


def read_lines(lines: Iterable[bytes]) -> tuple[list[Entry], Book]:
    """All lines and the book they add up to. Every line is judged again: its digest, its place in the chain
    and whether the act was allowed. Raises SigningError naming the first line that does not hold."""
    entries: list[Entry] = []
    book = Book()
    for number, line in enumerate(lines, 1):
        try:
            entry, book = _read_line(line, book)
        except SigningError as bad:
            raise SigningError(
                f"book line {number}",
                bad.en,
                STANDARD,
                zh=f"印章簿第 {number} 行不成立：{bad.zh}",
                en=f"line {number} of the seal book does not hold: {bad.en}",
            ) from bad
        entries.append(entry)
    return entries, book


def _read_line(line: bytes, book: Book) -> tuple[Entry, Book]:
    body, _, digest = line.rpartition(b"\t")
    if len(body) > ENTRY_BYTES_MAX:
        raise SigningError("line", f"longer than {ENTRY_BYTES_MAX} bytes", STANDARD)
    if sm3_hex(body).encode() != digest:
        raise SigningError("digest", "does not fit the line", STANDARD)
    try:
        said = json.loads(body)
        parts = said["act"], said["es_id"], said["by"], datetime.fromisoformat(said["at"]), said["detail"]
        previous, number = said["previous"], said["number"]
        if not isinstance(parts[4], dict) or not all(isinstance(p, str) for p in parts[:3]):
            raise TypeError("wrong types")
    except (ValueError, LookupError, TypeError, RecursionError) as bad:
        raise SigningError("line", "is not well formed", STANDARD) from bad
    if previous != book.head or number != book.entries + 1:
        raise SigningError("previous", "does not follow the line before", STANDARD)
    entry, after = write(book, *parts)
    if entry.digest.encode() != digest:
        raise SigningError("line", "is not in its one form", STANDARD)
    return entry, after


def _refused(act: Act, es_id: str, zh: str, en: str) -> SigningError:
    return SigningError(
        act, en, STANDARD, zh=f"{_ACTS_ZH[act]} {es_id} 被拒绝：{zh}", en=f"{act} {es_id} refused: {en}"
    )
