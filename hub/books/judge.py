"""The verdict over what is open: in flight, lost, or a suspect that needs a second look. Pure.

Lane positions were read before the ends of the outputs, so whatever a lane had worked below its position
must be visible; an id below it
without a record is lost (G6).
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from hub.books.ledger import Books
from hub.books.model import (
    DispatchTotals,
    Lane,
    MessageTotals,
    OpenDispatch,
    OpenMessage,
    Positions,
    Problem,
    Trouble,
)

_NO_LANE = Lane()


@dataclass
class History:
    """What the second look found, by id. verdicts: final ones, with their offset. listings, outcomes:
    likewise, in topic order."""

    verdicts: dict[str, list[tuple[tuple[int, int], str]]] = field(default_factory=dict)
    listings: dict[str, tuple[str, tuple[int, int]]] = field(default_factory=dict)
    outcomes: dict[str, list[tuple[tuple[int, int], str]]] = field(default_factory=dict)


@dataclass
class Judgement:
    """Both ledgers at one moment."""

    messages: MessageTotals
    members: dict[str, DispatchTotals]
    problems: list[Problem]

    @property
    def dispatches(self) -> DispatchTotals:
        """All members together."""
        total = DispatchTotals()
        for line in self.members.values():
            total.add(line)
        return total


def suspects(books: Books, positions: Positions) -> tuple[set[str], set[str]]:
    """(message ids, dispatch ids) that cannot be judged from what is open."""
    messages = {id_ for id_, entry in books.messages.items() if _message_suspect(entry, positions)}
    dispatches = {id_ for id_, entry in books.dispatches.items() if entry.listed is None}
    return messages, dispatches | set(books.booked_ahead)


def _message_suspect(entry: OpenMessage, positions: Positions) -> bool:
    if entry.accepted is None:
        return True
    partition, offset = entry.accepted
    return not entry.disposition and offset < positions.router.get(partition, 0)


def resolve(books: Books, history: History) -> None:
    """Settle suspects with what the second look found; those that stay open are lost, unaccepted or
    unlisted."""
    for id_, entry in list(books.messages.items()):
        before = [
            at for at, _ in history.verdicts.get(id_, ()) if entry.verdict_at is None or at < entry.verdict_at
        ]
        if not before:
            continue
        if entry.accepted is not None and not entry.disposition:
            del books.messages[id_]  # a re-send of a message that was closed before
        elif entry.accepted is None:
            del books.messages[id_]
            books.problem(
                Trouble.REPEATED_VERDICT, id_, "", "同一消息被路由两次", "one message has two final verdicts"
            )
    for id_, dispatch in list(books.dispatches.items()):
        if dispatch.listed is None and id_ in history.listings:
            _resolve_dispatch(books, id_, dispatch, history)
    for id_ in list(books.booked_ahead):
        if id_ in history.listings and id_ not in books.dispatches:
            del books.booked_ahead[id_]  # the book tells again what was closed before


def _resolve_dispatch(books: Books, id_: str, entry: OpenDispatch, history: History) -> None:
    member, _ = history.listings[id_]
    del books.dispatches[id_]
    if entry.sent is not None:
        books.duplicated[id_] = member
        books.problem(
            Trouble.DUPLICATED,
            id_,
            member,
            f"同一派发在 deliver.{member} 上出现两次",
            f"one dispatch is twice on deliver.{member}",
        )
    if entry.outcome_at is not None:
        before = [what for at, what in history.outcomes.get(id_, ()) if at < entry.outcome_at]
        if before:
            books.change_closed(id_, member, before[-1], entry.outcome)


def judge(
    books: Books, positions: Positions, listed_before: Mapping[int, int], *, complete: bool = True
) -> Judgement:
    """Both ledgers. listed_before: end of case.routed per partition as it was before the ends of deliver.*
    were read; only what was
    listed below it must be on deliver.<member> already. complete False: the ends were not reached, so an
    absent cause means nothing."""
    problems = list(books.problems)
    uncaused: list[Problem] = []
    messages = _copy(books.closed_messages)
    for id_, entry in books.messages.items():
        _judge_message(id_, entry, positions, messages, problems, uncaused)
    members: defaultdict[str, DispatchTotals] = defaultdict(DispatchTotals)
    for member, closed in books.closed_dispatches.items():
        members[member].add(closed)
    for id_, dispatch in books.dispatches.items():
        _judge_dispatch(id_, dispatch, books, positions, listed_before, members, problems, uncaused)
    for id_, member in books.booked_ahead.items():
        zh, en = "成员账本中有枢纽未派发的编号", "the member's book holds an id that was never dispatched"
        uncaused.append(Problem(Trouble.UNLISTED, id_, member, zh, en))
    if complete:
        problems += uncaused
    noted = {problem.id for problem in problems if problem.trouble is Trouble.DUPLICATED}
    for id_, member in books.duplicated.items():
        if id_ not in noted:
            zh, en = "成员账本显示业务效果发生多次", "the member's book shows the effect more than once"
            problems.append(Problem(Trouble.DUPLICATED, id_, member, zh, en))
    return Judgement(messages, dict(sorted(members.items())), problems)


def _judge_message(
    id_: str,
    entry: OpenMessage,
    positions: Positions,
    totals: MessageTotals,
    problems: list[Problem],
    uncaused: list[Problem],
) -> None:
    if entry.accepted is None:
        if entry.disposition in ("held", "parked"):
            return  # a message of the hub's own that waits: not on case.inbound, so not in this ledger
        zh, en = "已路由的消息不在 case.inbound 上", "a routed message that was never accepted"
        uncaused.append(Problem(Trouble.UNACCEPTED, id_, "", zh, en))
    elif entry.disposition:
        setattr(totals, entry.disposition, getattr(totals, entry.disposition) + 1)
    elif _message_suspect(entry, positions):
        totals.lost += 1
        place = f"case.inbound-{entry.accepted[0]}@{entry.accepted[1]}"
        zh, en = f"路由位置之前没有去向 ({place})", "below the router's position without a verdict"
        problems.append(Problem(Trouble.LOST_MESSAGE, id_, "", zh, en))
    else:
        totals.in_flight += 1


def _judge_dispatch(
    id_: str,
    entry: OpenDispatch,
    books: Books,
    positions: Positions,
    listed_before: Mapping[int, int],
    members: defaultdict[str, DispatchTotals],
    problems: list[Problem],
    uncaused: list[Problem],
) -> None:
    line = members[entry.member]
    if entry.listed is None:
        zh, en = "派发不在任何 case.routed 记录中", "a dispatch that no case.routed record lists"
        uncaused.append(Problem(Trouble.UNLISTED, id_, entry.member, zh, en))
        return
    zh_en = _lost(entry, books, positions, listed_before)
    if zh_en is not None:
        line.lost += 1
        trouble = Trouble.NOT_IN_BOOK if entry.outcome == "delivered" else Trouble.LOST_DISPATCH
        problems.append(Problem(trouble, id_, entry.member, *zh_en))
    elif entry.outcome:
        setattr(line, entry.outcome, getattr(line, entry.outcome) + 1)
    else:
        line.in_flight += 1


def _lost(
    entry: OpenDispatch, books: Books, positions: Positions, listed_before: Mapping[int, int]
) -> tuple[str, str] | None:
    """(zh, en) why this dispatch is lost, None when it is not."""
    assert entry.listed is not None
    if entry.sent is None:
        partition, offset = entry.listed
        if offset < listed_before.get(partition, 0):
            return (
                f"已列入路由记录但不在 deliver.{entry.member} 上",
                f"listed, but not on deliver.{entry.member}",
            )
        return None
    if not entry.outcome:
        partition, offset = entry.sent
        lane = positions.delivery.get((entry.member, partition), _NO_LANE)
        if offset < lane.taken_in and offset not in lane.queue:
            return "已取入但既无结果也不在队列", "taken in, with no outcome and in no queue"
        return None
    if entry.outcome == "delivered" and entry.member in books.with_book and not entry.booked:
        return "记为已送达，但成员账本中没有", "delivered, but not in the member's own book"
    return None


def _copy(totals: MessageTotals) -> MessageTotals:
    return MessageTotals(*(getattr(totals, name) for name in totals.__struct_fields__))
