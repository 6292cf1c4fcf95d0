"""Acts on many cases and their second person (R27): proposed, approved, countersigned; kept in the console's
own table. No HTML lives here.

What is recorded first is sent afterwards; sending it again is safe: each command names its standstill.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from hub.config import Settings
from hub.console.database import Database
from hub.delivery.commands import Command
from hub.delivery.model import Outcome
from hub.directory.model import Guarantee
from hub.repair import NotAllowed, Standstill, act_id, check_alone, write_commands

COUNTERSIGN_WITHIN: Final = timedelta(hours=24)
ACTS_SHOWN_MAX: Final = 100


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One bulk redrive. state: waits (for the second person), countersign, overdue, done."""

    id: str
    at: datetime
    member: str
    code: str
    items: tuple[Standstill, ...]
    person: str
    reason: str
    alone: bool
    second: str
    done: bool

    @property
    def state(self) -> str:
        if self.second:
            return "done" if self.done else "waits"
        if not self.alone:
            return "waits"
        return "overdue" if datetime.now(UTC) - self.at > COUNTERSIGN_WITHIN else "countersign"


class Acts:
    """The acts in PostgreSQL."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def latest(self) -> list[Act]:
        """The newest first. Raises DatabaseAway."""
        rows = await self._database.fetch(
            "SELECT *, items::text AS listed FROM console_acts ORDER BY at DESC LIMIT $1", ACTS_SHOWN_MAX
        )
        return [_act(row) for row in rows]

    async def get(self, id_: str) -> Act | None:
        """Raises DatabaseAway."""
        row = await self._database.row("SELECT *, items::text AS listed FROM console_acts WHERE id = $1", id_)
        return _act(row) if row else None

    async def propose(
        self,
        member: str,
        code: str,
        chosen: list[Standstill],
        person: str,
        reason: str,
        guarantee: Guarantee,
        *,
        alone: bool,
    ) -> Act:
        """Record a bulk redrive; one that a person may do alone is carried out at once. The same proposed
        twice is one act. Raises NotAllowed, DatabaseAway, BrokerAway."""
        if alone:
            check_alone(self._settings, guarantee, len(chosen))
        id_ = act_id(member, Command(command="redrive", by=person, reason=reason), chosen)
        await self._database.execute(
            "INSERT INTO console_acts (id, member, code, items, person, reason, alone)"
            " VALUES ($1,$2,$3,$4::jsonb,$5,$6,$7) ON CONFLICT DO NOTHING",
            id_,
            member,
            code,
            msgspec.json.encode(chosen).decode(),
            person,
            reason,
            alone,
        )
        act = await self._known(id_)
        return await self._carry_out(act) if act.alone and not act.done else act

    async def second(self, id_: str, person: str) -> Act:
        """The second person approves (and it is carried out) or countersigns. Raises NotAllowed for the
        person who proposed it or an act that is not there."""
        act = await self.get(id_)
        if act is None:
            raise NotAllowed("没有这项操作 / there is no such act")
        if act.person == person:
            raise NotAllowed("提请人不能自己复核 / the person who proposed it cannot be the second")
        if not act.second:
            await self._database.execute(
                "UPDATE console_acts SET second = $2, second_at = now() WHERE id = $1 AND second = ''",
                id_,
                person,
            )
        act = await self._known(id_)
        return act if act.done else await self._carry_out(act)

    async def _known(self, id_: str) -> Act:
        act = await self.get(id_)
        assert act is not None
        return act

    async def _carry_out(self, act: Act) -> Act:
        """The act as it is then recorded."""
        command = Command(
            command="redrive", by=act.person, reason=act.reason, approved_by=act.second, act=act.id
        )
        orders = [(one.case_no, one.command(command)) for one in act.items]
        await write_commands(self._settings, act.member, orders)
        await self._database.execute("UPDATE console_acts SET done_at = now() WHERE id = $1", act.id)
        return await self._known(act.id)


def standstill_of(row: Any, member: str) -> Standstill:
    """A parked dispatch as the projector has it."""
    return Standstill(
        member=member,
        case_no=row["case_no"],
        dispatch=row["id"],
        attempts=row["attempts"],
        outcome=Outcome.PARKED,
    )


def _act(row: Any) -> Act:
    return Act(
        id=row["id"],
        at=row["at"],
        member=row["member"],
        code=row["code"],
        items=tuple(msgspec.json.decode(row["listed"], type=list[Standstill])),
        person=row["person"],
        reason=row["reason"],
        alone=row["alone"],
        second=row["second"],
        done=row["done_at"] is not None,
    )
