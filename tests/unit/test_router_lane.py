"""G5 in the router's lane: one case, one command or one timer that fails never stops the others.

The lane is a stand-in that keeps its state in a dictionary and refuses what a rule says.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from routing_cases import NOW, TABLES, message

from hub import envelope
from hub.config import Settings
from hub.errors import LaneStopped, OutputRefused
from hub.kafka import Output, Record
from hub.lanes.clock import ClockGuard
from hub.lanes.lane import LaneSpec
from hub.router import lane as router_lane
from hub.router.brake import BrakePulled, ParkBrake
from hub.router.lane import BatchRefused, RouterLane, RouterStats, Trouble
from hub.routing.model import Decision, Disposition, Timer, Verdict
from schemas import codec

SETTINGS = Settings(
    kafka_bootstrap="127.0.0.1:1", data_dir=Path("data"), directory_dir=Path("data"), files_dir=Path("data")
)
CLOCK = ClockGuard(SETTINGS)
Refuses = Callable[[list[Record], Mapping[bytes, bytes | None]], bool]


class FakeLane:
    """Input as a list; one poll gives what is left; commit moves the position and keeps the changes."""

    spec = LaneSpec("router", ("case.inbound", "commands.router"), 0, "router.changelog", 0)

    def __init__(self, records: list[Record], refuses: Refuses = lambda *_: False) -> None:
        self.left = records
        self.read = 0
        self.refuses = refuses
        self.state: dict[bytes, bytes] = {}
        self.lines: list[dict[str, Any]] = []

    async def poll(self, wait_ms: int, records_max: int) -> list[Record]:
        got = self.left[self.read : self.read + records_max]
        if not got:
            raise Idle
        self.read += len(got)
        return got

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.state.get(key) for key in keys]

    def position(self, topic: str) -> int:
        return 0

    def range(self, start: bytes, end: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        return iter([(k, v) for k, v in sorted(self.state.items()) if start <= k < end][:limit])

    async def commit(
        self,
        outputs: Mapping[tuple[str, int], list[Output]],
        changes: Mapping[bytes, bytes | None],
        consumed: list[Record],
    ) -> None:
        if self.refuses(consumed, changes):
            raise OutputRefused("too large", None)
        for key, value in changes.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self.left, self.read = self.left[len(consumed) :], self.read - len(consumed)
        lines = outputs.get(("case.routed", 0), [])
        self.lines += [codec.decode(value)[1] for _, value, _, _ in lines if value is not None]


class Idle(Exception):
    """Nothing left to read."""


async def work(lane: FakeLane, reopenings_max: int = 10) -> Trouble:
    """What the role does: reopen with what was learnt, until nothing is left to read."""
    trouble = Trouble()
    for _ in range(reopenings_max):
        lane.read = 0
        try:
            await RouterLane(SETTINGS, lane, lambda: TABLES, RouterStats(), trouble, CLOCK).run()  # type: ignore[arg-type]
        except Idle:
            return trouble
        except BatchRefused as error:
            if not trouble.learn(error):
                raise
    raise AssertionError("the lane never came through")


def record(offset: int, one: envelope.Message, key: bytes | None = None) -> Record:
    return _record("case.inbound", offset, key or one.subject.encode(), one.value, envelope.to_headers(one))


def command(offset: int, key: bytes | None, value: bytes | None) -> Record:
    return _record("commands.router", offset, key, value, [])


def _record(
    topic: str, offset: int, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> Record:
    size = len(value or b"")
    return Record(topic, 0, offset, NOW, 0, key, value, None, len(key or b""), size, headers)  # type: ignore[call-arg]


REDRIVE = msgspec.json.encode({"command": "redrive", "by": "a", "reason": "b"})


def two_cases() -> list[Record]:
    first = message("case.submitted", subject="46A")
    second = message("case.submitted", subject="46B", ref="other")
    return [record(0, first), record(1, second)]


async def test_g5_message_refused_alone_parks_its_case_and_the_others_go_on() -> None:
    def refuses(consumed: list[Record], changes: Mapping[bytes, bytes | None]) -> bool:
        state = changes.get(b"c46A")
        return state is not None and b"output_refused" not in state

    lane = FakeLane(two_cases(), refuses)
    await work(lane)
    assert {line["caseNo"]: line["disposition"] for line in lane.lines} == {"46A": "parked", "46B": "routed"}


async def test_g5_message_that_cannot_even_be_parked_is_refused_and_the_others_go_on() -> None:
    lane = FakeLane(two_cases(), lambda _, changes: b"c46A" in changes)
    await work(lane)
    assert {line["caseNo"]: line["disposition"] for line in lane.lines} == {"46A": "refused", "46B": "routed"}


async def test_g5_command_whose_outputs_are_refused_is_used_up_and_parks_nobody() -> None:
    """A redrive of a case that parked because its output is too large; the inbound record of the same offset
    is innocent."""
    parked = two_cases()
    lane = FakeLane(
        parked[:1], lambda _, changes: b"output_refused" not in (changes.get(b"c46A") or b"output_refused")
    )
    await work(lane)
    lane.left = [command(1, b"46A", REDRIVE), parked[1]]
    await work(lane)
    assert [(line["caseNo"], line["disposition"]) for line in lane.lines] == [
        ("46A", "parked"),
        ("46B", "routed"),
    ]


@pytest.mark.parametrize("key", [None, b"\xff", b"46A"])
@pytest.mark.parametrize("value", [None, b"", b"{", REDRIVE])
async def test_g5_command_nobody_can_read_is_used_up(key: bytes | None, value: bytes | None) -> None:
    lane = FakeLane([command(0, key, value), *two_cases()])
    await work(lane)
    assert [line["disposition"] for line in lane.lines] == ["routed"] * 2


async def test_g5_command_that_fails_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_lane, "redrive", _defect)
    lane = FakeLane([command(0, b"46A", REDRIVE), *two_cases()])
    await work(lane)
    assert [line["disposition"] for line in lane.lines] == ["routed"] * 2


async def test_g5_timer_that_fails_waits_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_lane, "decide_timer", _defect)
    lane = FakeLane(two_cases())
    timer = Timer(int(time.time() * 1000) - 1, "46Z", "early")
    key = router_lane._timer_key(timer)
    lane.state[key] = msgspec.msgpack.encode(timer)
    trouble = await work(lane)
    assert [line["disposition"] for line in lane.lines] == ["routed"] * 2
    assert trouble.stuck == {timer}
    assert key in lane.state, "a person can still look at it"


async def test_g5_timer_whose_outputs_are_refused_blames_no_record() -> None:
    timer = Timer(int(time.time() * 1000) - 1, "46Z", "early")
    key = router_lane._timer_key(timer)
    lane = FakeLane(two_cases(), lambda _, changes: key in changes)
    lane.state[key] = msgspec.msgpack.encode(timer)
    poll, idle = lane.poll, iter([False] * 5)

    async def polled(wait_ms: int, records_max: int) -> list[Record]:
        return await poll(wait_ms, records_max) if next(idle, True) or lane.left else []

    lane.poll = polled  # type: ignore[method-assign]
    trouble = await work(lane)
    assert [line["disposition"] for line in lane.lines] == ["routed"] * 2
    assert trouble.stuck == {timer}


async def test_g5_record_under_another_key_or_no_text_is_parked_in_the_ledger_and_changes_no_case() -> None:
    one = message("case.submitted", subject="46A")
    lane = FakeLane([record(0, one, b"46B"), record(1, one, b"\xff\xfe"), *two_cases()[1:]])
    await work(lane)
    assert [line["disposition"] for line in lane.lines] == ["parked", "parked", "routed"]
    assert b"c46A" not in lane.state


def _defect(*_: object) -> Decision:
    raise RuntimeError("a defect")


def verdicts(reason: str, count: int) -> list[tuple[str, Decision]]:
    one = message("case.submitted")
    return [("46A", Decision(None, (Verdict(one, Disposition.PARKED, reason),)))] * count


def test_r24_park_brake_stops_a_lane_that_parks_for_one_reason() -> None:
    brake = ParkBrake(5, 500)
    brake.check(verdicts("no_owner", 25))
    with pytest.raises(LaneStopped, match="no_owner"):
        brake.check(verdicts("no_owner", 1))


def test_r24_a_brake_that_an_operator_let_off_counts_again_after_its_window() -> None:
    brake = ParkBrake(5, 100)
    brake.release("ops", "the directory is right", 1)
    brake.check(verdicts("no_owner", 60))
    stored = brake.to_bytes()
    assert stored is not None
    reopened = ParkBrake(5, 100, stored)
    assert reopened.released is not None
    assert (reopened.released.left, reopened.released.by) == (40, "ops")
    reopened.check(verdicts("no_owner", 40))
    assert reopened.to_bytes() is None
    with pytest.raises(LaneStopped):
        reopened.check(verdicts("no_owner", 6))


async def test_r24_a_pulled_brake_commits_nothing_and_a_command_in_the_same_batch_lets_it_off() -> None:
    def unknown(offset: int) -> Record:
        one = message("case.submitted", subject=f"46{offset:03d}", ref=str(offset), region="990000")
        return record(offset, one)

    lane = FakeLane([unknown(offset) for offset in range(30)])
    with pytest.raises(BrakePulled, match="unknown_region"):
        await work(lane)
    assert (lane.lines, lane.state) == ([], {})
    release = msgspec.json.encode({"command": "release_brake", "by": "ops", "reason": "tested"})
    lane.left = [command(0, b"case.inbound-0", release), *lane.left]
    await work(lane)
    assert [line["disposition"] for line in lane.lines] == ["parked"] * 30
    assert ParkBrake(5, 500, lane.state[b"b"]).released is not None, "who let it off stands in the state"


def test_g5_one_parked_case_that_goes_on_receiving_does_not_pull_the_brake() -> None:
    ParkBrake(5, 500).check(verdicts("behind", 400))
