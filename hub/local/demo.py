"""`govhub demo`: real servers, real processes, real cases; ends with a table per member and the two ledgers,
by id."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
from rich.console import Console
from rich.live import Live
from rich.table import Table

from hub import ids
from hub.books.model import Report
from hub.books.reconcile import reconcile
from hub.books.render import last_lines, member_table
from hub.evidence.commands import summary
from hub.local.cluster import PLAYED_BY, STUBS, DataDirectory, LocalHub, pages
from hub.local.evidence import prove_one
from hub.supervisor import orderly_termination

_QUIET_S_MAX: Final = 90.0
_LOOK_S: Final = 1.0
_BATCH: Final = 200
# A case has about 16 effects at its members: one role dies at a third of them, the other at half.
_KILL_AT: Final = {"router": 5, "delivery": 8}


def run(cases: int, kill: bool, keep: bool, base: Path) -> int:
    """Exit code 0 only when the books balance."""
    console = Console(width=None if sys.stdout.isatty() else 110)
    data = DataDirectory(base)
    if data.recovered:
        console.print(f"恢复上次未完成的运行 / recovering the run left in {data.path}")
    began = time.monotonic()
    with orderly_termination(), LocalHub(data) as hub:
        console.print(
            "Kafka 与 PostgreSQL 已启动，正在建立主题与目录 / servers are up, applying topics and directory"
        )
        hub.provision()
        hub.start()
        for name, address in pages(hub):
            console.print(f"{name}: {address}")
        console.print(f"控制台账号 / console login: admin {hub.secrets.admin_password}")
        console.print(f"就绪用时 / ready after {time.monotonic() - began:.1f} s")
        demo = _Demo(hub, console, cases, kill)
        report = asyncio.run(demo.run())
        console.print(member_table(report))
        proven = _prove(hub, console, demo.submitted_cases, base)
        if keep:
            _keep(hub, console)
    if report.balanced and not keep:
        data.remove()
    # Plain print: these lines are read by programs and must not be wrapped.
    for line in last_lines(report):
        print(line, flush=True)
    return 0 if report.balanced and proven else 1


def _prove(hub: LocalHub, console: Console, cases: list[str], base: Path) -> bool:
    """One case's evidence, judged by its file and the anchors alone; both stay when the hub is gone."""
    shown = asyncio.run(prove_one(hub.settings, cases, base.with_name(base.name + "-evidence")))
    if shown is None:
        console.print("没有可导出的证据 / there is no evidence to export")
        return False
    console.print(f"证据文件 / evidence file: {shown.file}")
    console.print(f"govhub evidence verify {shown.file} --anchors {shown.anchors}", soft_wrap=True)
    print(summary(shown.report), flush=True)
    return shown.report.ok


def _keep(hub: LocalHub, console: Console) -> None:
    console.print("按 Ctrl-C 结束 / running until Ctrl-C")
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("正在停止 / stopping")


class _Demo:
    """One run: hand the cases to their members, watch until everything is quiet, reconcile."""

    def __init__(self, hub: LocalHub, console: Console, cases: int, kill: bool) -> None:
        self._hub = hub
        self._console = console
        self._cases = cases
        self._kill = kill
        self._submitted = 0
        self.submitted_cases: list[str] = []
        self._killed: list[str] = []

    async def run(self) -> Report:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
            submitting = asyncio.create_task(self._submit(http))
            began = time.monotonic()
            report = await self._watch(http, submitting)
            await submitting
            seconds = time.monotonic() - began
            self._console.print(
                f"{self._submitted} 件办件，{seconds:.0f} 秒 / {self._submitted} cases in {seconds:.0f} s"
            )
            return report

    async def _submit(self, http: aiohttp.ClientSession) -> None:
        from examples.generate import cases as generated
        from stubs.cases import load
        from stubs.driver import submit

        root = Path(__file__).parents[2] / "examples"
        cases = list(generated(self._cases)) if self._cases else load(root / "cases")
        urls = {member: self._hub.urls[stub] for member, stub in PLAYED_BY.items()}
        for start in range(0, len(cases), _BATCH):
            part = cases[start : start + _BATCH]
            await submit(http, part, urls)
            self._submitted += len(part)
            if not self.submitted_cases:
                self.submitted_cases = [ids.case_number(one.member, "", one.case_ref) for one in part]

    def _kill_half_way(self, effects: int) -> None:
        """SIGKILL the router, then the delivery process, while they work; the supervisor starts
        successors."""
        assert self._hub.supervisor is not None
        for role, per_case in _KILL_AT.items():
            if role not in self._killed and self._submitted and effects >= per_case * self._submitted:
                pid = self._hub.supervisor.kill(role, signal.SIGKILL)
                self._killed.append(role)
                self._console.print(
                    f"[red]SIGKILL[/red] {role} (pid {pid}), {effects} 次送达后 / after {effects} effects"
                )

    async def _watch(self, http: aiohttp.ClientSession, submitting: "asyncio.Task[None]") -> Report:
        """Until every member is quiet and nothing is in flight, or nothing moved for a long time."""
        settings = self._hub.settings
        moved_at, before = time.monotonic(), ""
        with Live(console=self._console, refresh_per_second=4, transient=True) as live:
            while True:
                await asyncio.sleep(_LOOK_S)
                stats = {stub: await _get(http, f"{self._hub.urls[stub]}/stats") for stub in STUBS}
                idle = [await _get(http, f"{self._hub.urls[stub]}/control/idle") for stub in STUBS]
                live.update(self._progress(stats, idle))
                if self._kill:
                    self._kill_half_way(sum(int(answer.get("effects", 0)) for answer in stats.values()))
                now = repr((stats, idle, self._submitted))
                if now != before:
                    moved_at, before = time.monotonic(), now
                waiting = sum(sum(answer.values()) if answer else 1 for answer in idle)
                stuck = time.monotonic() - moved_at > _QUIET_S_MAX
                if submitting.done():
                    submitting.result()
                if submitting.done() and (waiting == 0 or stuck):
                    books = {member: self._hub.urls[stub] for member, stub in PLAYED_BY.items()}
                    report = await reconcile(settings, full=True, member_books=books)
                    if stuck or (
                        report.messages.in_flight == 0
                        and report.messages.held == 0
                        and report.dispatches.in_flight == 0
                    ):
                        return report

    def _progress(self, stats: dict[str, Any], idle: list[Any]) -> Table:
        table = Table(title=f"已提交 / submitted {self._submitted}")
        table.add_column("成员 / member")
        table.add_column("已收 / received", justify="right")
        table.add_column("待发 / to send", justify="right")
        for (stub, answer), pending in zip(stats.items(), idle, strict=True):
            table.add_row(
                stub, str(answer.get("effects", "-")), str(sum(pending.values()) if pending else "-")
            )
        states = (
            {state.name: state for state in self._hub.supervisor.states()} if self._hub.supervisor else {}
        )
        again = {name: state.restarts for name, state in states.items() if state.restarts}
        table.caption = "  ".join(f"{name} ×{count}" for name, count in again.items())
        return table


async def _get(http: aiohttp.ClientSession, url: str) -> Any:
    try:
        async with http.get(url) as response:
            return await response.json()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return {}


def data_base() -> Path:
    """Where demonstrations keep their data: HUB_DATA_DIR or ./data."""
    return Path(os.environ.get("HUB_DATA_DIR", "data"))
