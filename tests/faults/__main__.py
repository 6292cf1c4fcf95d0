"""`python -m tests.faults`: runs the matrix, keeps each cell's result, writes docs/faults.md; the last
line is the verdict.

A cell that has a result of this version of the code is not run again (`--again` runs it). Exit 0 only
when nothing was lost, duplicated, out of order or torn, and nothing stands still that should not.
"""

import asyncio
import logging
import os
import shutil
import sys
import time
from pathlib import Path

import click

from hub.supervisor import orderly_termination
from tests.faults.cells import CELLS
from tests.faults.report import Results, last_line, write_page
from tests.faults.run import run_cell
from tests.faults.world import Servers

ROOT = Path(__file__).parents[2]


@click.command()
@click.option("--cell", "words", multiple=True, help="name or part of a name; several are all run")
@click.option("--again", is_flag=True, help="also what has a result already")
@click.option("--list", "listing", is_flag=True, help="names only")
@click.option("--results", type=click.Path(path_type=Path), default=ROOT / "data" / "faults" / "results.json")
@click.option("--page", type=click.Path(path_type=Path), default=ROOT / "docs" / "faults.md")
def main(words: tuple[str, ...], again: bool, listing: bool, results: Path, page: Path) -> None:
    """Run the fault matrix."""
    # Lanes that are cancelled in this process leave futures whose errors are the point of the cell.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    chosen = [name for name in CELLS if not words or name in words] or [
        name for name in CELLS if any(word in name for word in words)
    ]
    if listing:
        click.echo("\n".join(f"{name:32} {CELLS[name].about}" for name in chosen))
        return
    kept = Results(results)
    base = results.parent / f"run-{os.getpid()}"
    with orderly_termination():
        servers = Servers(base)
        try:
            for name in chosen:
                if again or not kept.has(name):
                    _one(name, kept, base, servers)
        finally:
            servers.close()
            shutil.rmtree(base, ignore_errors=True)
    write_page(page, CELLS, kept)
    click.echo(last_line(kept, chosen))
    sys.exit(0 if kept.clean(chosen) else 1)


def _one(name: str, kept: Results, base: Path, servers: Servers) -> None:
    cell = CELLS[name]
    if reason := cell.skip():
        kept.skipped(name, reason)
        click.echo(f"{name:32} skipped: {reason}")
        return
    began = time.monotonic()
    try:
        outcome = asyncio.run(run_cell(cell, base, servers))
    except Exception as error:  # a broken installation is a failed cell, and the next one runs
        kept.broken(name, f"{type(error).__name__}: {error}", time.monotonic() - began)
        click.echo(f"{name:32} BROKEN {type(error).__name__}: {error}"[:600])
        return
    kept.keep(outcome)
    click.echo(kept.line(name))


if __name__ == "__main__":
    main()
