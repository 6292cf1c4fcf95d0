"""`python -m bench [quick] [part …]`: the parts named, or all of them, on one embedded broker; tables are
printed, JSON and chart kept in bench/results."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.chart import write_chart
from bench.harness import Bench, Report
from bench.parts import PARTS
from hub.embedded.kafka import EmbeddedKafka

RESULTS = Path(__file__).parent / "results"
RUNS, RUNS_QUICK = 5, 2
HEAP_MB = 1_024


def main() -> None:
    """Run what was named. Exits 2 for a part that does not exist."""
    words = sys.argv[1:]
    quick = "quick" in words
    names = [word for word in words if word not in ("quick", "full")] or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        known = "\n".join(f"  {name:10} {part.what}" for name, part in PARTS.items())
        print(f"没有这样的基准 / no such part: {', '.join(unknown)}\n{known}", file=sys.stderr)
        sys.exit(2)
    console = Console()
    reports: dict[str, Report] = {}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        EmbeddedKafka(Path(scratch) / "kafka", heap_mb=HEAP_MB, full_jit=True) as broker,
    ):
        bench = Bench(broker.bootstrap, Path(scratch), quick, RUNS_QUICK if quick else RUNS, console)
        for name in names:
            if PARTS[name].alone:
                continue
            console.rule(f"{name}: {PARTS[name].what}")
            began = time.monotonic()
            reports[name] = PARTS[name].load()(bench)
            _show(console, reports[name])
            console.print(f"{name}: {time.monotonic() - began:,.0f} s", highlight=False)
            # Kept after each part: an hour's figures are not lost to the failure of the last part.
            _keep(reports, quick)
    for name in names:
        if PARTS[name].alone:
            console.rule(f"{name}: {PARTS[name].what}")
            command = [sys.executable, "-m", f"bench.{PARTS[name].module}", *(["quick"] if quick else [])]
            began = time.monotonic()
            subprocess.run(command, check=True)
            console.print(f"{name}: {time.monotonic() - began:,.0f} s", highlight=False)
    console.print(f"→ bench/{RESULTS.name}/")


def _keep(reports: dict[str, Report], quick: bool) -> None:
    RESULTS.mkdir(exist_ok=True)
    stem = f"{time.strftime('%Y-%m-%d')}{'-quick' if quick else ''}"
    file = RESULTS / f"{stem}.json"
    kept: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    kept.update(_machine())
    parts = kept.setdefault("parts", {})
    for name, report in reports.items():
        parts[name] = {
            "title": report.title,
            "rows": report.rows,
            "ratios": report.ratios,
            "notes": report.notes,
            "runs": report.runs,
        }
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if not quick:
        write_chart(parts, RESULTS / f"{stem}.svg")


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "broker": f"Apache Kafka, embedded, -Xmx{HEAP_MB}m, on the same cores",
    }


def _show(console: Console, report: Report) -> None:
    table = Table(title=report.title)
    for number, name in enumerate(report.rows[0] if report.rows else ()):
        table.add_column(name, justify="left" if number == 0 else "right")
    for line in report.rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in line.values()))
    console.print(table)
    for name, value in report.ratios.items():
        console.print(f"{name}: [bold]{value:.2f}[/bold]")
    for note in report.notes:
        console.print(note, highlight=False)


if __name__ == "__main__":
    main()
