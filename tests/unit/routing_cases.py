"""A small world for the routing tests: the demo's directory, messages of a case by a few words, and a hub
that remembers."""

import hashlib
from collections.abc import Iterable
from typing import Any

from hub import ids
from hub.directory import Directory, load
from hub.envelope import Message
from hub.routing.decide import decide, decide_timer
from hub.routing.model import Decision, Disposition, Timer, Verdict
from hub.routing.state import Case, decode
from hub.routing.tables import Limits, Standing, Tables

DIRECTORY: Directory = load()
CASE = "460123456789ABCDEFX"
NOW = 1_760_000_000_000
MINUTE = 60_000

# Items of the demo directory.
PLAIN = "11460100MB1A21013T3460131003000"  # dept-a, no credit query, department or window accepts
DEPARTMENT_ONLY = "11460100MB1A21013T3460131005001"  # dept-a, only the department accepts
BANNABLE = "11460100MB1A21013T3460131001000"  # dept-a, credit query, industry F52, with a decision standard
REVIEWABLE = "11460200MB1A22024B3460114002000"  # dept-b, credit query, L7262, no decision standard
ANYWHERE = "11460200MB1A22024B346201400300001"  # dept-b, any window accepts, not for supervision
INTERNAL = "11460000MB1A2007X52462001001000"  # both cities, neither nation nor supervision


def tables(credit: dict[str, Standing] | None = None, **limits: int) -> Tables:
    return Tables(DIRECTORY, credit, Limits(**limits))


TABLES = tables()


def org(member: str) -> str:
    return DIRECTORY.members[member].org_code


def message(
    type_: str,
    source: str = "",
    at: int = 0,
    ref: str = "",
    *,
    item: str = PLAIN,
    region: str = "460105",
    content: str = "",
    subject: str = CASE,
    **attributes: str,
) -> Message:
    """One message; `at` = minutes after NOW. The sender defaults to who normally says it about a dept-a
    case."""
    source = source or (
        "platform" if type_ in ("case.submitted", "case.corrected", "case.withdrawn") else "dept-a"
    )
    opening = type_ == "case.submitted"
    if opening:
        attributes.setdefault("party", "p" * 32)
    named_org = {"case.accepted", "case.not_accepted", "case.process_step", "case.decided"}
    if type_ in named_org and source in DIRECTORY.members:
        attributes.setdefault("org", org(source))
    key = ref or f"{type_}-{attributes.get('sn', '')}"
    return Message(
        id=ids.message_id(source, "", key, type_, int(attributes.get("version", "1"))),
        source=source,
        type=type_,
        subject=subject,
        time_ms=NOW + at * MINUTE,
        value=b"\x00" + content.encode(),
        region=region if opening else "",
        item=item if opening else "",
        source_key=key,
        digest=hashlib.sha256((type_ + content).encode()).hexdigest(),
        attributes=attributes,
    )


class Hub:
    """Decides messages one after the other for one aggregate and keeps everything that came out."""

    def __init__(self, known: Tables = TABLES) -> None:
        self.tables = known
        self.state: bytes | None = None
        self.now = NOW
        self.verdicts: list[Verdict] = []
        self.all_timers: set[Timer] = set()
        self.decisions: list[Decision] = []

    def take(self, *messages: Message) -> Decision:
        decision = Decision(None)
        for one in messages:
            decision = self.keep(decide(one, self.state, self.tables, self.now))
        return decision

    def fire(self, purpose: str) -> Decision:
        """Let the time pass until the timer of this purpose is due."""
        timer = min(timer for timer in self.all_timers if timer.purpose == purpose)
        self.now = timer.due_ms
        return self.keep(decide_timer(timer, self.state, self.tables, self.now))

    def keep(self, decision: Decision) -> Decision:
        self.state = None if decision.forget else decision.state or self.state
        self.verdicts.extend(decision.verdicts)
        assert set(decision.timers_cleared) <= self.all_timers, "a timer was cleared that is not set"
        self.all_timers = (self.all_timers - set(decision.timers_cleared)) | set(decision.timers_set)
        self.decisions.append(decision)
        return decision

    @property
    def timers(self) -> set[Timer]:
        """Those that something waits for; the one that ends a case's memory (G8) is apart."""
        return {timer for timer in self.all_timers if timer.purpose != "archive"}

    @property
    def case(self) -> Case:
        return decode(self.state)

    def ledger(self) -> dict[str, Verdict]:
        """The last verdict of each message id."""
        return {verdict.message.id: verdict for verdict in self.verdicts}

    def last(self, one: Message) -> Verdict:
        return self.ledger()[one.id]

    def count(self, disposition: Disposition) -> int:
        return sum(
            verdict.disposition is disposition and not verdict.originated
            for verdict in self.ledger().values()
        )

    def originated(self, type_: str) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.originated and verdict.message.type == type_]

    def received(self, member: str) -> list[Message]:
        """What a member was sent, in order."""
        return [v.message for v in self.verdicts for out in v.dispatches if out.member == member]


def to(verdict: Verdict) -> dict[str, str]:
    """member -> kind of a verdict's dispatches."""
    return {out.member: out.kind for out in verdict.dispatches}


def plain_case(**submitted: Any) -> list[Message]:
    """A whole case with a correction and a special procedure, in life-cycle order."""
    return [
        message("case.submitted", at=0, **submitted),
        message("case.material_received", at=1),
        message("case.pre_examined", at=2),
        message("case.correction_notified", at=3),
        message("case.corrected", at=4),
        message("case.accepted", at=5),
        message("case.process_step", at=6, ref="step-1"),
        message("case.special_started", at=7, sn="1"),
        message("case.special_ended", at=8, sn="1"),
        message("case.process_step", at=9, ref="step-2"),
        message("case.decided", at=10, result="0"),
        message("case.delivered", "window-haikou", at=11),
        message("case.evaluated", "platform", at=12),
    ]


def submitted_case(hub: Hub, upto: str = "case.submitted", **submitted: Any) -> list[Message]:
    """Take the plain case into the hub up to and including a type; returns what was taken."""
    taken: list[Message] = []
    for one in plain_case(**submitted):
        hub.take(one)
        taken.append(one)
        if one.type == upto:
            break
    return taken


def types(messages: Iterable[Message]) -> list[str]:
    return [one.type for one in messages]
