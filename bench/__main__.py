"""`python -m bench [quick]`: router and gateway beside their yardsticks, interleaved in one run; ratios
printed, JSON kept."""

import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import gateway, router
from bench.load import case_messages
from hub.config import Settings
from hub.embedded.kafka import EmbeddedKafka

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run everything; `quick` is a tenth of it."""
    quick = "quick" in sys.argv[1:]
    runs, cases, steps, signed = (2, 1_000, 8, 2_000) if quick else (5, 3_000, 18, 10_000)
    console = Console()
    measured: dict[str, list[dict[str, Any]]] = {}
    with (
        tempfile.TemporaryDirectory() as scratch,
        EmbeddedKafka(Path(scratch) / "kafka", heap_mb=1024, full_jit=True) as broker,
    ):
        for number in range(runs):
            for name, figures in _round(broker.bootstrap, Path(scratch), number, cases, steps, signed):
                measured.setdefault(name, []).append(figures)
                rates = f"{figures['per_second']:,}/s, {figures['per_cpu_second']:,} per CPU-second"
                console.print(f"{number + 1}/{runs} {name}: {rates}")
    report = _report(measured, quick)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{time.strftime('%Y-%m-%d')}{'-quick' if quick else ''}.json"
    file.write_text(json.dumps(report, indent=2) + "\n")
    console.print(_table(report))
    console.print(f"→ {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")


def _round(
    bootstrap: str, scratch: Path, number: int, cases: int, steps: int, signed: int
) -> list[tuple[str, dict[str, Any]]]:
    """One of each, in turn, so that a busy minute of the machine meets all of them."""
    prefix = f"r{number}."
    routed = asyncio.run(router.run(bootstrap, prefix, scratch / f"router{number}", cases, steps))
    asyncio.run(_copy_topic(bootstrap, prefix))
    copied = router.copy(bootstrap, prefix + "case.inbound", cases * (steps + 2))
    took = asyncio.run(gateway.run(bootstrap, f"g{number}.", scratch / f"gateway{number}", signed))
    messages = [one for one in case_messages(signed, 0) if one.type == "case.submitted"]
    bare = asyncio.run(gateway.bare(bootstrap, f"g{number}.", scratch / f"bare{number}", messages))
    return [("router", routed), ("copy librdkafka", copied), ("gateway", took), ("bare producer", bare)]


async def _copy_topic(bootstrap: str, prefix: str) -> None:
    from hub.kafka import Admin

    settings = Settings.from_env({"HUB_KAFKA_BOOTSTRAP": bootstrap})
    async with Admin(settings) as admin:
        await admin.create(prefix + "case.inbound.copy", router.PARTITIONS, 1, {})


def _report(measured: dict[str, list[dict[str, Any]]], quick: bool) -> dict[str, Any]:
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in ("per_second", "per_cpu_second")}
        for name, runs in measured.items()
    }
    return {
        "quick": quick,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "medians": medians,
        "ratios": {
            "router / copy librdkafka": round(
                medians["router"]["per_second"] / medians["copy librdkafka"]["per_second"], 3
            ),
            "gateway / bare producer": round(
                medians["gateway"]["per_second"] / medians["bare producer"]["per_second"], 3
            ),
        },
        "runs": measured,
    }


def _table(report: dict[str, Any]) -> Table:
    table = Table(title="median of interleaved runs; ratios carry over to other machines, rates do not")
    for name in ("", "per second", "per CPU-second"):
        table.add_column(name, justify="left" if not name else "right")
    for name, figures in report["medians"].items():
        table.add_row(name, f"{figures['per_second']:,.0f}", f"{figures['per_cpu_second']:,.0f}")
    for name, ratio in report["ratios"].items():
        table.add_row(name, f"{ratio:.2f}", "")
    return table


if __name__ == "__main__":
    main()
