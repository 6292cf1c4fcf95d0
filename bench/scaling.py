"""The shipped router with more partitions and more worker processes, a combination at a time.

On cores shared with the broker more workers cannot go faster for long: the figure per CPU-second says what a
worker costs, the rate what this machine has.
"""

from bench.contest import contest, input_job
from bench.contestants import shipped
from bench.harness import Bench, Figures, Report, figures_of, row

PARTITIONS = (3, 6, 12)
WORKERS = (1, 2, 4)


def run(bench: Bench) -> Report:
    """Every combination, in turn."""
    measured: dict[str, list[Figures]] = {}
    notes: list[str] = []
    # The quick run leaves the largest out: each combination starts processes and checks their outputs.
    for partitions in PARTITIONS[:2] if bench.quick else PARTITIONS:
        job = input_job(bench, f"s{partitions}.", partitions, bench.sized(2_500, 1_500))
        contestants = [
            shipped(f"{partitions} partitions, {workers} workers", workers)
            for workers in (WORKERS[:2] if bench.quick else WORKERS)
        ]
        found, failed = contest(bench, contestants, job, job)
        measured.update(found)
        notes += failed
    return Report(
        "shipped router, workers and partitions: inputs with 3 outputs each",
        [row(name, figures) for name, figures in measured.items()],
        {},
        notes,
        figures_of(measured),
    )
