"""Timers and the clock they are fired by: a jump fires nothing; a search for what is due never walks over
what fired."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from routing_cases import TABLES, message
from test_router_lane import CLOCK, SETTINGS, FakeLane, Idle, command, record

from hub.kafka import Output, Record
from hub.lanes.clock import ClockGuard, shifted
from hub.lanes.timers import DueTimes, timer_key
from hub.router.lane import RouterLane, RouterStats, Trouble
from hub.routing.model import Timer

LIMIT_MS = SETTINGS.clock_jump_ms_max


class Clocks:
    """Both clocks of a machine, moved by hand."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_000_000, 50

    def passes(self, ms: int, *, wall_ms: int | None = None) -> None:
        self.steady += ms
        self.wall += ms if wall_ms is None else wall_ms

    def guard(self) -> ClockGuard:
        return ClockGuard(SETTINGS, lambda: self.wall, lambda: self.steady)


@pytest.mark.parametrize("jump", [LIMIT_MS + 1, -LIMIT_MS - 1, 365 * 86_400_000])
def test_a_clock_that_jumps_is_not_believed_and_time_goes_on_without_it(jump: int) -> None:
    clocks = Clocks()
    guard = clocks.guard()
    before = guard.now_ms()
    clocks.passes(200, wall_ms=200 + jump)
    assert guard.now_ms() == before + 200
    assert "clock jumped" in guard.alarm


def test_clocks_that_agree_again_are_believed_again() -> None:
    clocks = Clocks()
    guard = clocks.guard()
    clocks.passes(10, wall_ms=10 + 2 * LIMIT_MS)
    guard.now_ms()
    clocks.passes(10, wall_ms=10 - 2 * LIMIT_MS)
    assert guard.now_ms() == clocks.wall
    assert guard.alarm == ""


def test_a_jump_that_a_person_looked_at_is_believed_and_a_later_one_is_not() -> None:
    clocks = Clocks()
    guard = clocks.guard()
    clocks.passes(10, wall_ms=86_400_000)
    guard.now_ms()
    seen = guard.jump_ms
    clocks.passes(10, wall_ms=10 + 3 * LIMIT_MS)
    assert not guard.acknowledge(seen, "wang", "对时"), "it jumped again since"
    assert guard.alarm
    assert guard.acknowledge(guard.jump_ms, "wang", "对时")
    assert (guard.now_ms(), guard.alarm, guard.jump_ms) == (clocks.wall, "", 0)
    clocks.passes(10, wall_ms=10 - 2 * LIMIT_MS)
    guard.now_ms()
    assert guard.alarm, "the clock is watched on"
    assert not clocks.guard().acknowledge(0, "wang", "对时"), "there is nothing to acknowledge"


def test_a_jump_in_small_steps_is_a_jump_and_a_slow_correction_is_none() -> None:
    stepped = Clocks()
    guard = stepped.guard()
    for _ in range(3):
        stepped.passes(200, wall_ms=200 + LIMIT_MS // 2)
        guard.now_ms()
    assert guard.alarm
    corrected = Clocks()
    guard = corrected.guard()
    for _ in range(100):  # 50 s too slow in a day, half the share that is followed
        corrected.passes(864_000, wall_ms=864_000 - 432)
        assert guard.now_ms() == corrected.wall
    assert not guard.alarm


def test_a_drill_shifts_the_clock_of_one_process(tmp_path: Path) -> None:
    file = tmp_path / "shift"
    wall = shifted(file, lambda: 1_000)
    assert wall() == 1_000
    file.write_text("-400")
    assert wall() == 600


async def test_a_clock_jump_fires_no_timer_and_the_messages_go_on() -> None:
    lane, clocks = FakeLane([record(0, message("case.submitted", subject="46A"))]), Clocks()
    guard = clocks.guard()
    tomorrow = Timer(clocks.wall + 86_400_000, "46Z", "early")
    key = timer_key(tomorrow.due_ms, tomorrow.subject, tomorrow.purpose)
    lane.state[key] = msgspec.msgpack.encode(tomorrow)
    clocks.passes(100, wall_ms=2 * 86_400_000)
    with pytest.raises(Idle):
        await RouterLane(SETTINGS, lane, lambda: TABLES, RouterStats(), Trouble(), guard).run()  # type: ignore[arg-type]
    assert key in lane.state
    assert {line["caseNo"] for line in lane.lines} == {"46A"}


class OneByOne(FakeLane):
    """Gives one record a poll, and remembers how often each key was taken away."""

    removed: Counter[bytes]

    async def poll(self, wait_ms: int, records_max: int) -> list[Record]:
        return await super().poll(wait_ms, 1)

    async def commit(
        self,
        outputs: Mapping[tuple[str, int], list[Output]],
        changes: Mapping[bytes, bytes | None],
        consumed: list[Record],
    ) -> None:
        self.removed.update(key for key, value in changes.items() if value is None)
        await super().commit(outputs, changes, consumed)


async def test_what_is_overdue_by_an_acknowledged_clock_is_fired_once() -> None:
    clocks = Clocks()
    guard = clocks.guard()
    due = Timer(clocks.wall + 3_600_000, "46Z", "early")
    key = timer_key(due.due_ms, due.subject, due.purpose)
    clocks.passes(100, wall_ms=86_400_000)
    guard.now_ms()

    def word(offset: int, jump_ms: int) -> Record:
        said = {"command": "acknowledge_clock", "by": "wang", "reason": "已对时", "jump_ms": jump_ms}
        return command(offset, b"case.inbound-0", msgspec.json.encode(said))

    cases = [record(n, message("case.submitted", subject=f"46{n}", ref=str(n))) for n in (1, 2, 3)]
    lane = OneByOne([word(0, 5), cases[0], word(1, guard.jump_ms), *cases[1:]])
    lane.removed = Counter()
    lane.state[key] = msgspec.msgpack.encode(due)
    with pytest.raises(Idle):
        await RouterLane(SETTINGS, lane, lambda: TABLES, RouterStats(), Trouble(), guard).run()  # type: ignore[arg-type]
    assert lane.removed[key] == 1
    assert guard.alarm == ""
    assert {line["caseNo"] for line in lane.lines} == {"461", "462", "463"}


async def test_a_timer_is_fired_once_and_its_key_is_gone_with_the_transaction() -> None:
    lane = FakeLane([record(n, message("case.submitted", subject=f"46{n}", ref=str(n))) for n in range(3)])
    due = Timer(CLOCK.now_ms() - 1, "46Z", "early")
    lane.state[timer_key(due.due_ms, due.subject, due.purpose)] = msgspec.msgpack.encode(due)
    with pytest.raises(Idle):
        await RouterLane(SETTINGS, lane, lambda: TABLES, RouterStats(), Trouble(), CLOCK).run()  # type: ignore[arg-type]
    assert not [key for key in lane.state if key.startswith(b"t")]


class Entries:
    """A store that notes where searches begin."""

    def __init__(self) -> None:
        self.state: dict[bytes, bytes] = {}
        self.searches: list[bytes] = []

    def range(self, start: bytes, end: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        self.searches.append(start)
        return iter([(k, v) for k, v in sorted(self.state.items()) if start <= k < end][:limit])

    def add(self, due_ms: int) -> None:
        self.state[timer_key(due_ms, "46A", "early")] = str(due_ms).encode()


def test_a_search_begins_at_the_lowest_due_time_and_not_at_the_tombstones_before_it() -> None:
    store = Entries()
    for due_ms in (10, 20, 5_000):
        store.add(due_ms)
    times = DueTimes(store.range)
    assert times.due(30, 10) == [b"10", b"20"]
    del store.state[timer_key(10, "46A", "early")], store.state[timer_key(20, "46A", "early")]
    assert times.due(40, 10) == []
    store.searches.clear()
    assert times.due(4_999, 10) == []
    assert store.searches == [], "nothing can be due before the lowest due time"
    assert times.due(5_000, 10) == [b"5000"]
    assert min(store.searches) >= timer_key(5_000, "", "")[:9]


def test_a_timer_set_before_the_lowest_is_found() -> None:
    store = Entries()
    store.add(5_000)
    times = DueTimes(store.range)
    assert times.due(1, 10) == []
    times.set(100)
    store.add(100)
    assert times.due(200, 10) == [b"100"]


def test_a_timer_that_is_passed_over_hides_no_other() -> None:
    store = Entries()
    store.add(10)
    store.add(20)
    times = DueTimes(store.range)
    assert times.due(30, 1, {timer_key(10, "46A", "early")}) == [b"20"]
