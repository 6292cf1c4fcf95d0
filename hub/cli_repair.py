"""The command line for what stands still: list, redrive, settle, skip, release, suspend, resume. Names,
options and exit codes; the acts themselves are in hub/repair.py.

At a member every command only shows what it would do, until --yes is given.
"""

import getpass
from pathlib import Path
from typing import Final

import click
import msgspec

from hub import cli_bulk, directory
from hub.cli_running import run
from hub.config import Settings
from hub.delivery.commands import Command, Verb
from hub.delivery.model import Outcome
from hub.errors import HubError
from hub.repair import NotAllowed, Standstill, act_id, standstills, write_commands
from hub.router.orders import redrive_case
from signing.digest import sm3_hex

FILE_BYTES_MAX: Final = 8 << 20
_MEMBER: Final = click.option("--member", required=True, help="成员 / member")
_REASON: Final = click.option("--reason", required=True, help="原因，记入台账 / why; recorded")
_YES: Final = click.option("--yes", is_flag=True, help="真的执行；不加则只显示 / do it; without, only show")
_OUTCOMES: Final[dict[str, Outcome]] = {
    "redrive": Outcome.PARKED,
    "release": Outcome.REFUSED,
}


def add_to(group: click.Group) -> None:
    """Put these commands beside the others of `govhub`."""
    for command in (held, redrive, settle, skip, release, suspend, resume, cli_bulk.bulk):
        group.add_command(command)


@click.command()
@click.argument("member")
def held(member: str) -> None:
    """列出停在一个成员处的办件 / what stands still at a member, from its lane's own log."""

    async def work(settings: Settings) -> None:
        for one in await standstills(settings, member):
            click.echo(_line(one))

    run(work)


def _line(one: Standstill) -> str:
    return (
        f"{one.case_no}  {one.outcome}  {one.code}  attempts={one.attempts} behind={one.behind}  "
        f"{one.dispatch}  {one.detail[:80]}"
    )


@click.command()
@click.argument("number", required=False)
@click.option("--member", default="", help="停在此成员处的 / what stands still at this member")
@click.option("--code", default="", help="只取此原因代码 / only of this reason code")
@click.option("--account", default="", help="多件时：控制台账号 / for several: console account")
@click.option(
    "--alone", is_flag=True, help="多件时：单人执行，24 小时内补签 / alone, countersigned within 24 h"
)
@_REASON
@_YES
def redrive(
    number: str | None, member: str, code: str, account: str, alone: bool, reason: str, yes: bool
) -> None:
    """重投停放的办件：同序、同号 / a parked case again, in order, under its ids.

    不写 --member：停在路由处的一件。写 --member：停在该成员处的一件，或不写编号即全部。
    Without --member a case parked in the router; with it one case at that member, or all of them.

    多件须以控制台账号提请（--account），由另一人复核后执行，同控制台的批量（R27）。
    Several are proposed under a console account and done when another person approves, as on the console.
    """
    if member:
        person = cli_bulk.Person.ask(account) if account and yes else None
        _act("redrive", member, number, reason, yes, code=code, person=person, alone=alone)
    elif number is None:
        raise click.UsageError("NUMBER | --member …")
    else:
        run(lambda settings: redrive_case(settings, number, getpass.getuser(), reason))
        click.echo(f"已提交重投 / redrive handed to the router: {number}")


@click.command()
@click.argument("number", required=False)
@_MEMBER
@click.option(
    "--as", "settled", type=click.Choice(["delivered", "not_delivered"]), help="查明的结果 / the finding"
)
@click.option(
    "--from",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="成员实际持有的派发编号清单，一行一个 / the member's own list of dispatch ids, one a line",
)
@click.option("--evidence", default="", help="依据 / what it rests on")
@_REASON
@_YES
def settle(
    number: str | None,
    member: str,
    settled: str | None,
    file: Path | None,
    evidence: str,
    reason: str,
    yes: bool,
) -> None:
    """了结存疑：一件，或按成员清单（清单上的即已送达）/ settle doubts: one case, or by the member's list."""
    if (number is None) == (file is None) or (number is not None and settled is None):
        raise click.UsageError("NUMBER --as … | --from FILE")
    listed: frozenset[str] | None = None
    if file is not None:
        raw = file.read_bytes()[: FILE_BYTES_MAX + 1]
        if len(raw) > FILE_BYTES_MAX:
            raise click.ClickException(f"清单超过上限 / the list is over {FILE_BYTES_MAX} bytes")
        listed = frozenset(line.strip() for line in raw.decode("utf-8-sig", "replace").splitlines())
        settled, evidence = "delivered", f"sm3:{sm3_hex(raw)} {evidence}".strip()
    _act("settle", member, number, reason, yes, settled=settled or "", evidence=evidence, listed=listed)


@click.command()
@click.argument("number")
@_MEMBER
@_REASON
@_YES
def skip(number: str, member: str, reason: str, yes: bool) -> None:
    """放弃一条派发，其后的继续 / give one dispatch up; what waits behind it goes on."""
    _act("skip", member, number, reason, yes)


@click.command()
@click.argument("number")
@_MEMBER
@_REASON
@_YES
def release(number: str, member: str, reason: str, yes: bool) -> None:
    """放行排在被拒派发之后的 / let go on what waits behind a refusal."""
    _act("release", member, number, reason, yes)


@click.command()
@click.argument("member")
@_REASON
def suspend(member: str, reason: str) -> None:
    """暂停向一个成员投递 / call this member no more, until resumed."""
    _whole("suspend", member, reason)


@click.command()
@click.argument("member")
@_REASON
def resume(member: str, reason: str) -> None:
    """恢复向一个成员投递 / call this member again."""
    _whole("resume", member, reason)


def _whole(verb: Verb, member: str, reason: str) -> None:
    command = Command(command=verb, by=getpass.getuser(), reason=reason)

    async def work(settings: Settings) -> None:
        _known(settings, member)
        await write_commands(settings, member, [(member, command)])

    run(work)
    click.echo(f"已提交 / handed to the lane: {verb} {member}")


def _known(settings: Settings, member: str) -> directory.Member:
    found = directory.load(settings.directory_dir, region=settings.region).served.get(member)
    if found is None:
        raise HubError(f"目录中没有成员 {member} / the directory has no member {member}")
    return found


def _act(
    verb: Verb,
    member: str,
    number: str | None,
    reason: str,
    yes: bool,
    *,
    code: str = "",
    settled: str = "",
    evidence: str = "",
    listed: frozenset[str] | None = None,
    person: cli_bulk.Person | None = None,
    alone: bool = False,
) -> None:
    plain = Command(command=verb, by=getpass.getuser(), reason=reason)
    command = msgspec.convert(
        {**msgspec.to_builtins(plain), "settled": settled, "evidence": evidence}, type=Command
    )

    def fits(one: Standstill) -> bool:
        wanted = _OUTCOMES.get(verb)
        return (
            (number is None or one.case_no == number)
            and (not code or one.code == code)
            and (wanted is None or one.outcome is wanted)
            and (listed is None or (one.outcome is Outcome.IN_DOUBT and one.dispatch in listed))
        )

    async def work(settings: Settings) -> int:
        known = _known(settings, member)
        chosen = [one for one in await standstills(settings, member) if fits(one)]
        for one in chosen:
            click.echo(_line(one))
        if verb == "redrive" and len(chosen) > 1:
            if yes and person is None:
                raise NotAllowed(
                    "多件重投须以控制台账号提请：--account，由另一人复核（R27）/ "
                    "several cases are proposed under a console account: --account NAME; another approves"
                )
            if person is not None:
                act = await cli_bulk.propose(settings, person, known, code, chosen, reason, alone=alone)
                click.echo(cli_bulk.line(act))
            return len(chosen)
        bulk = act_id(member, command, chosen) if len(chosen) > 1 else ""
        if yes and chosen:
            named = msgspec.structs.replace(command, act=bulk)
            await write_commands(settings, member, [(one.case_no, one.command(named)) for one in chosen])
        return len(chosen)

    count = run(work)
    if person is not None and count > 1:
        return
    done = "已提交 / handed to the lane" if yes else "试算，加 --yes 执行 / dry run, --yes does it"
    click.echo(f"{verb} {member}: {count} · {done}")
    if not count:
        raise SystemExit(1)
