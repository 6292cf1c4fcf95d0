"""The command line `govhub`: what each command does is elsewhere; here are only names, options and exit
codes."""

import asyncio
import getpass
import os
import sys
from pathlib import Path
from typing import Any

import click

from hub import cli_repair
from hub.app import ROLES, configure_logs, run_role
from hub.cli_clock import clock
from hub.cli_notices import notices
from hub.cli_ofd import ofd
from hub.cli_seal import seal
from hub.config import Settings, SettingsError
from hub.errors import HubError

_STUBS = ("platform", "dept-a", "dept-b", "s08", "credit", "nation", "supervision")


def _settings() -> Settings:
    try:
        return Settings.from_env(os.environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def govhub() -> None:
    """政务服务办件交换枢纽 / exchange hub for government-service cases."""


@govhub.command()
@click.option(
    "--cases",
    type=click.IntRange(0, 1_000_000),
    default=0,
    help="办件数，0 = examples/cases / number of cases",
)
@click.option(
    "--kill",
    is_flag=True,
    help="中途 SIGKILL 路由与投递进程 / SIGKILL a router and a delivery process half-way",
)
@click.option("--keep", is_flag=True, help="结束后继续运行，直到 Ctrl-C / keep running until Ctrl-C")
@click.option(
    "--regions",
    type=click.IntRange(1, 2),
    default=1,
    help="区域数，2 = 两个集群、两个枢纽与之间的桥 / 2 = two clusters, two hubs and the bridges between",
)
def demo(cases: int, kill: bool, keep: bool, regions: int) -> None:
    """端到端演示，账平才返回 0 / the whole hub with simulated members; exit 0 only if the books balance."""
    from hub.local import demo as local

    sys.exit(local.run(cases, kill, keep, regions, local.data_base() / "demo"))


@govhub.command()
def up() -> None:
    """启动枢纽，不含模拟成员 / the hub without members."""
    from hub.local import demo as local
    from hub.local import up as running

    sys.exit(running.run(local.data_base() / "up"))


@govhub.command()
@click.argument("role", type=click.Choice(list(ROLES)))
def serve(role: str) -> None:
    """运行一个角色 / run one role in this process."""
    try:
        run_role(role, _settings())
    except HubError as error:
        raise click.ClickException(f"{type(error).__name__}: {error}") from error


@govhub.command()
@click.argument("system", type=click.Choice(_STUBS))
def stub(system: str) -> None:
    """运行一个模拟成员 / run one simulated member."""
    import stubs

    stubs.run(system)


@govhub.group()
def topics() -> None:
    """主题目录 / the topic catalogue."""


@topics.command("plan")
def topics_plan() -> None:
    """显示将要做的变更 / show what apply would do."""
    from hub.kafka import Admin
    from hub.provision import plan_topics
    from topics.plan import render

    async def work() -> None:
        settings = _settings()
        async with Admin(settings) as admin:
            click.echo(render(await plan_topics(settings, admin)))

    _run(work())


@topics.command("apply")
def topics_apply() -> None:
    """建立主题并发布目录 / create topics and publish the directory."""
    from hub.provision import provision
    from topics.plan import render

    async def work() -> None:
        done = await provision(_settings())
        click.echo(render(done.plan))
        click.echo(f"目录记录 / directory records written: {done.directory_records}")

    _run(work())


@govhub.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--member", required=True, help="发送方 / sending member")
def submit(file: Path, member: str) -> None:
    """签名并提交一个 JSON 文件 / sign and submit a JSON file as a member (keys from
    HUB_MEMBER_<ID>_INBOUND_KEY)."""
    from hub.client import submit_file

    _run(submit_file(_settings(), file, member))


@govhub.command("case")
@click.argument("number")
def case_(number: str) -> None:
    """显示一件办件的经过 / a case's timeline."""
    from hub.client import show_case

    _run(show_case(_settings(), number))


@govhub.group()
def bridge() -> None:
    """通往其他区域的桥 / the bridge to another region."""


@bridge.command("cursor")
@click.argument("input_", metavar="TOPIC-PARTITION")
@click.argument("offset", type=click.IntRange(0))
@click.option("--reason", required=True, help="原因，记入日志 / why; recorded")
def bridge_cursor(input_: str, offset: int, reason: str) -> None:
    """让停止的桥通道从此位置继续 / let a stopped bridge lane go on at this offset: what lies below is not
    copied, what lies above is."""
    from hub.bridge.repair import set_cursor
    from hub.bridge.role import find_ends

    async def work() -> None:
        mark = await set_cursor(await find_ends(_settings()), input_, offset, reason)
        click.echo(f"{input_}: {mark.next}  {mark.id}")

    _run(work())


@bridge.command("accept")
@click.argument("cluster", metavar="CLUSTER-ID")
@click.option("--reason", required=True, help="原因，记入日志 / why; recorded")
def bridge_accept(cluster: str, reason: str) -> None:
    """确认目标区域换了集群 / accept that the target region is this cluster now; then restart the bridge."""
    from hub.bridge.repair import accept_target
    from hub.bridge.role import find_ends

    async def work() -> None:
        await accept_target(await find_ends(_settings()), cluster, reason)
        click.echo(cluster)

    _run(work())


@govhub.command("reconcile")
@click.option("--full", is_flag=True, help="重读全部保留的记录 / re-read all that is retained")
@click.option("--book", "books", multiple=True, metavar="NAME=URL", help="成员账簿 / a member's own book")
def reconcile_(full: bool, books: tuple[str, ...]) -> None:
    """按编号对账 / balance both ledgers by id; exit 0 only if balanced."""
    from rich.console import Console

    from hub.books.reconcile import reconcile
    from hub.books.render import last_lines, member_table

    async def work() -> bool:
        report = await reconcile(
            _settings(), full=full, member_books=dict(book.split("=", 1) for book in books)
        )
        Console(width=None if sys.stdout.isatty() else 110).print(member_table(report))
        for line in last_lines(report):
            click.echo(line)
        return report.balanced

    sys.exit(0 if _run(work()) else 1)


@govhub.group()
def schemas() -> None:
    """合同 / the contracts."""


@schemas.command("export")
@click.argument("what", type=click.Choice(["openapi", "wsdl", "asyncapi", "jsonschema"]))
def schemas_export(what: str) -> None:
    """由合同导出 / derive from the contracts."""
    from hub.export import export

    click.echo(export(what))


@govhub.command()
@click.option("--apply", "carry_out", is_flag=True, help="真正删除 / really delete")
@click.option(
    "--keep-days",
    type=click.IntRange(0, 36_500),
    default=90,
    show_default=True,
    help="保留天数，以结账为准 / measured by the closing that is so old",
)
def trim(carry_out: bool, keep_days: int) -> None:
    """清理已办结、已读、已结账的记录 / take off the topics what is finished, read and closed; never anything
    unfinished."""
    from hub.books.commands import trim_topics

    _run(trim_topics(_settings(), keep_days, carry_out, None if sys.stdout.isatty() else 110))


@govhub.group()
def brake() -> None:
    """停放闸 / the park brake of the router lanes."""


@brake.command("release")
@click.argument("lane")
@click.option("--reason", required=True, help="原因，记入日志 / why; recorded")
def brake_release(lane: str, reason: str) -> None:
    """放开一条通道的停放闸，例如 case.inbound-3 / let a lane's park brake off, e.g. case.inbound-3."""
    from hub.router.orders import release_brake

    _run(release_brake(_settings(), lane, getpass.getuser(), reason))
    click.echo(f"已提交放闸 / release handed to the lane: {lane}")


@govhub.group()
def books() -> None:
    """账目的每日结转 / the daily closings of the books."""


@books.command("close")
def books_close() -> None:
    """立即结账并签名（需证据密钥） / close the period; needs the evidence key. Exit 0 unless something is
    lost, doubled or unexplained; what is in flight goes into the next period."""
    from hub.books.commands import close_now

    sys.exit(0 if _run(close_now(_settings(), None if sys.stdout.isatty() else 110)) else 1)


@books.command("verify")
def books_verify() -> None:
    """核对全部结账 / check the whole chain of closings; exit 0 only if it holds."""
    from hub.books.commands import verify_chain

    sys.exit(0 if _run(verify_chain(_settings())) else 1)


@govhub.group()
def evidence() -> None:
    """证据 / evidence that stands up without the hub."""


@evidence.command("keys")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", default="govhub", show_default=True, help="单位名称 / the hub's name in certificates")
@click.option("--member", "members", multiple=True, help="另为成员生成密钥 / also for a member that signs")
def evidence_keys(directory: Path, name: str, members: tuple[str, ...]) -> None:
    """为演示与封闭网络生成密钥（口令取自 HUB_EVIDENCE_PASSPHRASE） / make keys for demonstrations and closed
    networks (passphrase from HUB_EVIDENCE_PASSPHRASE)."""
    from hub.evidence.commands import new_keys

    new_keys(directory, os.environ.get("HUB_EVIDENCE_PASSPHRASE", "").encode(), name, members)


@evidence.command("export")
@click.argument("case")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="写入文件 / to a file")
def evidence_export(case: str, output: Path | None) -> None:
    """导出一件办件的证据，单个文件 / a case's evidence as one file."""
    from hub.evidence.commands import export_case

    _run(export_case(_settings(), case, output))


@evidence.command("verify")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--anchors",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="信任根证书目录 / directory of trust anchors",
)
@click.option("--json", "as_json", is_flag=True, help="机器可读 / for programs")
def evidence_verify(file: Path, anchors: Path, as_json: bool) -> None:
    """离线校验证据文件 / check an evidence file offline; exit 0 only if all it claims is proven."""
    from hub.evidence.commands import verify_file

    sys.exit(0 if verify_file(file, anchors, as_json) else 1)


govhub.add_command(clock)
govhub.add_command(notices)
govhub.add_command(ofd)
govhub.add_command(seal)


cli_repair.add_to(govhub)


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except HubError as error:
        raise click.ClickException(f"{type(error).__name__}: {error}") from error


def main() -> None:
    """Entry point. What a command logs goes to standard error; standard output is its answer."""
    configure_logs("WARNING")
    govhub()
