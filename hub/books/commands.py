"""`govhub books`: close and verify, as a person at a terminal sees them."""

import time
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from hub.books.close import close_books, when
from hub.books.closing import Closing, judge, last_closed, read_chain, trust_of
from hub.books.trim import carry_out, prepare
from hub.config import Settings, SettingsError
from hub.evidence.role import open_signer
from signing.provider import SoftwareProvider


async def close_now(settings: Settings, width: int | None) -> bool:
    """Close the period up to now; needs the evidence key. True when nothing is lost, doubled or unexplained:
    what is on its way goes into the next period."""
    try:
        signer = await open_signer(settings)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    try:
        closing = await close_books(settings, signer)
    finally:
        await signer.stamper.close()
    Console(width=width).print(table(closing))
    click.echo(line(closing))
    return is_sound(closing)


async def verify_chain(settings: Settings) -> bool:
    """Judge every closing and the last one's checkpoint. Raises BooksTampered."""
    trust = trust_of(settings)
    closings, findings = judge(await read_chain(settings), SoftwareProvider(), trust, now=datetime.now(UTC))
    for closing in closings:
        click.echo(line(closing))
    for finding in findings:
        click.echo(f"不成立 / FAILS closing {finding.number}: {finding.zh} / {finding.en}")
    if trust is None:
        click.echo("没有信任根（HUB_EVIDENCE_DIR），未核签名者 / no anchors: who signed was not checked")
    if not findings and closings:
        await last_closed(settings, SoftwareProvider(), trust)
    verdict = "yes" if closings and not findings else "no"
    click.echo(f"closings: {len(closings)} failed={len(findings)} ok={verdict}")
    return verdict == "yes"


async def trim_topics(settings: Settings, keep_days: int, really: bool, width: int | None) -> None:
    """Show what may go and what keeps the rest; delete it when `really`. Raises CannotTrim."""
    cuts = await prepare(settings, keep_days, int(time.time() * 1000))
    made = Table(title="可清理的记录 / what may go")
    for name in ("主题 topic", "起 start", "至 before", "条 records", "其后因此保留 the rest is kept by"):
        made.add_column(name)
    for cut in cuts:
        place = f"{cut.topic}-{cut.partition}"
        made.add_row(place, str(cut.start), str(cut.before), str(cut.records), cut.held_by)
    Console(width=width).print(made)
    if really:
        await carry_out(settings, cuts)
    done = "已删除 / deleted" if really else "未删除，加 --apply 执行 / nothing was deleted; --apply does"
    click.echo(f"trim: records={sum(cut.records for cut in cuts)} {done}")


def is_sound(closing: Closing) -> bool:
    """Whether every id is accounted for; one in flight is."""
    return not closing.problems and not _lost(closing)


def _lost(closing: Closing) -> int:
    return closing.messages.lost + sum(totals.lost for totals in closing.dispatches.values())


def line(closing: Closing) -> str:
    """One closing in one line. open: dispatches that are not finished, those in flight among them."""
    unfinished = sum(movement.closing for movement in closing.movements.values())
    totals = closing.dispatches.values()
    in_flight = closing.messages.in_flight + sum(one.in_flight for one in totals)
    return (
        f"closing {closing.number} {when(closing)} messages={closing.messages.accepted} "
        f"dispatches={sum(one.dispatches for one in totals)} open={unfinished} in_flight={in_flight} "
        f"lost={_lost(closing)} problems={closing.problems} sound={'yes' if is_sound(closing) else 'no'}"
    )


def table(closing: Closing) -> Table:
    """The period per member."""
    made = Table(title=f"第 {closing.number} 次结账 / closing {closing.number}, {when(closing)}")
    made.add_column("成员 member")
    for name in ("期初 opening", "新增 listed", "办结 finished", "期末 closing"):
        made.add_column(name, justify="right")
    for member, movement in closing.movements.items():
        values = (movement.opening, movement.listed, movement.finished, movement.closing)
        made.add_row(member, *(str(value) for value in values))
    return made
