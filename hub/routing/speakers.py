"""Who may say what (R11): a member's roles in a case against the roles the routes allow, and whose
organisation it names."""

from typing import Final

from hub.directory.model import Acceptance, MemberKind, Role
from hub.envelope import Message
from hub.routing.model import Refusal
from hub.routing.state import Case
from hub.routing.tables import ROLE_KINDS, Tables

HUB: Final = "hub"
# Taking a case in at a window is not accepting it: the item says who may do which (H 9.2.2.3;
# 综合窗口受理制改革方案).
_ACCEPTING: Final = frozenset({"case.accepted", "case.not_accepted"})
_RECEIVING: Final = frozenset({"case.submitted", "case.material_received", "case.correction_notified"})


def refused(case: Case, message: Message, tables: Tables) -> Refusal | None:
    """Why this member may not say this in this case; None when it may. The case's origin, owner, item and
    region must be known."""
    key = ("may", message.type, message.source, case.origin, case.owner, case.region, case.item)
    allowed = tables.memo.get(key)
    if allowed is None:
        allowed = _may(case, message, tables)
        tables.remember(key, allowed)
    if not allowed:
        return _not_allowed(message, tables)
    org = message.attributes.get("org")
    if org is not None and org not in _organisations(case, message.source, tables):
        return _other_organisation(message, org)
    return None


def _may(case: Case, message: Message, tables: Tables) -> bool:
    route = tables.routes.get(message.type)
    if route is None:
        return False
    return any(_has(role, case, message, tables) for role in route.from_)


def _has(role: Role, case: Case, message: Message, tables: Tables) -> bool:
    source = message.source
    if role is Role.HUB:
        return source == HUB or source == message.attributes.get("member")
    if source not in tables.members:
        return False
    if role is Role.OWNER:
        return source == case.owner
    if role is Role.ORIGIN:
        return source == case.origin
    if role is Role.WINDOW:
        return tables.members[source].kind is MemberKind.WINDOW and _window_may(case, message, tables)
    return tables.members[source].kind is ROLE_KINDS[role]


def _window_may(case: Case, message: Message, tables: Tables) -> bool:
    item = tables.items.get(case.item)
    if (
        item is None
    ):  # the item left the directory while its case is under way: the window goes on as it began
        return message.source == case.origin and message.type not in _ACCEPTING
    local = tables.covers(message.source, case.region)
    if not local and message.source != case.origin:
        return False
    needed = Acceptance.WINDOW if local else Acceptance.CROSS_REGION_WINDOW
    if message.type in _ACCEPTING:
        return needed in item.acceptance
    return message.type not in _RECEIVING or needed in item.receiving


def _organisations(case: Case, source: str, tables: Tables) -> tuple[str, ...]:
    """USCCs a member may act for: its own, and at a window also the deciding department's (综合受理)."""
    member = tables.members.get(source)
    if member is None:
        return ()
    owner = tables.members.get(case.owner)
    if member.kind is MemberKind.WINDOW and owner is not None:
        return (member.org_code, owner.org_code)
    return (member.org_code,)


def _not_allowed(message: Message, tables: Tables) -> Refusal:
    route = tables.routes.get(message.type)
    who = ", ".join(route.from_) if route is not None and route.from_ else "-"
    return Refusal(
        "not_allowed",
        "source",
        "R11",
        "DB46 一体化政务服务平台服务规范 9.2.2.3",
        f"{message.source} 无权就本办件发送 {message.type}；该事项允许的角色：{who}",
        f"{message.source} may not send {message.type} for this case; roles that may: {who}",
        "由来件方、属地实施机构或该事项允许的窗口发送",
        "send it as the case's origin, its deciding department or a window that the item permits",
    )


def _other_organisation(message: Message, org: str) -> Refusal:
    return Refusal(
        "other_organisation",
        "org.code",
        "R11",
        "DB46 一体化政务服务平台服务规范 9.2.2.3",
        f"统一社会信用代码 {org} 不是 {message.source} 的机构，不能代其他机构发送",
        f"the organisation {org} is not that of {message.source}; speaking for another is refused",
        "填写本机构（窗口受理时可填属地实施机构）的统一社会信用代码",
        "give your own USCC (at a window also that of the deciding department)",
    )
