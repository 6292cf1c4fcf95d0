"""The pages that show: overview, cases, timeline, what stands still, the audit trail. Reading only, but for
unmasking, which is recorded."""

import asyncio
import json
import time
from collections import Counter
from typing import Any, Final

import aiohttp
from litestar import get, post
from litestar.response import Response

from hub.books.render import problem_lines
from hub.console import describe, queries
from hub.console.accounts import REASON_LENGTH_MAX, REASON_LENGTH_MIN, Role
from hub.console.database import DatabaseAway
from hub.console.labels import ACTS
from hub.console.live import Snapshot
from hub.console.web import (
    LEDGER_STALE_SECONDS,
    AnyRequest,
    Console,
    Forbidden,
    console_of,
    form_of,
    is_chinese,
    page,
    signed_in,
)
from hub.projector.masking import masked_body

VIEW_TIMEOUT_SECONDS: Final = 1.0
VIEW_BYTES_MAX: Final = 1 << 20
NUMBER_LENGTH_MAX: Final = 64
KINDS: Final = ("parked", "in_doubt", "refused", "held")


@get("/")
async def overview(request: AnyRequest) -> Response[str]:
    """Ledgers, members, topics: from Kafka alone, so it works with PostgreSQL away."""
    session = await signed_in(request)
    console = console_of(request)
    snapshot = console.live.touch()
    chart, standing = await asyncio.gather(_minutes(console), _counts(console))
    age = time.time() - snapshot.at
    return await page(
        request,
        "overview.html",
        session,
        snapshot=snapshot,
        ledger_stale=bool(snapshot.error) or age > LEDGER_STALE_SECONDS,
        ledger_at=_clock(snapshot.at),
        problems=problem_lines(snapshot.report) if snapshot.report else [],
        members=_member_lines(console, snapshot),
        own_lanes=_own_lanes(snapshot),
        minutes=chart,
        departments=_by_department(chart),
        standing=standing,
    )


def _by_department(minutes: list[dict[str, Any]]) -> list[tuple[str, int]]:
    total: Counter[str] = Counter()
    for minute in minutes:
        total.update(minute["counts"])
    return total.most_common()


def _clock(seconds: float) -> str:
    if not seconds:
        return "—"
    return time.strftime("%H:%M:%S", time.gmtime(seconds + 8 * 3600))


async def _counts(console: Console) -> dict[str, int]:
    try:
        return await queries.counts(console.database)
    except DatabaseAway:
        return {}


def _member_lines(console: Console, snapshot: Snapshot) -> list[dict[str, Any]]:
    """One line per member: its lane, the breaker, the last delivery, its part of the ledger."""
    lines = []
    ids = dict.fromkeys([*console.directory.served, *(snapshot.report.members if snapshot.report else ())])
    for id_ in ids:
        lanes = [
            lane
            for (role, name), lane in snapshot.lanes.items()
            if name.rpartition("-")[0] == f"deliver.{id_}"
        ]
        member = console.directory.members.get(id_)
        states = [snapshot.lane_state(lane) for lane in lanes]
        last = max((lane.last_delivery_ms for lane in lanes), default=0)
        lines.append(
            {
                "id": id_,
                "kind": member.kind.value if member else "",
                "state": next((state for state in states if state != "open"), "open") if states else "none",
                "reason": "；".join(lane.reason for lane in lanes if lane.reason),
                "breaker": next((lane.breaker for lane in lanes if lane.breaker not in ("", "closed")), ""),
                "suspended": any(lane.suspended for lane in lanes),
                "holds": sum(lane.holds for lane in lanes),
                "last": _clock(last / 1_000),
                "ledger": snapshot.report.members.get(id_) if snapshot.report else None,
            }
        )
    return lines


def _own_lanes(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The lanes that belong to no member: routing, and whatever else is no delivery."""
    return [
        {"role": role, "lane": name, "worker": lane.worker, "state": snapshot.lane_state(lane)}
        | {"done": lane.done, "reopened": lane.reopened, "reason": lane.reason}
        for (role, name), lane in sorted(snapshot.lanes.items())
        if role != "delivery"
    ]


async def _minutes(console: Console) -> list[dict[str, Any]]:
    """Cases per department per minute from the views role; [] when it does not answer."""
    if not console.settings.views_url:
        return []
    timeout = aiohttp.ClientTimeout(total=VIEW_TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as http,
            http.get(console.settings.views_url + "/views/cases-per-minute") as response,
        ):
            document = json.loads(await response.content.read(VIEW_BYTES_MAX))
        minutes: list[dict[str, Any]] = document["minutes"]
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError):
        return []  # the chart says that it has no data; the page does not depend on it
    top = max((sum(minute["counts"].values()) for minute in minutes), default=0)
    return [
        {
            "clock": _clock(minute["start"] / 1_000)[:5],
            "total": sum(minute["counts"].values()),
            "height": round(100 * sum(minute["counts"].values()) / top) if top else 0,
            "counts": minute["counts"],
        }
        for minute in minutes
    ]


@get("/cases")
async def cases(request: AnyRequest) -> Response[str]:
    """Search by case number; the latest cases without one."""
    session = await signed_in(request)
    number = request.query_params.get("q", "").strip()[:NUMBER_LENGTH_MAX]
    try:
        found = await queries.find_cases(console_of(request).database, number)
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    return await page(request, "cases.html", session, found=found, q=number)


@get("/cases/{number:str}")
async def timeline(request: AnyRequest) -> Response[str]:
    """A case through every system, identifiers masked."""
    session = await signed_in(request)
    return await _timeline(request, session, _number(request), masked=True)


@post("/cases/{number:str}/unmask", status_code=200)
async def unmask(request: AnyRequest) -> Response[str]:
    """The same with full identifiers, for a reason that is recorded first (R26)."""
    session = await signed_in(request, Role.OPERATOR, Role.APPROVER)
    number = _number(request)
    form = await form_of(request, session)
    reason = form.get("reason", "").strip()
    if not REASON_LENGTH_MIN <= len(reason) <= REASON_LENGTH_MAX:
        raise Forbidden(
            f"请填写理由（{REASON_LENGTH_MIN} 至 {REASON_LENGTH_MAX} 字）/ a reason is needed "
            f"({REASON_LENGTH_MIN} to {REASON_LENGTH_MAX} characters)"
        )
    address = request.client.host if request.client else ""
    try:
        await console_of(request).accounts.note(session.name, "unmask", number, reason, address)
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    return await _timeline(request, session, number, masked=False)


def _number(request: AnyRequest) -> str:
    return str(request.path_params["number"])[:NUMBER_LENGTH_MAX]


async def _timeline(request: AnyRequest, session: Any, number: str, *, masked: bool) -> Response[str]:
    try:
        case, messages, dispatches = await queries.case(console_of(request).database, number)
        notices = await queries.notices(console_of(request).database, number)
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    by_message: dict[str, list[Any]] = {}
    for dispatch in dispatches:
        by_message.setdefault(dispatch["message_id"], []).append(dispatch)
    chinese = is_chinese(request)
    entries = []
    for row in messages:
        body = json.loads(row["body"]) if row["body"] else {}
        shown = masked_body(body) if masked else {k: v for k, v in body.items() if k not in describe.OPAQUE}
        entries.append(
            {
                "row": row,
                "dispatches": by_message.get(row["id"], []),
                "lines": describe.body_lines(row["type"], shown, chinese),
                "refusal": shown if row["type"] == "case.refusal" else None,
            }
        )
    missing = not messages and case is None
    return await page(
        request,
        "case.html",
        session,
        status=404 if missing else 200,
        number=number,
        case=case,
        entries=entries,
        notices=notices,
        unmasked=not masked,
        may_unmask=session.may(Role.OPERATOR, Role.APPROVER),
        item=console_of(request).directory.items.get(case["item"]) if case else None,
        region=console_of(request).directory.regions.get(case["region"]) if case else None,
    )


@get("/standing/{kind:str}")
async def standing(request: AnyRequest) -> Response[str]:
    """What stands still: parked, held or in doubt, with the reason and what queues behind."""
    session = await signed_in(request)
    database = console_of(request).database
    asked = request.path_params["kind"]
    kind = asked if asked in KINDS else KINDS[0]
    messages: list[Any] = []
    heads: list[Any] = []
    behind: dict[str, list[Any]] = {}
    try:
        if kind in ("parked", "held"):
            messages = await queries.standing_messages(database, kind)
        if kind != "held":
            heads, behind = await queries.standing_dispatches(database, kind)
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    return await page(
        request,
        "standing.html",
        session,
        kind=kind,
        kinds=KINDS,
        messages=messages,
        heads=heads,
        behind=behind,
        may=session.may(Role.OPERATOR),
    )


@get("/audit")
async def audit(request: AnyRequest) -> Response[str]:
    """Who did what, when and why; for auditors."""
    session = await signed_in(request, Role.AUDITOR)
    try:
        acts = await queries.audit_trail(console_of(request).database)
    except DatabaseAway:
        return await page(request, "away.html", session, status=503)
    chinese = is_chinese(request)
    names = {act: pair[0 if chinese else 1] for act, pair in ACTS.items()}
    return await page(request, "audit.html", session, acts=acts, names=names)
