"""The verdict of one run, by id: from the topics, the members' own books and what was acknowledged.
Pure: data in, figures out.

lost: acknowledged, listed or said to be delivered, and not there. duplicated: an id with a second final
line, record or effect. torn: an input with some of its outputs and not all. An order violation: a case's
messages out of order in a log or a book.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from schemas import codec
from tests.faults.load import Sent
from tests.faults.town import Effect
from tests.faults.witness import Seen

FINAL = frozenset({"routed", "refused"})
NAMED_MAX = 8


@dataclass
class Verdict:
    """Figures of one run. stands: (member, outcome) -> dispatches that stand still. unexpected: those
    the cell does not allow."""

    accepted: int = 0
    dispatches: int = 0
    effects: int = 0
    lost: int = 0
    duplicated: int = 0
    order_violations: int = 0
    torn: int = 0
    unexpected: int = 0
    stands: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Nothing of what must never happen happened."""
        return not (self.lost or self.duplicated or self.order_violations or self.torn or self.unexpected)

    def note(self, what: str, ids: Iterable[str]) -> int:
        """Write down the first ids of a finding; returns how many there are."""
        found = sorted(set(ids))
        if found:
            self.notes.append(f"{what}: {len(found)}, {', '.join(found[:NAMED_MAX])}")
        return len(found)


@dataclass(frozen=True)
class Ledgers:
    """The topics, decoded: what the verdict works on."""

    inbound: Counter[str]
    lines: Mapping[str, list[dict[str, object]]]
    events: Counter[str]
    delivered_to: Mapping[str, Counter[str]]
    message_of: Mapping[str, str]
    outcome: Mapping[str, tuple[str, str]]
    event_order: Mapping[str, list[str]]


def ledgers_of(seen: Iterable[Seen]) -> Ledgers:
    """Decode what a reader found, in topic order."""
    inbound: Counter[str] = Counter()
    events: Counter[str] = Counter()
    lines: dict[str, list[dict[str, object]]] = defaultdict(list)
    dispatched: dict[str, Counter[str]] = defaultdict(Counter)
    message_of: dict[str, str] = {}
    outcome: dict[str, tuple[str, str]] = {}
    order: dict[str, list[str]] = defaultdict(list)
    for one in sorted(seen, key=lambda s: (s.topic, s.partition, s.offset)):
        # A record nobody can read stands in the ledger under its place.
        id_ = one.headers.get("ce_id", b"").decode() or f"{one.partition:08x}{one.offset:024x}"
        if one.topic == "case.inbound":
            inbound[id_] += 1
        elif one.topic == "case.routed":
            line = codec.decode(one.value)[1]
            lines[line["messageId"]].append(line)
        elif one.topic == "case.events":
            events[id_] += 1
            order[one.key.decode()].append(id_)
        elif one.topic == "case.outcomes":
            body = codec.decode(one.value)[1]
            outcome[body["dispatchId"]] = (body["outcome"], body["code"] or "")
        else:
            dispatch = one.headers.get("hub_dispatch", b"").decode()
            dispatched[one.topic.removeprefix("deliver.")][dispatch] += 1
            message_of[dispatch] = id_
    return Ledgers(inbound, lines, events, dispatched, message_of, outcome, order)


def judge(
    acknowledged: Mapping[str, Sent],
    ledgers: Ledgers,
    books: Mapping[str, Sequence[Effect]],
    allowed: frozenset[str],
) -> Verdict:
    """The verdict. allowed: what may stand still, as `member outcome` or `router parked`."""
    verdict = Verdict(accepted=len(ledgers.inbound))
    _messages(acknowledged, ledgers, verdict, allowed)
    listed = {
        str(entry["id"]): str(entry["member"])
        for lines in ledgers.lines.values()
        for line in lines
        for entry in _entries(line)
    }
    verdict.dispatches = len(listed)
    _outputs(ledgers, listed, verdict)
    _effects(ledgers, listed, books, verdict, allowed)
    _order(acknowledged, ledgers, books, verdict)
    return verdict


def _entries(line: Mapping[str, object]) -> list[dict[str, object]]:
    entries = line["dispatches"]
    assert isinstance(entries, list)
    return entries


def _messages(
    acknowledged: Mapping[str, Sent], ledgers: Ledgers, verdict: Verdict, allowed: frozenset[str]
) -> None:
    verdict.lost += verdict.note(
        "acknowledged and not on case.inbound", set(acknowledged) - set(ledgers.inbound)
    )
    verdict.lost += verdict.note(
        "accepted without a line on case.routed", set(ledgers.inbound) - set(ledgers.lines)
    )
    finals = {
        id_: [line for line in lines if line["disposition"] in FINAL] for id_, lines in ledgers.lines.items()
    }
    verdict.duplicated += verdict.note(
        "two final lines on case.routed", (id_ for id_, lines in finals.items() if len(lines) > 1)
    )
    waiting = [id_ for id_, lines in finals.items() if not lines]
    if waiting:
        verdict.stands["router parked"] = len(waiting)
        if "router parked" not in allowed:
            verdict.unexpected += verdict.note("stands still in the router", waiting)
    refused = [
        id_
        for id_, lines in finals.items()
        if lines and lines[0]["disposition"] == "refused" and id_ in acknowledged
    ]
    if "router refused" not in allowed:
        verdict.unexpected += verdict.note("refused by the router", refused)


def _outputs(ledgers: Ledgers, listed: Mapping[str, str], verdict: Verdict) -> None:
    """All outputs of one input or none: its line, its event, the dispatches that the line lists."""
    there = {(member, id_) for member, ids in ledgers.delivered_to.items() for id_ in ids}
    torn = set()
    for id_, lines in ledgers.lines.items():
        final = [line for line in lines if line["disposition"] == "routed"]
        wanted = {(str(entry["member"]), str(entry["id"])) for line in final for entry in _entries(line)}
        if final and (ledgers.events[id_] == 0 or not wanted <= there):
            torn.add(id_)
    torn |= {id_ for id_ in ledgers.events if not ledgers.lines.get(id_)}
    torn |= {ledgers.message_of[id_] for _, id_ in there if id_ not in listed}
    verdict.torn += verdict.note("some outputs and not all", torn)
    verdict.duplicated += verdict.note(
        "two records on case.events", (id_ for id_, n in ledgers.events.items() if n > 1)
    )
    verdict.duplicated += verdict.note(
        "two records on deliver.*",
        (id_ for ids in ledgers.delivered_to.values() for id_, n in ids.items() if n > 1),
    )


def _effects(
    ledgers: Ledgers,
    listed: Mapping[str, str],
    books: Mapping[str, Sequence[Effect]],
    verdict: Verdict,
    allowed: frozenset[str],
) -> None:
    did = {member: Counter(effect.dispatch for effect in effects) for member, effects in books.items()}
    verdict.effects = sum(sum(counts.values()) for counts in did.values())
    verdict.duplicated += verdict.note(
        "two effects at the member", (id_ for counts in did.values() for id_, n in counts.items() if n > 1)
    )
    verdict.torn += verdict.note(
        "an effect nobody listed", (id_ for counts in did.values() for id_ in counts if id_ not in listed)
    )
    unsettled, absent, standing = [], [], []
    for id_, member in listed.items():
        outcome, code = ledgers.outcome.get(id_, ("", ""))
        if not outcome:
            unsettled.append(id_)
        elif outcome == "delivered":
            if not did.get(member, Counter())[id_]:
                absent.append(id_)
        else:
            what = f"{member} {'behind' if code == 'behind' else outcome}"
            verdict.stands[what] = verdict.stands.get(what, 0) + 1
            if what not in allowed:
                standing.append(f"{id_} ({what} {code})")
    verdict.lost += verdict.note("listed and without an outcome", unsettled)
    verdict.lost += verdict.note("said to be delivered and not in the member's book", absent)
    verdict.unexpected += verdict.note("stands still at a member", standing)


def _order(
    acknowledged: Mapping[str, Sent],
    ledgers: Ledgers,
    books: Mapping[str, Sequence[Effect]],
    verdict: Verdict,
) -> None:
    wrong = [
        f"{case} on case.events"
        for case, ids in ledgers.event_order.items()
        if not _ascending(ids, acknowledged)
    ]
    for member, effects in books.items():
        per_case: dict[str, list[str]] = defaultdict(list)
        for effect in effects:
            per_case[effect.case].append(effect.message)
        wrong += [
            f"{case} at {member}" for case, ids in per_case.items() if not _ascending(ids, acknowledged)
        ]
    verdict.order_violations += verdict.note("out of order", wrong)


def _ascending(ids: Sequence[str], acknowledged: Mapping[str, Sent]) -> bool:
    steps = [acknowledged[id_].step for id_ in ids if id_ in acknowledged]
    return steps == sorted(steps)
