"""Every example case ends where it must when its members meet the routing rules, in whatever order."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from province import Province

from hub import ids
from hub.routing.model import Disposition
from stubs import cases

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = [case for case in cases.load(EXAMPLES / "cases") if case.path in cases.ENDS]


@pytest.fixture
def province(tmp_path: Path) -> Iterator[Province]:
    made = Province(tmp_path)
    yield made
    made.close()


def number_of(case: cases.CaseFile) -> str:
    return ids.case_number(case.member, "", case.case_ref)


@pytest.mark.parametrize("path", sorted(cases.ENDS))
def test_every_example_ends_as_expected(path: str, province: Province) -> None:
    group = [case for case in CASES if case.path == path][:8]
    province.submit(group)
    province.run()
    for (member, case_ref), end in cases.expected(group).items():
        hub = province.hubs[ids.case_number(member, "", case_ref)]
        ledger = Counter(verdict.disposition for verdict in hub.ledger().values())
        seen = [(v.message.type, v.disposition, v.zh) for v in hub.ledger().values()]
        assert (hub.case.stage or "") == end.stage, (case_ref, seen)
        assert bool(ledger[Disposition.REFUSED]) == end.refused, (case_ref, seen)
        assert bool(ledger[Disposition.PARKED]) == end.parked, (case_ref, seen)
        assert not ledger[Disposition.HELD], (case_ref, seen)
    rejected = {name: storage.rejected() for name, storage in province.storages.items()}
    assert not any(rejected.values()), rejected


def test_no_member_applies_a_dispatch_twice_or_hears_its_own_voice(province: Province) -> None:
    group = CASES[::9]
    province.submit(group)
    province.run()
    for name, storage in province.storages.items():
        for entry in storage.entries(0):
            assert (entry["effects"], entry["repeats"]) == (1, 0), (name, entry)
            event = storage.event(entry["dispatchId"])
            assert event is not None
            assert event.source != name, "no echo (R3)"


def test_r30_the_nation_has_a_parent_row_before_every_other_row(province: Province) -> None:
    group = [
        case for case in CASES if case.path in ("plain", "suspended", "own_counter", "cross_region_mail")
    ][:40]
    province.submit(group)
    province.run()
    written = [rows for rows in province.nation_rows.values() if rows]
    assert len(written) > 20
    for rows in written:
        assert rows[0].table == "up_pro_accept"
        assert rows[-1].table == "up_pro_result"


def test_f52_the_receiving_window_learns_of_the_delivery(province: Province) -> None:
    group = [case for case in CASES if case.path.startswith("cross_region")]
    province.submit(group)
    province.run()
    storage = province.storages["s08"]
    events = [storage.event(entry["dispatchId"]) for entry in storage.entries(0)]
    delivered = Counter(event.case_no for event in events if event and event.kind == "case.delivered")
    assert {number_of(case) for case in group} == set(delivered)


def test_f11_a_second_correction_is_flagged_to_supervision(province: Province) -> None:
    group = [case for case in CASES if case.path == "corrected_twice"]
    province.submit(group)
    province.run()
    storage = province.storages["supervision"]
    events = [storage.event(entry["dispatchId"]) for entry in storage.entries(0)]
    flagged = {event.case_no for event in events if event and "second-correction" in event.flags}
    watched = {number_of(case) for case in group if province.hubs[number_of(case)].case.supervision}
    assert flagged == watched
    assert watched


def test_r10_a_dispatch_refused_by_the_department_comes_back_to_the_applicants_side(
    province: Province,
) -> None:
    group = [case for case in CASES if case.path == "dispatch_refused"]
    province.submit(group)
    province.run()
    storage = province.storages["platform"]
    events = [storage.event(entry["dispatchId"]) for entry in storage.entries(0)]
    told = {event.case_no for event in events if event and event.kind == "case.refusal"}
    assert told == {number_of(case) for case in group}


@pytest.mark.parametrize("seed", range(3))
def test_r08_any_order_among_the_members_gives_the_same_ends(seed: int, tmp_path: Path) -> None:
    province = Province(tmp_path, seed)
    group = CASES[seed::17]
    province.submit(group)
    province.run()
    for (member, case_ref), end in cases.expected(group).items():
        hub = province.hubs[ids.case_number(member, "", case_ref)]
        assert (hub.case.stage or "") == end.stage, (case_ref, end)
    province.close()
