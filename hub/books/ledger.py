"""`Books`: a pure accumulator. Records go in, open ids and totals stay; memory is bounded by what is open,
plus a bounded memory of what
closed last. No I/O, no clock.

A closed id is forgotten. When something is heard of an id that is not open, it is a suspect: a second look
at the topics (history.py)
tells a re-send or a late change from a loss, so nothing needs to be remembered for ever.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from typing import Final

from hub.books.model import (
    FINAL_DISPOSITIONS,
    FINAL_OUTCOMES,
    PROBLEMS_MAX,
    DispatchTotals,
    MessageTotals,
    Offset,
    OpenDispatch,
    OpenMessage,
    Problem,
    Trouble,
)
from signing.digest import sm3

RECENT_MAX: Final = 50_000
_MODULUS: Final = 1 << 256


class Books:
    """Both ledgers. with_book: members whose own book is compared; a delivered dispatch of theirs closes
    only when the book has it."""

    def __init__(self, with_book: Iterable[str] = (), *, recent_max: int = RECENT_MAX) -> None:
        self.with_book = frozenset(with_book)
        self.messages: dict[str, OpenMessage] = {}
        self.dispatches: dict[str, OpenDispatch] = {}
        self.booked_ahead: dict[str, str] = {}
        self.duplicated: dict[str, str] = {}
        self.closed_messages = MessageTotals()
        self.closed_dispatches: defaultdict[str, DispatchTotals] = defaultdict(DispatchTotals)
        self.closed_digest = 0
        self.problems: list[Problem] = []
        self.problems_seen = 0
        self._recent_max = recent_max
        self._recent_messages: OrderedDict[str, str] = OrderedDict()
        self._recent_dispatches: OrderedDict[str, tuple[str, str]] = OrderedDict()

    #  -- what the topics say
    # -----------------------------------------------------------------------------------------

    def accepted(self, id_: str, at: Offset) -> None:
        """A record on case.inbound. A re-send of an open or lately closed id changes nothing."""
        if id_ in self._recent_messages:
            return
        entry = self.messages.setdefault(id_, OpenMessage())
        if entry.accepted is None:
            entry.accepted = at
        self._close_message(id_, entry)

    def verdict(
        self, id_: str, disposition: str, originated: bool, dispatches: Iterable[tuple[str, str]], at: Offset
    ) -> None:
        """A record on case.routed. dispatches: (dispatch id, member). The last verdict of a message
        stands."""
        if id_ in self._recent_messages:
            self._repeated(id_)
        elif originated and disposition in FINAL_DISPOSITIONS:
            self.closed_messages.originated += 1
            self._remember(self._recent_messages, id_, disposition)
            self._hash("originated", id_, disposition, 1)
        else:
            entry = self.messages.setdefault(id_, OpenMessage())
            if entry.disposition in FINAL_DISPOSITIONS:
                self._repeated(id_)
            entry.disposition, entry.verdict_at = disposition, at
            self._close_message(id_, entry)
        for dispatch, member in dispatches:
            self._listed(dispatch, member, at)

    def _listed(self, id_: str, member: str, at: Offset) -> None:
        if id_ in self._recent_dispatches:
            self._twice(id_, member, "case.routed")
            return
        entry = self.dispatches.setdefault(id_, OpenDispatch(member))
        if entry.listed is not None:
            # A message released from hold may name the same dispatch again only if it was named before.
            self._twice(id_, member, "case.routed")
        entry.listed = entry.listed or at
        self._close_dispatch(id_, entry)

    def sent(self, id_: str, member: str, at: Offset) -> None:
        """A record on deliver.<member>."""
        if id_ in self._recent_dispatches:
            self._twice(id_, member, f"deliver.{member}")
            return
        entry = self.dispatches.setdefault(id_, OpenDispatch(member))
        if entry.sent is not None:
            self._twice(id_, member, f"deliver.{member}")
        entry.sent = entry.sent or at
        self._close_dispatch(id_, entry)

    def outcome(self, id_: str, member: str, outcome: str, at: Offset) -> None:
        """A record on case.outcomes. The last one stands, also after the dispatch was closed (a collected
        row refused later). `in_flight` says that a dispatch was released and has no outcome again."""
        if outcome == "in_flight":
            outcome = ""
        known = self._recent_dispatches.get(id_)
        if known is not None:
            self.change_closed(id_, member, known[1], outcome)
            return
        entry = self.dispatches.setdefault(id_, OpenDispatch(member))
        entry.outcome, entry.outcome_at = outcome, entry.outcome_at or at
        self._close_dispatch(id_, entry)

    def booked(self, id_: str, member: str, effects: int) -> None:
        """A line of a member's own book. effects: how often the business effect was applied. member: who
        keeps that book."""
        entry = self.dispatches.get(id_)
        if effects > 1:
            self.duplicated[id_] = entry.member if entry else member
        if effects < 1 or id_ in self._recent_dispatches:
            return
        if entry is None:
            self.booked_ahead[id_] = member
            return
        entry.booked = True
        self._close_dispatch(id_, entry)

    #  -- closing
    # -----------------------------------------------------------------------------------------------------

    def _close_message(self, id_: str, entry: OpenMessage) -> None:
        if entry.accepted is None or entry.disposition not in FINAL_DISPOSITIONS:
            return
        del self.messages[id_]
        _count(self.closed_messages, entry.disposition, 1)
        self._remember(self._recent_messages, id_, entry.disposition)
        self._hash("message", id_, entry.disposition, 1)

    def _close_dispatch(self, id_: str, entry: OpenDispatch) -> None:
        if self.booked_ahead.pop(id_, None) is not None:
            entry.booked = True
        if entry.listed is None or entry.sent is None or entry.outcome not in FINAL_OUTCOMES:
            return
        if entry.outcome == "delivered" and entry.member in self.with_book and not entry.booked:
            return
        del self.dispatches[id_]
        _count(self.closed_dispatches[entry.member], entry.outcome, 1)
        remembered = (entry.member, entry.outcome)
        self._recent_dispatches[id_] = remembered
        if len(self._recent_dispatches) > self._recent_max:
            self._recent_dispatches.popitem(last=False)
        self._hash("dispatch", id_, entry.outcome, 1)

    def change_closed(self, id_: str, member: str, before: str, now: str) -> None:
        """A closed dispatch has another outcome now; one that is not final opens it again."""
        _count(self.closed_dispatches[member], before, -1)
        self._hash("dispatch", id_, before, -1)
        if now in FINAL_OUTCOMES:
            _count(self.closed_dispatches[member], now, 1)
            self._hash("dispatch", id_, now, 1)
            if id_ in self._recent_dispatches:
                self._recent_dispatches[id_] = (member, now)
            return
        self._recent_dispatches.pop(id_, None)
        self.dispatches[id_] = OpenDispatch(member, listed=(-1, -1), sent=(-1, -1), outcome=now, booked=True)

    def without_member_books(self) -> None:
        """Go on without members' own books: what only waited for them closes."""
        self.with_book = frozenset()
        self.booked_ahead.clear()
        for id_, entry in list(self.dispatches.items()):
            self._close_dispatch(id_, entry)

    def _remember(self, recent: OrderedDict[str, str], id_: str, value: str) -> None:
        recent[id_] = value
        if len(recent) > self._recent_max:
            recent.popitem(last=False)

    def _hash(self, kind: str, id_: str, value: str, sign: int) -> None:
        # A sum, so that the digest does not depend on the order in which ids close.
        one = int.from_bytes(sm3(f"{kind}:{id_}:{value}".encode()))
        self.closed_digest = (self.closed_digest + sign * one) % _MODULUS

    #  -- what must never be
    # ------------------------------------------------------------------------------------------

    def problem(self, trouble: Trouble, id_: str, member: str, zh: str, en: str) -> None:
        """Note something that must never be."""
        self.problems_seen += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(trouble, id_, member, zh, en))

    def _repeated(self, id_: str) -> None:
        self.problem(
            Trouble.REPEATED_VERDICT, id_, "", "同一消息被路由两次", "one message has two final verdicts"
        )

    def _twice(self, id_: str, member: str, topic: str) -> None:
        self.duplicated[id_] = member
        self.problem(
            Trouble.DUPLICATED,
            id_,
            member,
            f"同一派发在 {topic} 上出现两次",
            f"one dispatch is twice on {topic}",
        )


def _count(totals: MessageTotals | DispatchTotals, name: str, by: int) -> None:
    setattr(totals, name, getattr(totals, name) + by)
