"""What this hub only hands on: a message another hub made for one of our members, and the answer to it. Works
on a Turn; decides nothing about the case."""

from typing import Final

from hub.envelope import Message
from hub.routing import crossing, refusals
from hub.routing.model import Disposition, Outgoing, Verdict
from hub.routing.turn import Turn

# Made by a hub for one member; in another region it is only handed on.
_DIRECTED: Final = frozenset({refusals.REFUSAL, refusals.CREDIT_QUERY, refusals.CREDIT_REVIEW})
_ANSWERS: Final = frozenset({"credit.answered", "credit.reviewed", "dispatch.refused"})


def take(turn: Turn, message: Message) -> bool:
    """Hand on what another hub has to decide; False for everything else."""
    case = turn.case
    if message.via and message.type in _DIRECTED:
        _hand_on(turn, message)
        return True
    if case.asked_by and message.type in _ANSWERS and not case.opened and case.gated is None:
        turn.route(message, (Outgoing(case.asked_by, message.type),), "answer_to_hub")
        return True
    return False


def _hand_on(turn: Turn, message: Message) -> None:
    """To the member another hub names; refused when it is not one of ours, or takes no such thing."""
    tables, to = turn.tables, message.attributes.get(crossing.ADDRESSEE, "")
    member = tables.members.get(to)
    if message.type != refusals.REFUSAL:
        turn.case.asked_by = crossing.passed(message.via)[-1]
    if member is None or to in tables.remote or message.type not in member.subscribes:
        zh, en = f"本枢纽没有接收方 {to}", f"this hub has no addressee {to}"
        turn.verdicts.append(Verdict(message, Disposition.REFUSED, "no_addressee", zh=zh, en=en))
        return
    turn.route(message, (Outgoing(to, message.type),), "handed_on")
