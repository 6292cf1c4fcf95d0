"""What a reconciliation says: two lines for machines and people, a table per member, the problems.
Rendering only."""

from collections.abc import Sequence
from typing import Final

import msgspec
from rich.table import Table

from hub.books.model import DispatchTotals, MessageTotals, Problem, Trouble

PROBLEMS_SHOWN_MAX: Final = 20


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

    def table(self) -> Table:
        """One line per member, for a terminal."""
        table = Table(title="派发台账 / dispatch ledger")
        table.add_column("成员 member")
        for name in ("派发", "送达", "拒绝", "停放", "存疑", "取消", "在途", "丢失"):
            table.add_column(name, justify="right")
        table.add_column("成员账本 own book")
        for member, line in self.members.items():
            table.add_row(member, *(str(value) for value in _cells(line)), self._book(member))
        return table

    def _book(self, member: str) -> str:
        if member in self.books_away:
            return "未读到 away"
        if member not in self.compared:
            return "-"
        troubles = (Trouble.NOT_IN_BOOK, Trouble.DUPLICATED, Trouble.UNLISTED)
        differs = any(p.member == member and p.trouble in troubles for p in self.problems)
        return "不符 differs" if differs else "相符 agrees"

    def problem_lines(self) -> list[str]:
        """At most PROBLEMS_SHOWN_MAX lines, then how many more."""
        lines = [
            f"{p.trouble}: {p.id} {p.member} {p.zh} / {p.en}".replace("  ", " ")
            for p in self.problems[:PROBLEMS_SHOWN_MAX]
        ]
        lines += [f"undecided: {place} 事务未结束 / open transaction" for place in self.undecided]
        lines += [f"book_away: {member} 成员账本读不到 / own book unreadable" for member in self.books_away]
        hidden = max(self.problems_seen, len(self.problems)) - PROBLEMS_SHOWN_MAX
        return [*lines, f"… (+{hidden})"] if hidden > 0 else lines


def _cells(line: DispatchTotals) -> tuple[int, ...]:
    return (
        line.dispatches,
        line.delivered,
        line.refused,
        line.parked,
        line.in_doubt,
        line.cancelled,
        line.in_flight,
        line.lost,
    )
