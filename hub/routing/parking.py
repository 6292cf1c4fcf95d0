"""Parks a case for a reason that lies outside its own rules: the broker refused an output, or deciding failed
(G5). Pure."""

from hub.envelope import Message
from hub.routing.model import Decision
from hub.routing.state import UnknownFormat, decode
from hub.routing.tables import Tables
from hub.routing.turn import Park, Turn


def park(message: Message, state: bytes | None, why: Park, tables: Tables, now_ms: int) -> Decision:
    """The message and everything behind it stand still; a case that is parked already only gets longer.

    A state this release cannot read is left as it is: no change, and the message is taken again from the log
    by an operator.
    """
    try:
        case = decode(state)
    except UnknownFormat:
        return Decision(None)
    if case.find(message.id) is not None:
        return Decision(None, duplicate=True)
    case.remember(message.id, message.digest, message.source, message.type)
    turn = Turn(case, message.subject, tables, now_ms)
    if case.parked is not None:
        turn.queue(message)
    else:
        turn.park(message, why)
    return turn.decision()
