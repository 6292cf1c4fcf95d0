"""The pages that act on the hub's own lanes: a park brake let off (R24), a jumped clock said to be right.

Role, reason and confirmation are asked for, and the act is recorded before it is done (R26); the lane does it
in its own transaction.
"""

from typing import Final

from litestar import get, post
from litestar.response import Response

from hub import clocks
from hub.console.accounts import Role
from hub.console.database import DatabaseAway
from hub.console.sessions import Session
from hub.console.web import (
    AnyRequest,
    console_of,
    form_of,
    note_act,
    page,
    path_of,
    reason_of,
    see_other,
    signed_in,
)
from hub.errors import BrokerAway
from hub.router import orders

OBJECT_LENGTH_MAX: Final = 2_000


@get("/brake/{lane:str}")
async def brake_page(request: AnyRequest) -> Response[str]:
    """Why the lane stopped, and the way to let it go on."""
    session = await signed_in(request, Role.OPERATOR)
    return await _brake(request, session)


async def _brake(request: AnyRequest, session: Session, error: str = "", status: int = 200) -> Response[str]:
    console, name = console_of(request), path_of(request, "lane")
    lane = next((one for one in console.live.touch().braked if one.lane == name), None)
    return await page(
        request,
        "brake.html",
        session,
        status=status,
        name=name,
        lane=lane,
        window=console.settings.park_brake_window,
        error=error,
    )


@post("/brake/{lane:str}", status_code=200)
async def release_brake(request: AnyRequest) -> Response[str]:
    """Let the brake off for one window; only of a lane that stands still by it now."""
    session = await signed_in(request, Role.OPERATOR)
    form = await form_of(request, session)
    console, name, reason = console_of(request), path_of(request, "lane"), reason_of(form)
    if form.get("confirm") != "yes":
        return await _brake(request, session, "请确认已查明原因 / confirm that the cause is known", 409)
    if name not in {one.lane for one in console.live.touch().braked}:
        return await _brake(request, session, "这条通道没有停在闸上 / this lane is not braked", 409)
    try:
        await note_act(request, session, "release_brake", name, reason)
        await orders.release_brake(console.settings, name, session.name, reason)
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    except BrokerAway:
        return await _brake(request, session, "消息总线不可用，未执行 / Kafka away, not done", 503)
    return see_other("/")


@get("/clock")
async def clock_page(request: AnyRequest) -> Response[str]:
    """Lanes whose process stopped its timers after a jump of the clock."""
    session = await signed_in(request, Role.OPERATOR)
    return await _clock(request, session)


async def _clock(request: AnyRequest, session: Session, error: str = "", status: int = 200) -> Response[str]:
    lanes = console_of(request).live.touch().jumped
    return await page(request, "clock.html", session, status=status, lanes=lanes, error=error)


@post("/clock", status_code=200)
async def acknowledge_clock(request: AnyRequest) -> Response[str]:
    """The new time is right: of the processes and the jumps that the page showed, and no other."""
    session = await signed_in(request, Role.OPERATOR)
    form = await form_of(request, session)
    console, reason = console_of(request), reason_of(form)
    jumped = console.live.touch().jumped
    chosen = [one for one in jumped if form.get(f"{one.role}|{one.lane}") == str(one.clock_jump_ms)]
    if form.get("confirm") != "yes":
        return await _clock(request, session, "请确认已核对时间 / confirm that the time was checked", 409)
    if not chosen:
        return await _clock(request, session, "状态已变化，请重新核对 / it has changed meanwhile", 409)
    words = "、".join(f"{one.lane} {one.clock_jump_ms / 1000:+.1f} s" for one in chosen)
    try:
        await note_act(request, session, "acknowledge_clock", words[:OBJECT_LENGTH_MAX], reason)
        await clocks.acknowledge(console.settings, chosen, session.name, reason)
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    except BrokerAway:
        return await _clock(request, session, "消息总线不可用 / Kafka away", 503)
    return see_other("/")
