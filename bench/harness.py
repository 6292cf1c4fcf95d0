"""What every part of the benchmark shares: the broker, the scratch directory, CPU time of a process, medians.

Nothing is measured here.
"""

import os
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console


@dataclass(frozen=True)
class Bench:
    """bootstrap: the embedded broker all parts share. quick: small counts, for a look. runs: of each
    contestant, interleaved."""

    bootstrap: str
    scratch: Path
    quick: bool
    runs: int
    console: Console

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    def sized(self, full: int, quick: int) -> int:
        """A count for the full run and for the quick one."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Report:
    """What a part found. rows: one dict a line, the same columns in each, numbers or text. ratios: what
    carries over to other machines. notes: what was checked, what was left out and why. runs: everything
    measured, for the JSON."""

    title: str
    rows: list[dict[str, Any]]
    ratios: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    runs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """One measurement. cpu_seconds: user and system time of the processes measured, while they were."""

    inputs: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        return self.inputs / self.seconds

    @property
    def per_cpu_second(self) -> float:
        return self.inputs / self.cpu_seconds if self.cpu_seconds else 0.0

    def plain(self) -> dict[str, Any]:
        """For the JSON."""
        return {
            "inputs": self.inputs,
            "seconds": round(self.seconds, 3),
            "per_second": round(self.per_second),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "per_cpu_second": round(self.per_cpu_second),
        }


def row(name: str, measured: list[Figures]) -> dict[str, Any]:
    """The line of one contestant: medians, and the spread of its runs as lowest to highest rate."""
    rates = [one.per_second for one in measured]
    return {
        "": name,
        "per second": round(statistics.median(rates)),
        "lowest": round(min(rates)),
        "highest": round(max(rates)),
        "per CPU-second": round(statistics.median(one.per_cpu_second for one in measured)),
        "runs": len(measured),
    }


def figures_of(measured: Mapping[str, list[Figures]]) -> dict[str, Any]:
    """Every measurement, for the JSON."""
    return {name: [one.plain() for one in figures] for name, figures in measured.items()}


def ratios_of(measured: Mapping[str, list[Figures]], ours: str) -> dict[str, float]:
    """Ours over each of the others, by rate and by rate per CPU-second."""
    others = [name for name in measured if name != ours and ours in measured]
    return {f"{ours} / {name}": ratio(measured, ours, name) for name in others} | {
        f"{ours} / {name}, per CPU-second": ratio(measured, ours, name, cpu=True) for name in others
    }


def ratio(measured: Mapping[str, list[Figures]], one: str, other: str, *, cpu: bool = False) -> float:
    """Median of one over median of the other: of the rates, or of the rates per CPU-second."""

    def middle(name: str) -> float:
        return statistics.median(f.per_cpu_second if cpu else f.per_second for f in measured[name])

    return round(middle(one) / middle(other), 2)


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes so far, their ended children included. Zero for one that is
    gone."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except FileNotFoundError:
            continue
        total += sum(int(ticks) for ticks in fields[11:15])
    return total / os.sysconf("SC_CLK_TCK")
