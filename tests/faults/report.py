"""Results of the matrix: kept per cell in one JSON file, shown as a line, written as docs/faults.md."""

import fcntl
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hub.embedded.process import write_atomically
from tests.faults.run import Cell, Outcome

ROOT = Path(__file__).parents[2]
FIGURES = ("lost", "duplicated", "order_violations", "torn")
_COLUMNS = (
    "cell",
    "fault",
    "accepted",
    "dispatches",
    "effects",
    "lost",
    "duplicated",
    "order",
    "torn",
    "stands",
    "gap s (effects, imposed)",
    "run s",
    "at",
)
HEAD = Path(__file__).with_name("page.md")


class Results:
    """The JSON file: cell -> what was found, with the commit it was found on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.cells: dict[str, dict[str, Any]] = {}
        self._load()
        self._commit = _commit()

    def _load(self) -> None:
        if self._file.exists():
            self.cells = msgspec.json.decode(self._file.read_bytes())

    def has(self, name: str) -> bool:
        """A result that need not be made again: a finding or a skip of an earlier run is tried again."""
        return bool(self.cells.get(name, {}).get("clean"))

    def keep(self, outcome: Outcome) -> None:
        """A cell that ran to its end."""
        data: dict[str, Any] = msgspec.to_builtins(outcome)
        verdict = data.pop("verdict")
        data["facts"] = {key: value for key, value in data["facts"].items() if not key.startswith("_")}
        self._put(outcome.cell, {**data, **verdict, "clean": outcome.verdict.clean})

    def broken(self, name: str, reason: str, seconds: float) -> None:
        """A cell that could not be run to its end: a finding too."""
        self._put(name, {"cell": name, "clean": False, "broken": reason, "seconds": round(seconds, 1)})

    def skipped(self, name: str, reason: str) -> None:
        """A cell this machine cannot run."""
        self._put(name, {"cell": name, "clean": False, "skipped": reason})

    def _put(self, name: str, data: dict[str, Any]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two runs may share one file
            self._load()
            self.cells[name] = {**data, "commit": self._commit}
            text = msgspec.json.format(msgspec.json.encode(self.cells), indent=1).decode()
            write_atomically(self._file, text)

    def ran(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """The cells among these with figures."""
        return [self.cells[name] for name in names if "lost" in self.cells.get(name, {})]

    def clean(self, names: Iterable[str]) -> bool:
        """Every cell ran and found nothing; a skipped one counts as neither."""
        return all(
            self.cells.get(name, {}).get("clean") or "skipped" in self.cells.get(name, {}) for name in names
        )

    def line(self, name: str) -> str:
        """One cell for the terminal."""
        cell = self.cells[name]
        words = [f"{name:32} {'ok' if cell['clean'] else 'FOUND'}"]
        words += [f"{figure}={cell[figure]}" for figure in ("accepted", "dispatches", "effects", *FIGURES)]
        words += [f"gap={cell['gap_s']}", f"effects_gap={cell['effect_gap_s']}", f"{cell['seconds']:.0f}s"]
        text = " ".join([*words, _stands(cell)])
        return "\n".join([text, *(f"    {note}" for note in cell["notes"])])


def last_line(results: Results, names: Iterable[str]) -> str:
    """The line programs read."""
    ran = results.ran(list(names))
    sums = " ".join(f"{figure}={sum(cell[figure] for cell in ran)}" for figure in FIGURES)
    return f"faults: runs={len(ran)} {sums} max_gap_s={max((c['gap_s'] for c in ran), default=0.0)}"


def write_page(page: Path, cells: Mapping[str, Cell], results: Results) -> None:
    """docs/faults.md: a row per cell, then what was not run and why, then what was found."""
    rows = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    rest, found = [], []
    for name, cell in cells.items():
        kept = results.cells.get(name)
        if kept is None:
            rest.append(f"- `{name}`: {cell.about}: not run yet")
        elif "skipped" in kept or "broken" in kept:
            rest.append(f"- `{name}`: {cell.about}: {kept.get('skipped') or kept.get('broken', '')[:300]}")
        else:
            rows.append(_row(name, cell, kept))
            found += [f"- `{name}`: {note}" for note in kept["notes"]]
    text = [HEAD.read_text("utf-8"), *rows, "", f"`{last_line(results, cells)}`", ""]
    if rest:
        text += ["## Not run", "", *rest, ""]
    if found:
        text += ["## Found", "", *found, ""]
    write_atomically(page, "\n".join(text))


def _row(name: str, cell: Cell, kept: Mapping[str, Any]) -> str:
    figures = [kept[figure] for figure in ("accepted", "dispatches", "effects", *FIGURES)]
    gap = f"{kept['gap_s']} ({kept['effect_gap_s']}, {kept['imposed_s']:.0f})"
    columns = [f"`{name}`", cell.about, *figures, _stands(kept), gap, f"{kept['seconds']:.0f}"]
    columns.append(f"`{kept['commit']}`")
    return f"| {' | '.join(map(str, columns))} |"


def _stands(cell: Mapping[str, Any]) -> str:
    return ", ".join(f"{what} {count}" for what, count in sorted(cell["stands"].items())) or "–"


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
