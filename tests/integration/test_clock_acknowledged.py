"""A clock that jumped, with the real router: timers stand still, and the word of a person, given on the
command line, lets what is overdue fire once."""

import asyncio
import time
from pathlib import Path

from click.testing import CliRunner

from hub import directory, ids
from hub.cli import govhub
from hub.config import Settings
from hub.provision import provision
from hub.router import role as router
from hub.status import LaneReport, read_status
from tests.integration.test_g2_router import YESTERDAY_MS, ledger, message
from tests.integration.test_g7_evidence import running, submit
from tests.servers import Kafka

# A broker refuses records from more than an hour ahead: this far the jump stays below.
HALF_AN_HOUR_MS = 1_800_000


async def report(settings: Settings, *, jumped: bool) -> LaneReport:
    """The lane's own word, once its clock has jumped, or not any more."""
    async with asyncio.timeout(40):
        while True:
            for one in await read_status(settings):
                if bool(one.clock_jump_ms) is jumped and one.state == "open":
                    return one
            await asyncio.sleep(0.2)


async def test_an_acknowledged_jump_fires_what_is_overdue_once(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    shift = tmp_path / "shift"
    env = {
        "HUB_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "HUB_TOPIC_PREFIX": topic_prefix,
        "HUB_DATA_DIR": str(tmp_path),
        "HUB_PARTITIONS": "1",
        "HUB_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef",
        "HUB_CREDIT_TIMEOUT_MS": "600000",
        "HUB_CLOCK_SHIFT_FILE": str(shift),
    }
    settings = Settings.from_env(env)

    known = directory.load().items.values()
    item, region = next((one.code, next(iter(one.owners))) for one in known if one.credit != "none")
    case = ids.case_number("platform", "", "credit case")
    place = {"item": item, "region": region, "itemVersion": "1"}
    opening = message("case.submitted", case, "platform", "c/0", YESTERDAY_MS, **place)

    async def typed(*words: str) -> tuple[int, str]:
        done = await asyncio.to_thread(CliRunner(env=env).invoke, govhub, words)
        return done.exit_code, done.output

    async def verdicts(count: int) -> list[str]:
        until = time.monotonic() + 40
        while time.monotonic() < until:
            lines = [line for line in await ledger(settings) if line["messageId"] == opening.id]
            if len(lines) >= count:
                return [line["disposition"] for line in lines]
            await asyncio.sleep(0.2)
        raise AssertionError(lines)

    await provision(settings)
    async with running(router.serve, settings):
        await submit(settings, [opening])
        assert await verdicts(1) == ["held"]
        assert (await typed("clock", "show"))[0] == 0
        shift.write_text(str(HALF_AN_HOUR_MS))
        jumped = await report(settings, jumped=True)
        assert "clock jumped" in jumped.reason
        assert abs(jumped.clock_jump_ms - HALF_AN_HOUR_MS) < settings.clock_jump_ms_max
        code, said = await typed("clock", "show")
        assert (code, "+1800.0 s" in said) == (1, True), said
        code, said = await typed("clock", "acknowledge", "--lane", "case.inbound-9", "--reason", "对时")
        assert code == 1
        assert "did not jump" in said
        assert await verdicts(1) == ["held"], "nothing has fired"
        code, said = await typed("clock", "acknowledge", "--reason", "机房校时，新时间无误")
        assert (code, jumped.lane in said) == (0, True), said
        assert await verdicts(2) == ["held", "routed"]
        assert (await report(settings, jumped=False)).reason == ""
    async with running(router.serve, settings):
        await report(settings, jumped=False)
        assert await verdicts(2) == ["held", "routed"], "once, also after a restart"
