"""R24 with real Kafka: a wrong directory stops the lane instead of parking a province; an operator lets it go
on, and that is on record."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from hub.config import Settings
from hub.errors import HubError
from hub.kafka import open_reader
from hub.provision import provision
from hub.router import role as router
from hub.router.orders import release_brake
from hub.status import LaneReport
from tests.integration.test_g2_router import a_case, ledger
from tests.integration.test_g7_evidence import running, submit
from tests.servers import Kafka

CASES = 12


async def status(settings: Settings, state: str) -> LaneReport:
    """The router lane once it is in this state."""
    until = time.monotonic() + 40
    last = None
    while time.monotonic() < until:
        async with open_reader(settings) as reader:
            starts = await reader.start_offsets(await reader.partitions([settings.topic("hub.status")]))
            async for records in reader.read_to_stable(starts):
                last = msgspec.json.decode(records[-1].value, type=LaneReport)
        if last is not None and last.state == state:
            return last
        await asyncio.sleep(0.3)
    raise AssertionError(f"never {state}: {last}")


async def test_r24_a_directory_that_knows_no_item_stops_the_lane_until_an_operator_decides(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    settings = Settings.from_env(
        {
            "HUB_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "HUB_TOPIC_PREFIX": topic_prefix,
            "HUB_DATA_DIR": str(tmp_path),
            "HUB_PARTITIONS": "1",
            "HUB_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef",
            "HUB_PARK_BRAKE_WINDOW": "100",
        }
    )
    await provision(settings)
    unknown = [
        msgspec.structs.replace(a_case(n)[0], item="11469900MB0000000X0000000000000") for n in range(CASES)
    ]
    async with running(router.serve, settings):
        await submit(settings, unknown)
        stopped = await status(settings, "stopped")
        assert "park brake" in stopped.reason
        assert "unknown_item" in stopped.reason
        assert await ledger(settings) == [], "nothing was parked"
        with pytest.raises(HubError, match="no such router lane"):
            await release_brake(settings, "case.inbound-7", "wang", "")
        await release_brake(settings, "case.inbound-0", "wang", "旧事项，确认停放")
        until = time.monotonic() + 40
        while len(lines := await ledger(settings)) < CASES and time.monotonic() < until:
            await asyncio.sleep(0.3)
        assert [line["disposition"] for line in lines] == ["parked"] * CASES
        assert (await status(settings, "open")).reason == ""
