"""Case routing: `govhub serve router` as shipped, in processes of its own, beside its peers doing the same
work with their own means."""

from bench.contest import contest, input_job
from bench.contestants import HUB, routing_peers, shipped
from bench.harness import Bench, Report, figures_of, ratios_of, row

PARTITIONS = 3


def run(bench: Bench) -> Report:
    """The shipped router and its peers."""
    job = input_job(bench, "r3.", PARTITIONS, bench.sized(6_000, 2_000))
    few = input_job(bench, "r3f.", PARTITIONS, bench.sized(500, 50))
    peers, notes = routing_peers()
    measured, failed = contest(bench, [shipped(), *peers], job, few)
    return Report(
        "case routing, 3 partitions, one worker: inputs with 3 outputs and a state change each",
        [row(name, figures) for name, figures in measured.items()],
        ratios_of(measured, HUB),
        notes + failed,
        figures_of(measured),
    )
