"""G2, G4, G5 under crashes: the hub's own lanes over an in-memory log, dying, stopping and losing their
broker wherever they wait. A schedule is its seed: `python -m tests.simulation SEED` plays it again."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from tests.simulation.schedule import play

SEEDS = 180
PARTS = 6


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_schedule_loses_duplicates_reorders_or_tears(part: int) -> None:
    struck = 0
    for seed in range(part, SEEDS, PARTS):
        verdict, schedule = play(seed)
        struck += len(schedule.chaos.happened)
        assert verdict.clean, f"seed {seed}: {verdict}\n" + "\n".join(schedule.chaos.happened)
        assert verdict.effects, f"seed {seed}: nothing was delivered"
    assert struck >= SEEDS // PARTS, "the schedules must not be fair weather"


def test_a_schedule_is_its_seed() -> None:
    first, again = (play(7)[1] for _ in range(2))
    assert first.chaos.happened == again.chaos.happened
    assert list(first.log.entries) == list(again.log.entries)
