"""The pages that act: one standstill, a case parked in the router, a whole member, many cases at once. Every
act is recorded before it is done (R26); many at once need a second person (R27)."""

from typing import Final
from urllib.parse import quote

import msgspec
from litestar import get, post
from litestar.response import Response

from hub.console import queries
from hub.console.accounts import Role
from hub.console.acts import Acts, standstill_of
from hub.console.database import DatabaseAway
from hub.console.sessions import Session
from hub.console.web import (
    AnyRequest,
    Console,
    Forbidden,
    console_of,
    form_of,
    note_act,
    page,
    path_of,
    reason_of,
    see_other,
    signed_in,
)
from hub.delivery.commands import Command
from hub.directory.model import Member
from hub.errors import BrokerAway, HubError
from hub.repair import write_commands
from hub.router import orders

# What may be done about a standstill: outcome -> (act, command, settled).
CHOICES: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    "parked": (
        ("redrive", "redrive", ""),
        ("settle_delivered", "settle", "delivered"),
        ("skip", "skip", ""),
    ),
    "in_doubt": (
        ("settle_delivered", "settle", "delivered"),
        ("settle_not_delivered", "settle", "not_delivered"),
        ("skip", "skip", ""),
    ),
    "refused": (("release", "release", ""),),
}


@get("/repair/dispatch/{dispatch:str}")
async def standstill_page(request: AnyRequest) -> Response[str]:
    """One dispatch at which a case stands still, and what may be done."""
    session = await signed_in(request, Role.OPERATOR)
    return await _standstill(request, session)


async def _standstill(
    request: AnyRequest, session: Session, error: str = "", status: int = 200
) -> Response[str]:
    try:
        row = await queries.dispatch(console_of(request).database, path_of(request, "dispatch"))
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    choices = CHOICES.get(row["outcome"], ()) if row is not None and not row["behind"] else ()
    return await page(
        request,
        "repair.html",
        session,
        status=status if row is not None else 404,
        d=row,
        choices=choices,
        error=error,
    )


@post("/repair/dispatch/{dispatch:str}", status_code=200)
async def act_on_standstill(request: AnyRequest) -> Response[str]:
    """Carry one act out; the lane does it in its own transaction."""
    session = await signed_in(request, Role.OPERATOR)
    form = await form_of(request, session)
    console = console_of(request)
    try:
        row = await queries.dispatch(console.database, path_of(request, "dispatch"))
        chosen = next(
            (one for one in CHOICES.get(row["outcome"] if row else "", ()) if one[0] == form.get("act")), None
        )
        if row is None or chosen is None or str(row["attempts"]) != form.get("attempts"):
            return await _standstill(
                request, session, "状态已变化，请重新选择 / it has changed meanwhile", 409
            )
        act, verb, settled = chosen
        given = {
            "command": verb,
            "by": session.name,
            "reason": reason_of(form),
            "dispatch": row["id"],
            "attempts": row["attempts"],
            "settled": settled,
            "evidence": form.get("evidence", "").strip()[:500],
        }
        await note_act(request, session, act, f"{row['case_no']} → {row['member']}", given["reason"])
        command = msgspec.convert(given, type=Command)
        await write_commands(console.settings, row["member"], [(row["case_no"], command)])
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    except BrokerAway:
        return await _standstill(request, session, "消息总线不可用，未执行 / Kafka away, not done", 503)
    return see_other(f"/cases/{quote(row['case_no'])}")


@get("/repair/case/{number:str}")
async def parked_case_page(request: AnyRequest) -> Response[str]:
    """A case parked in the router."""
    session = await signed_in(request, Role.OPERATOR)
    try:
        row = await queries.parked_case(console_of(request).database, path_of(request, "number"))
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    return await page(request, "repair_case.html", session, status=200 if row else 404, m=row)


@post("/repair/case/{number:str}", status_code=200)
async def redrive_case(request: AnyRequest) -> Response[str]:
    """Decide the case's queue again, in order and under its ids."""
    session = await signed_in(request, Role.OPERATOR)
    form = await form_of(request, session)
    number, reason = path_of(request, "number"), reason_of(form)
    try:
        await note_act(request, session, "redrive", number, reason)
        await orders.redrive_case(console_of(request).settings, number, session.name, reason)
    except (DatabaseAway, BrokerAway):
        return await page(request, "away.html", session, status=503)
    return see_other(f"/cases/{quote(number)}")


@get("/members/{member_id:str}")
async def member_page(request: AnyRequest) -> Response[str]:
    """One member: its contact, its lane, and the switch that stops calling it."""
    session = await signed_in(request)
    console = console_of(request)
    member = _known(console, path_of(request, "member_id"))
    snapshot = console.live.touch()
    lanes = [lane for (_, name), lane in snapshot.lanes.items() if name.startswith(f"deliver.{member.id}-")]
    return await page(
        request,
        "member.html",
        session,
        m=member,
        lanes=[(lane, snapshot.lane_state(lane)) for lane in lanes],
        may=session.may(Role.OPERATOR),
    )


@post("/members/{member_id:str}/{verb:str}", status_code=200)
async def switch_member(request: AnyRequest) -> Response[str]:
    """Suspend or resume: one person may do it alone (R27)."""
    session = await signed_in(request, Role.OPERATOR)
    form = await form_of(request, session)
    console = console_of(request)
    member, verb = _known(console, path_of(request, "member_id")), path_of(request, "verb")
    if verb not in ("suspend", "resume"):
        raise Forbidden("没有这个操作 / there is no such act")
    command = msgspec.convert({"command": verb, "by": session.name, "reason": reason_of(form)}, type=Command)
    try:
        await note_act(request, session, verb, member.id, command.reason)
        await write_commands(console.settings, member.id, [(member.id, command)])
    except (DatabaseAway, BrokerAway):
        return await page(request, "away.html", session, status=503)
    return see_other(f"/members/{quote(member.id)}")


@get("/bulk")
async def bulk_page(request: AnyRequest) -> Response[str]:
    """Causes that park several cases, a dry run of one of them, and the acts so far."""
    session = await signed_in(request)
    return await _bulk(request, session)


async def _bulk(request: AnyRequest, session: Session, error: str = "", status: int = 200) -> Response[str]:
    console = console_of(request)
    member, code = request.query_params.get("member", "")[:64], request.query_params.get("code", "")[:64]
    try:
        chosen = await queries.parked_of(console.database, member, code) if member else []
        causes = await queries.parked_causes(console.database)
        acts = await Acts(console.database, console.settings).latest()
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    known = console.directory.members.get(member)
    return await page(
        request,
        "bulk.html",
        session,
        status=status,
        chosen=chosen,
        chosen_member=member,
        chosen_code=code,
        guarantee=known.delivery.guarantee.value if known else "",
        alone_max=console.settings.redrive_alone_max,
        causes=causes,
        acts=acts,
        may=session.may(Role.OPERATOR),
        may_second=session.may(Role.APPROVER),
        error=error,
    )


@post("/bulk", status_code=200)
async def propose_bulk(request: AnyRequest) -> Response[str]:
    """Propose a bulk redrive, or do it alone within the limit."""
    session = await signed_in(request, Role.OPERATOR)
    form = await form_of(request, session)
    console = console_of(request)
    member, code = _known(console, form.get("member", "")), form.get("code", "")[:64]
    alone, reason = form.get("how") == "alone", reason_of(form)
    acts = Acts(console.database, console.settings)
    try:
        rows = await queries.parked_of(console.database, member.id, code)
        if not rows or str(len(rows)) != form.get("count"):
            return await _bulk(request, session, "清单已变化，请重新试算 / the list has changed", 409)
        chosen = [standstill_of(row, member.id) for row in rows]
        words = f"{member.id} {code} ×{len(chosen)}"
        await note_act(request, session, "bulk_alone" if alone else "bulk_propose", words, reason)
        await acts.propose(
            member.id, code, chosen, session.name, reason, member.delivery.guarantee, alone=alone
        )
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    except HubError as error:
        return await _bulk(request, session, str(error), 409)
    return see_other("/bulk")


@post("/bulk/{act_id:str}/second", status_code=200)
async def second_person(request: AnyRequest) -> Response[str]:
    """The second person: approves what waits, countersigns what was done alone."""
    session = await signed_in(request, Role.APPROVER)
    await form_of(request, session)
    console = console_of(request)
    acts, id_ = Acts(console.database, console.settings), path_of(request, "act_id")
    try:
        act = await acts.get(id_)
        note = "bulk_countersign" if act is not None and act.alone else "bulk_approve"
        await note_act(request, session, note, id_, act.reason if act else "")
        await acts.second(id_, session.name)
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    except HubError as error:
        return await _bulk(request, session, str(error), 409)
    return see_other("/bulk")


def _known(console: Console, id_: str) -> Member:
    member = console.directory.members.get(id_)
    if member is None:
        raise Forbidden("目录中没有这个成员 / the directory has no such member")
    return member
