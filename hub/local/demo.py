"""`govhub demo`: real servers, real processes, real cases; ends with a table per member and the two ledgers,
by id."""

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
from rich.console import Console
from rich.live import Live
from rich.table import Table

from hub import ids
from hub.books.model import Report
from hub.books.reconcile import reconcile
from hub.books.regions import Crossing, balanced, crossing, together_line
from hub.books.render import last_lines, member_table
from hub.evidence.commands import summary
from hub.local.cluster import SHOWN_ROLES, DataDirectory, LocalHub, pages
from hub.local.evidence import prove_one
from hub.local.notices import notices_made
from hub.local.two_hubs import two_hubs
from hub.supervisor import orderly_termination

_QUIET_S_MAX: Final = 90.0
_LOOK_S: Final = 1.0
_BATCH: Final = 200
_CHANGES: Final = "changes"


class _Kill(NamedTuple):
    """Which process dies: hub (index), role, after so many effects per case."""

    hub: int
    role: str
    per_case: int


# A case has about 16 effects at its members: one role dies at a third of them, the other at half.
_KILL_AT: Final = (_Kill(0, "router", 5), _Kill(0, "delivery", 8))
_KILL_AT_REGIONS: Final = (
    _Kill(0, "bridge", 3),
    _Kill(0, "router", 5),
    _Kill(1, "bridge", 7),
    _Kill(1, "delivery", 9),
)


def run(cases: int, kill: bool, keep: bool, regions: int, base: Path) -> int:
    """Exit code 0 only when the books balance, with two regions those of each and what crossed."""
    console = Console(width=None if sys.stdout.isatty() else 110)
    data = DataDirectory(base if regions == 1 else base.with_name(f"{base.name}-regions"))
    if data.recovered:
        console.print(f"恢复上次未完成的运行 / recovering the run left in {data.path}")
    began = time.monotonic()
    with orderly_termination(), _one_hub(data) if regions == 1 else two_hubs(data) as hubs:
        console.print(
            "Kafka 与 PostgreSQL 已启动，正在建立主题与目录 / servers are up, applying topics and directory"
        )
        for hub in hubs:
            hub.provision()
        for hub in hubs:
            hub.start()
            for name, address in pages(hub):
                console.print(f"{hub.settings.region} {name}: {address}".lstrip())
            console.print(f"控制台账号 / console login: admin {hub.secrets.admin_password}")
        console.print(f"就绪用时 / ready after {time.monotonic() - began:.1f} s")
        demo = _Demo(hubs, console, cases, kill)
        reports = asyncio.run(demo.run())
        crossings = asyncio.run(_crossings(hubs))
        for report in reports.values():
            console.print(member_table(report))
        if regions == 1:
            _tell_notices(hubs[0], console)
        # The first hub takes part in every case.
        proven = _prove(hubs[0], console, demo.submitted_cases, data.path)
        if keep:
            _keep(console)
    even = balanced(reports, crossings)
    if even and not keep:
        data.remove()
    # Plain print: these lines are read by programs and must not be wrapped.
    for region, report in reports.items():
        for line in last_lines(report):
            print(f"{region} {line}".lstrip(), flush=True)
    if crossings:
        print(together_line(reports, crossings), flush=True)
    return 0 if even and proven else 1


@contextlib.contextmanager
def _one_hub(data: DataDirectory) -> Iterator[list[LocalHub]]:
    with LocalHub(data, roles=SHOWN_ROLES) as hub:
        yield [hub]


def _tell_notices(hub: LocalHub, console: Console) -> None:
    """They are made beside the exchange and give way to it; at the end the rest is waited for a little."""
    console.print("等待通知书制作 / waiting for the notices")
    made = asyncio.run(notices_made(hub.settings))
    rest = (
        f"，还有 {made.unread} 个事件未及处理 / {made.unread} events not come to yet" if made.unread else ""
    )
    console.print(f"已制作通知书 / notices made (OFD, PDF): {made.notices}{rest}")


async def _crossings(hubs: Sequence[LocalHub]) -> list[Crossing]:
    """Every direction between two of them."""
    return [await crossing(a.settings, b.settings) for a, b in itertools.permutations(hubs, 2)]


def _prove(hub: LocalHub, console: Console, cases: list[str], base: Path) -> bool:
    """One case's evidence, judged by its file and the anchors alone; both stay when the hub is gone."""
    name = "-".join(part for part in (base.name, hub.settings.region, "evidence") if part)
    shown = asyncio.run(prove_one(hub.settings, cases, base.with_name(name)))
    if shown is None:
        console.print("没有可导出的证据 / there is no evidence to export")
        return False
    console.print(f"证据文件 / evidence file: {shown.file}")
    console.print(f"govhub evidence verify {shown.file} --anchors {shown.anchors}", soft_wrap=True)
    print(summary(shown.report), flush=True)
    return shown.report.ok


def _keep(console: Console) -> None:
    console.print("按 Ctrl-C 结束 / running until Ctrl-C")
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("正在停止 / stopping")


class _Demo:
    """One run: hand the cases to their members, watch until everything is quiet, reconcile."""

    def __init__(self, hubs: Sequence[LocalHub], console: Console, cases: int, kill: bool) -> None:
        self._hubs = hubs
        self._console = console
        self._cases = cases
        self._to_kill = list(_KILL_AT if len(hubs) == 1 else _KILL_AT_REGIONS) if kill else []
        self._submitted = 0
        self.submitted_cases: list[str] = []

    async def run(self) -> dict[str, Report]:
        """Region -> its report; one hub alone has the region ""."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
            submitting = asyncio.create_task(self._submit(http))
            began = time.monotonic()
            reports = await self._watch(http, submitting)
            await submitting
            seconds = time.monotonic() - began
            self._console.print(
                f"{self._submitted} 件办件，{seconds:.0f} 秒 / {self._submitted} cases in {seconds:.0f} s"
            )
            return reports

    async def _submit(self, http: aiohttp.ClientSession) -> None:
        from examples.generate import cases as generated
        from stubs.cases import load
        from stubs.driver import submit

        root = Path(__file__).parents[2] / "examples"
        cases = list(generated(self._cases)) if self._cases else load(root / "cases")
        urls = {member: url for hub in self._hubs for member, url in hub.books.items()}
        for start in range(0, len(cases), _BATCH):
            part = cases[start : start + _BATCH]
            await submit(http, part, urls)
            self._submitted += len(part)
            # Changes of the credit library are streams about subjects; nothing is handed over in a case.
            self.submitted_cases += [
                ids.case_number(one.member, "", one.case_ref) for one in part if one.path != _CHANGES
            ]

    def _kill_half_way(self, effects: int) -> None:
        """SIGKILL one process after the other while they work; the supervisor starts successors."""
        while self._to_kill and self._submitted and effects >= self._to_kill[0].per_case * self._submitted:
            one = self._to_kill.pop(0)
            hub = self._hubs[one.hub]
            assert hub.supervisor is not None
            pid = hub.supervisor.kill(one.role, signal.SIGKILL)
            self._console.print(
                f"[red]SIGKILL[/red] {hub.settings.region} {one.role} (pid {pid}), "
                f"{effects} 次送达后 / after {effects} effects"
            )

    async def _watch(
        self, http: aiohttp.ClientSession, submitting: "asyncio.Task[None]"
    ) -> dict[str, Report]:
        """Until every member is quiet and nothing is in flight, or nothing moved for a long time."""
        stubs = [(hub, stub) for hub in self._hubs for stub in hub.stubs]
        moved_at, before = time.monotonic(), ""
        with Live(console=self._console, refresh_per_second=4, transient=True) as live:
            while True:
                await asyncio.sleep(_LOOK_S)
                stats = [await _get(http, f"{hub.urls[stub]}/stats") for hub, stub in stubs]
                idle = [await _get(http, f"{hub.urls[stub]}/control/idle") for hub, stub in stubs]
                live.update(self._progress([stub for _, stub in stubs], stats, idle))
                self._kill_half_way(sum(int(answer.get("effects", 0)) for answer in stats))
                now = repr((stats, idle, self._submitted))
                if now != before:
                    moved_at, before = time.monotonic(), now
                waiting = sum(sum(answer.values()) if answer else 1 for answer in idle)
                stuck = time.monotonic() - moved_at > _QUIET_S_MAX
                if submitting.done():
                    submitting.result()
                if submitting.done() and (waiting == 0 or stuck):
                    reports = {
                        hub.settings.region: await reconcile(hub.settings, full=True, member_books=hub.books)
                        for hub in self._hubs
                    }
                    if stuck or not any(_under_way(report) for report in reports.values()):
                        return reports

    def _progress(self, names: list[str], stats: list[Any], idle: list[Any]) -> Table:
        table = Table(title=f"已提交 / submitted {self._submitted}")
        table.add_column("成员 / member")
        table.add_column("已收 / received", justify="right")
        table.add_column("待发 / to send", justify="right")
        for name, answer, pending in zip(names, stats, idle, strict=True):
            table.add_row(
                name, str(answer.get("effects", "-")), str(sum(pending.values()) if pending else "-")
            )
        states = [state for hub in self._hubs if hub.supervisor for state in hub.supervisor.states()]
        table.caption = "  ".join(f"{state.name} ×{state.restarts}" for state in states if state.restarts)
        return table


def _under_way(report: Report) -> bool:
    return bool(report.messages.in_flight or report.messages.held or report.dispatches.in_flight)


async def _get(http: aiohttp.ClientSession, url: str) -> Any:
    try:
        async with http.get(url) as response:
            return await response.json()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return {}


def data_base() -> Path:
    """Where demonstrations keep their data: HUB_DATA_DIR or ./data."""
    return Path(os.environ.get("HUB_DATA_DIR", "data"))
