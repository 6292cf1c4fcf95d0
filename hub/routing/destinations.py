"""Where a message goes: the roles of its route resolved to members of this case. Nobody gets an echo; each
member gets it once."""

from typing import Final

import msgspec

from hub.directory.model import Item, MemberKind, Role
from hub.envelope import Message
from hub.routing import crossing
from hub.routing.model import Outgoing
from hub.routing.state import Case
from hub.routing.tables import ROLE_KINDS, Tables

SECOND_CORRECTION: Final = "second-correction"


def of(case: Case, message: Message, tables: Tables) -> tuple[Outgoing, ...]:
    """The dispatches of a message of this case, in the order of the route."""
    key = (
        message.type,
        message.source,
        case.origin,
        case.owner,
        case.region,
        "n" if case.nation else "",
        "s" if case.supervision else "",
        message.via,
    )
    known = tables.memo.get(key)
    if isinstance(known, tuple):
        return known
    outgoing = _resolve(case, message, tables)
    tables.remember(key, outgoing)
    return outgoing


def flagged(
    outgoing: tuple[Outgoing, ...], flags: tuple[str, ...], members: frozenset[str]
) -> tuple[Outgoing, ...]:
    """The same dispatches with flags on those to the given members."""
    return tuple(
        msgspec.structs.replace(out, flags=flags) if out.member in members else out for out in outgoing
    )


def second_correction(outgoing: tuple[Outgoing, ...], tables: Tables) -> tuple[Outgoing, ...]:
    """F11: 一次性告知 (H 8.4.3). A second correction notice on one case is flagged to supervision."""
    return flagged(outgoing, (SECOND_CORRECTION,), frozenset(tables.of_kind(MemberKind.SUPERVISION)))


def services(outgoing: tuple[Outgoing, ...], case: Case, item: Item | None) -> tuple[Outgoing, ...]:
    """F61: the services that the applicant's grade opens for this item, told to the department that
    decides."""
    flags = item.services.get(case.grade, ()) if item is not None and case.grade else ()
    return flagged(outgoing, flags, frozenset((case.owner,))) if flags else outgoing


def to_member(member: str, kind: str, tables: Tables) -> tuple[Outgoing, ...]:
    """One dispatch to one member, through its hub when that is another; none when the member is unknown or
    does not take the kind."""
    found = tables.members.get(member)
    if found is None or kind not in found.subscribes:
        return ()
    hub = tables.remote.get(member)
    return (Outgoing(member, kind),) if hub is None else (Outgoing(hub, kind, to=member),)


def _resolve(case: Case, message: Message, tables: Tables) -> tuple[Outgoing, ...]:
    route = tables.routes.get(message.type)
    if route is None:
        return ()
    result: list[Outgoing] = []
    taken = {message.source}
    for to in route.to:
        kind = to.kind or message.type
        for member in _members(to.role, case, tables):
            if member in tables.remote:
                continue  # its own hub hands it over
            if member not in taken and kind in tables.members[member].subscribes:
                taken.add(member)
                result.append(Outgoing(member, kind))
    if route.to:
        result.extend(crossing.hubs_of(_taking_part(case, tables), message, tables))
    return tuple(result)


def _taking_part(case: Case, tables: Tables) -> list[str]:
    """Everybody this case concerns, whatever they subscribe to."""
    roles = (Role.OWNER, Role.ORIGIN, Role.WINDOW, *ROLE_KINDS)
    return [member for role in roles if role is not Role.CREDIT for member in _members(role, case, tables)]


def _members(role: Role, case: Case, tables: Tables) -> tuple[str, ...]:
    if role is Role.OWNER:
        return (case.owner,) if case.owner in tables.members else ()
    if role is Role.ORIGIN:
        return (case.origin,) if case.origin in tables.members else ()
    if role is Role.WINDOW:
        return _local_windows(case, tables)
    if (role is Role.NATION and not case.nation) or (role is Role.SUPERVISION and not case.supervision):
        return ()
    kind = ROLE_KINDS.get(role)
    return () if kind is None else tables.of_kind(kind)


def _local_windows(case: Case, tables: Tables) -> tuple[str, ...]:
    """The windows of the case's own region, for a case that came in at a window elsewhere: they hand the
    result over (H 9.2.2.4)."""
    origin = tables.members.get(case.origin)
    if origin is None or origin.kind is not MemberKind.WINDOW:
        return ()
    windows = tables.of_kind(MemberKind.WINDOW)
    return tuple(window for window in windows if tables.covers(window, case.region))
