"""How a report of the books is shown on a terminal: a table per member, the problems, the two last lines.
Rendering only."""

from typing import Final

from rich.table import Table

from hub.books.model import DispatchTotals, Report, Trouble

PROBLEMS_SHOWN_MAX: Final = 20
_BOOK_TROUBLES: Final = (Trouble.NOT_IN_BOOK, Trouble.DUPLICATED, Trouble.UNLISTED)


def last_lines(report: Report) -> list[str]:
    """The problems, if any, then the message ledger and the dispatch ledger, which is the last line."""
    return [*problem_lines(report), report.messages_line, report.books_line]


def member_table(report: Report) -> Table:
    """One line per member."""
    table = Table(title="派发台账 / dispatch ledger")
    table.add_column("成员 member")
    for name in ("派发", "送达", "拒绝", "停放", "存疑", "取消", "在途", "丢失"):
        table.add_column(name, justify="right")
    table.add_column("成员账本 own book")
    for member, line in report.members.items():
        table.add_row(member, *(str(value) for value in _cells(line)), _own_book(report, member))
    return table


def _own_book(report: Report, member: str) -> str:
    if member in report.books_away:
        return "未读到 away"
    if member not in report.compared:
        return "-"
    differs = any(p.member == member and p.trouble in _BOOK_TROUBLES for p in report.problems)
    return "不符 differs" if differs else "相符 agrees"


def problem_lines(report: Report) -> list[str]:
    """At most PROBLEMS_SHOWN_MAX lines, then how many more."""
    shown = report.problems[:PROBLEMS_SHOWN_MAX]
    lines = [f"{p.trouble}: {p.id} {p.member} {p.zh} / {p.en}".replace("  ", " ") for p in shown]
    lines += [f"undecided: {place} 事务未结束 / open transaction" for place in report.undecided]
    lines += [f"book_away: {member} 成员账本读不到 / own book unreadable" for member in report.books_away]
    hidden = max(report.problems_seen, len(report.problems)) - PROBLEMS_SHOWN_MAX
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
