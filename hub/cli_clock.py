"""`govhub clock`: what stands by a clock that jumped, and the word of a person that the new time is right.
Names, options and exit codes; the work is in hub/clocks.py."""

import getpass

import click

from hub.cli_running import run
from hub.clocks import acknowledge as tell
from hub.clocks import jumped
from hub.config import Settings
from hub.status import LaneReport


@click.group()
def clock() -> None:
    """时钟跳变的处置 / a clock that jumped and stopped the timers of its process."""


@clock.command("show")
def show() -> None:
    """列出时钟跳变的进程与通道 / lanes whose process stopped its timers; exit 1 when there are any."""
    found = run(jumped)
    for one in found:
        click.echo(_line(one))
    click.echo(f"clock: jumped={len(found)}")
    raise SystemExit(1 if found else 0)


@clock.command("acknowledge")
@click.option("--lane", "lanes", multiple=True, help="只限此通道的进程 / only the process of this lane")
@click.option("--reason", required=True, help="原因，记入日志 / why; recorded")
def acknowledge(lanes: tuple[str, ...], reason: str) -> None:
    """确认新时间无误：定时恢复，过期的各触发一次 / the new time is right: timers go on, what is overdue fires
    once."""

    async def work(settings: Settings) -> list[LaneReport]:
        found = await jumped(settings, lanes)
        await tell(settings, found, getpass.getuser(), reason)
        return found

    found = run(work)
    for one in found:
        click.echo(_line(one))
    click.echo(f"已提交 / handed to the lanes: {len(found)}")
    raise SystemExit(0 if found else 1)


def _line(one: LaneReport) -> str:
    return f"{one.role}  {one.lane}  {one.worker or '-'}  {one.clock_jump_ms / 1000:+.1f} s"
