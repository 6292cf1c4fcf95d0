"""The command line's side of acts on many cases (R27): the same acts, accounts and audit trail as the
console's, so either can propose what the other approves. The acts themselves are in hub/console/acts.py."""

import contextlib
import getpass
import socket
from collections.abc import AsyncIterator
from typing import Final

import click
import msgspec

from hub.cli_running import run
from hub.config import Settings
from hub.console.accounts import Accounts, Role
from hub.console.acts import Act, Acts
from hub.console.database import Database, DatabaseAway
from hub.console.queries import ACT_CASES_MAX
from hub.directory.model import Member
from hub.errors import HubError
from hub.repair import NotAllowed, Standstill

_STATES: Final = {
    "waits": "待复核 / waits for a second person",
    "countersign": "已执行，24 小时内补签 / done, to be countersigned within 24 h",
    "overdue": "逾期未补签 / countersignature overdue",
    "done": "已执行 / done",
}
ACCOUNT: Final = click.option("--account", required=True, help="控制台账号，口令另问 / console account")


class Person(msgspec.Struct, frozen=True):
    """Who acts, as the console knows the person."""

    name: str
    password: str

    @classmethod
    def ask(cls, name: str) -> "Person":
        """Asks for the password: it must stand neither in a command nor in a shell's history."""
        return cls(name, click.prompt(f"{name} 的口令 / password", hide_input=True, err=True))


async def propose(
    settings: Settings,
    person: Person,
    member: Member,
    code: str,
    chosen: list[Standstill],
    reason: str,
    *,
    alone: bool,
) -> Act:
    """Record a bulk redrive, and carry it out when one person may do it alone. Raises NotAllowed,
    BrokerAway, HubError when it cannot be recorded: then nothing is done."""
    if len(chosen) > ACT_CASES_MAX:
        raise NotAllowed(
            f"一次至多 / at most {ACT_CASES_MAX} 件：用 --code 分批 / narrow it down with --code"
        )
    async with _signed_in(settings, person, Role.OPERATOR) as (accounts, acts):
        words = f"{member.id} {code} ×{len(chosen)}"
        await _note(accounts, person.name, "bulk_alone" if alone else "bulk_propose", words, reason)
        return await acts.propose(
            *(member.id, code, chosen, person.name, reason, member.delivery.guarantee), alone=alone
        )


async def second(settings: Settings, person: Person, id_: str) -> Act:
    """The second person approves, or countersigns what was done alone. Raises NotAllowed, BrokerAway,
    HubError."""
    async with _signed_in(settings, person, Role.APPROVER) as (accounts, acts):
        act = await acts.get(id_)
        note = "bulk_countersign" if act is not None and act.alone else "bulk_approve"
        await _note(accounts, person.name, note, id_, act.reason if act else "")
        return await acts.second(id_, person.name)


async def _note(accounts: Accounts, name: str, act: str, object_: str, reason: str = "") -> None:
    await accounts.note(name, act, object_, reason, f"cli {getpass.getuser()}@{socket.gethostname()}")


@contextlib.asynccontextmanager
async def _acts(settings: Settings) -> AsyncIterator[tuple[Accounts, Acts]]:
    if not settings.database_url:
        raise HubError("缺少环境变量 / missing environment variable: HUB_DATABASE_URL")
    database = Database(settings.database_url)
    try:
        yield Accounts(database), Acts(database, settings)
    except (DatabaseAway, OSError) as error:
        raise HubError("数据库不可用，未记录，未执行 / database away: not recorded, not done") from error
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def _signed_in(settings: Settings, person: Person, role: Role) -> AsyncIterator[tuple[Accounts, Acts]]:
    async with _acts(settings) as (accounts, acts):
        found = await accounts.log_in(person.name, person.password, "")
        if found is None:
            await _note(accounts, person.name, "log_in_failed", "")
            raise NotAllowed("账号或口令不正确 / wrong name or password")
        if role not in found[0]:
            raise NotAllowed(f"账号 {person.name} 没有角色 {role} / the account has not the role {role}")
        yield accounts, acts


def line(act: Act) -> str:
    """One act in one line."""
    return (
        f"{act.id}  {act.at:%Y-%m-%dT%H:%M:%SZ}  {act.member} {act.code or '*'} ×{len(act.items)}  "
        f"{act.person}: {act.reason}  {act.second or '-'}  {_STATES[act.state]}"
    )


@click.group()
def bulk() -> None:
    """批量重投：列出、复核、补签 / bulk redrives: list, approve, countersign."""


@bulk.command("list")
def list_() -> None:
    """最近的批量操作，新的在前 / the latest acts on many cases, the newest first."""

    async def work(settings: Settings) -> list[Act]:
        async with _acts(settings) as (_, acts):
            return await acts.latest()

    for act in run(work):
        click.echo(line(act))


@bulk.command("approve")
@click.argument("act")
@ACCOUNT
def approve(act: str, account: str) -> None:
    """复核并执行他人提请的，或补签单人执行的 / approve and do what another proposed, or countersign."""
    person = Person.ask(account)
    click.echo(line(run(lambda settings: second(settings, person, act))))
