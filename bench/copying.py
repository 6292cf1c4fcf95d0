"""Records copied: the hub's bare lane, which decides nothing, beside peers and beside librdkafka without
transactions."""

from bench.contest import contest, input_job
from bench.contestants import LANE, copying
from bench.harness import Bench, Report, figures_of, ratios_of, row

PARTITIONS = 3


def run(bench: Bench) -> Report:
    """Everybody who copies."""
    job = input_job(bench, "c3.", PARTITIONS, bench.sized(15_000, 3_000))
    few = input_job(bench, "c3f.", PARTITIONS, bench.sized(1_000, 50))
    contestants, notes = copying()
    measured, failed = contest(bench, contestants, job, few)
    return Report(
        "copy, 3 partitions, 600-byte bodies and 10 headers: records",
        [row(name, figures) for name, figures in measured.items()],
        ratios_of(measured, LANE),
        notes + failed,
        figures_of(measured),
    )
