"""The frozen data of the books: lane positions, what is open, totals, problems. No logic beyond sums, no
I/O."""

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

Offset = tuple[int, int]
"""(partition, offset)."""

FINAL_DISPOSITIONS: Final = frozenset({"routed", "refused"})
FINAL_OUTCOMES: Final = frozenset({"delivered", "refused", "cancelled"})
OUTCOMES: Final = ("delivered", "refused", "parked", "in_doubt", "cancelled")
PROBLEMS_MAX: Final = 1_000


class OpenMessage(msgspec.Struct):
    """A message id that is not closed. accepted: its first record on case.inbound. verdict_at: its last
    record on case.routed."""

    accepted: Offset | None = None
    disposition: str = ""
    verdict_at: Offset | None = None


class OpenDispatch(msgspec.Struct):
    """A dispatch id that is not closed. listed: the case.routed record that names it. sent: (partition,
    offset) on deliver.<member>."""

    member: str
    listed: Offset | None = None
    sent: Offset | None = None
    outcome: str = ""
    outcome_at: Offset | None = None
    booked: bool = False


class Lane(msgspec.Struct, frozen=True):
    """One delivery lane at one moment. taken_in: everything below is in its store or settled. queue:
    offsets on deliver.<member> that
    wait in its store."""

    taken_in: int = 0
    queue: frozenset[int] = frozenset()


class Positions(msgspec.Struct, frozen=True):
    """Where every lane stands, read before the outputs (G6). router: partition -> next input offset."""

    router: Mapping[int, int]
    delivery: Mapping[tuple[str, int], Lane]


class Trouble(enum.StrEnum):
    """What can be wrong with one id."""

    LOST_MESSAGE = "lost_message"
    LOST_DISPATCH = "lost_dispatch"
    NOT_IN_BOOK = "not_in_book"
    DUPLICATED = "duplicated"
    REPEATED_VERDICT = "repeated_verdict"
    UNACCEPTED = "unaccepted"
    UNLISTED = "unlisted"
    UNREADABLE = "unreadable"
    BOOK_AWAY = "book_away"
    UNDECIDED = "undecided"


class Problem(msgspec.Struct, frozen=True):
    """One id and what is wrong with it; texts for people."""

    trouble: Trouble
    id: str
    member: str
    zh: str
    en: str


class MessageTotals(msgspec.Struct):
    """The message ledger: every distinct id on case.inbound is exactly one of these. originated: made by
    the hub itself, apart."""

    routed: int = 0
    refused: int = 0
    held: int = 0
    parked: int = 0
    in_flight: int = 0
    lost: int = 0
    originated: int = 0

    @property
    def accepted(self) -> int:
        """All distinct ids on case.inbound."""
        return self.routed + self.refused + self.held + self.parked + self.in_flight + self.lost


class DispatchTotals(msgspec.Struct):
    """The dispatch ledger of one member, or of all: every listed id is exactly one of these."""

    delivered: int = 0
    refused: int = 0
    parked: int = 0
    in_doubt: int = 0
    cancelled: int = 0
    in_flight: int = 0
    lost: int = 0

    @property
    def dispatches(self) -> int:
        """All listed dispatch ids."""
        return (
            self.delivered
            + self.refused
            + self.parked
            + self.in_doubt
            + self.cancelled
            + self.in_flight
            + self.lost
        )

    def add(self, other: "DispatchTotals") -> None:
        """Add another member's line."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Both ledgers at one moment. duplicated: ids handed over more than once. undecided: partitions whose
    open transactions did not end
    in time. books_away: members whose own book could not be read. compared: members whose own book was
    compared."""

    messages: MessageTotals
    members: dict[str, DispatchTotals]
    duplicated: int
    problems: Sequence[Problem] = ()
    problems_seen: int = 0
    undecided: Sequence[str] = ()
    books_away: Sequence[str] = ()
    compared: Sequence[str] = ()
    closed_digest: str = ""
    open_ids: int = 0
    records_read: int = 0
    from_checkpoint: bool = False

    @property
    def dispatches(self) -> DispatchTotals:
        """All members together."""
        total = DispatchTotals()
        for line in self.members.values():
            total.add(line)
        return total

    @property
    def lost(self) -> int:
        """Lost ids of both ledgers."""
        return self.messages.lost + self.dispatches.lost

    @property
    def balanced(self) -> bool:
        """Nothing lost, nothing twice, nothing in flight, nothing unexplained."""
        return not (
            self.lost
            or self.duplicated
            or self.messages.in_flight
            or self.dispatches.in_flight
            or self.problems_seen
            or self.problems
            or self.undecided
            or self.books_away
        )

    @property
    def messages_line(self) -> str:
        """The message ledger in one line."""
        m = self.messages
        return (
            f"messages: accepted={m.accepted} routed={m.routed} refused={m.refused} "
            f"held={m.held} parked={m.parked} in_flight={m.in_flight}"
        )

    @property
    def books_line(self) -> str:
        """The dispatch ledger and the verdict in one line."""
        d = self.dispatches
        return (
            f"books: dispatches={d.dispatches} delivered={d.delivered} refused={d.refused} parked={d.parked} "
            f"in_doubt={d.in_doubt} cancelled={d.cancelled} in_flight={d.in_flight} lost={self.lost} "
            f"duplicated={self.duplicated} balanced={'yes' if self.balanced else 'no'}"
        )
