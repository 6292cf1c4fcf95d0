"""The fault matrix in short: a router and a delivery process killed under load while members lose replies.
The long form is `make faults`."""

import signal
from pathlib import Path

import pytest

from tests.faults.run import Cell, Run, run_cell
from tests.faults.town import Mood
from tests.faults.world import Servers, Shape
from tests.servers import Kafka

pytestmark = pytest.mark.timeout(240)


async def kills_and_lost_replies(run: Run) -> None:
    run.town.all_moods(Mood.LOST_REPLY)
    await run.more(20, "case.outcomes")
    run.signal("delivery-1", signal.SIGKILL)
    run.signal("router-1", signal.SIGKILL)
    await run.more(30)
    run.town.all_moods(Mood.WELL)
    await run.ready("router-1", "delivery-1")


async def test_g2_g4_killed_processes_and_lost_replies_under_load(kafka: Kafka, tmp_path: Path) -> None:
    cell = Cell(
        "short", "kills and lost replies", kills_and_lost_replies, Shape(routers=2, deliveries=1), rate=25.0
    )
    outcome = await run_cell(cell, tmp_path, Servers(tmp_path, kafka.bootstrap))
    assert outcome.verdict.clean, outcome.verdict
    assert outcome.verdict.accepted > 50
    assert {"router-1", "delivery-1"} <= set(outcome.facts["restarts"])
