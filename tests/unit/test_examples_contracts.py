"""Every example case, and everything the simulated members say about it, is valid against the contracts."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from examples import generate, materials
from schemas import contracts, validate
from schemas.checks import id_number_ok, item_code_ok, uscc_ok
from stubs import cases, department, forms, intake
from stubs.model import CaseMemory, Event, Planned
from stubs.rest_members import opening_of

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = [case for case in cases.load(EXAMPLES / "cases") if case.path in cases.ENDS]


def checked(type_: str, body: dict[str, Any]) -> dict[str, Any]:
    return validate.check(contracts.load().by_type(type_), body)


def as_dispatch(planned: Planned, case_no: str, number: int) -> Event:
    return Event(
        dispatch_id=f"{number:032x}",
        message_id=f"{number:032x}",
        kind=planned.type,
        case_no=case_no,
        source=planned.member,
        occurred_at=planned.occurred_at,
        body=planned.body,
    )


def live(case: cases.CaseFile) -> list[Planned]:
    """All messages of one case, with every member hearing of every message at once: no hub, only the members'
    scripts."""
    assert case.message is not None
    case_no = "46" + "0" * 16 + "7"
    opening = opening_of(case.member, case.message)
    code = forms.form_answers(opening.body["form"])["departmentCode"]
    owner = next(office for office in department.OFFICES.values() if office.org_code == code)
    memories: dict[str, CaseMemory | None] = {"platform": None, "owner": None, "window": None}
    said: list[Planned] = []
    if case.member == owner.member:
        queue = list(department.own_case(owner, opening))
    else:
        queue = list(intake.open_case(opening))
        who = "platform" if case.member == "platform" else "window"
        memories[who] = intake.learn(opening, case_no, None).memory
    while queue:
        planned = queue.pop(0)
        said.append(planned)
        assert len(said) < 60, "a case must come to an end"
        event = as_dispatch(planned, case_no, len(said))
        if not planned.member.startswith("dept"):
            queue += _tell("owner", memories, department.react(owner, event, memories["owner"]))
        if planned.member != "platform":
            queue += _tell("platform", memories, intake.react("platform", event, memories["platform"]))
        if memories["window"] is not None and not planned.member.startswith("window"):
            queue += _tell("window", memories, intake.react(case.member, event, memories["window"]))
    return said


def _tell(who: str, memories: dict[str, CaseMemory | None], reaction: Any) -> list[Planned]:
    memories[who] = reaction.memory
    return list(reaction.planned)


@pytest.mark.parametrize("path", sorted({case.path for case in CASES}))
def test_r12_r13_every_message_of_every_example_is_valid_against_its_contract(path: str) -> None:
    for case in CASES:
        if case.path == path and case.message is not None:
            for planned in live(case):
                checked(planned.type, planned.body)


def test_r22_the_credit_librarys_changes_are_valid() -> None:
    changes = [case for case in cases.load(EXAMPLES / "cases") if case.path == cases.CREDIT_CHANGES]
    assert len(changes) > 5
    for change in changes:
        assert change.message is not None
        checked(change.message["type"], change.message["body"])


def test_every_way_a_case_can_go_has_an_example_and_an_expected_end() -> None:
    assert {case.path for case in CASES} == set(cases.ENDS)
    ends = cases.expected(CASES)
    assert len(ends) == len(CASES) >= 300, "case references must be unique"


@pytest.mark.parametrize(
    ("path", "last"),
    [
        ("plain", {"case.delivered", "case.evaluated"}),
        ("corrected", {"case.delivered", "case.evaluated"}),
        ("corrected_twice", {"case.delivered", "case.evaluated"}),
        ("suspended", {"case.delivered", "case.evaluated"}),
        ("cross_region_counter", {"case.delivered", "case.evaluated"}),
        ("not_accepted", {"case.not_accepted"}),
        ("withdrawn", {"case.withdrawn"}),
        ("own_counter", {"case.delivered", "case.evaluated"}),
    ],
)
def test_each_way_ends_as_it_should(path: str, last: set[str]) -> None:
    for case in CASES:
        if case.path == path and case.message is not None:
            said = [planned.type for planned in live(case)]
            assert said[-1] in last, (case.case_ref, said)
            assert said.count("case.delivered") == (1 if "case.delivered" in last else 0)
            assert said.count("case.corrected") == {"corrected": 1, "corrected_twice": 2}.get(path, 0)


def test_cross_region_cases_are_accepted_at_one_window_and_handed_out_by_the_other() -> None:
    for case in CASES:
        if case.path.startswith("cross_region"):
            speakers = {planned.type: planned.member for planned in live(case)}
            assert speakers["case.accepted"] == case.member
            assert speakers["case.decided"].startswith("dept-")
            assert {case.member, speakers["case.delivered"]} == {"window-haikou", "window-sanya"}


def test_business_times_of_a_case_never_run_backwards() -> None:
    for case in CASES:
        if case.message is not None:
            per_member: dict[str, str] = {}
            for planned in live(case):
                assert planned.occurred_at >= per_member.get(planned.member, "")
                per_member[planned.member] = planned.occurred_at


def test_source_keys_are_unique_within_a_member() -> None:
    for case in CASES:
        if case.message is not None:
            keys = [(planned.member, planned.source_ref) for planned in live(case)]
            assert len(keys) == len(set(keys))


def test_check_digits_of_every_party_are_true() -> None:
    for case in CASES:
        if case.message is None:
            continue
        body = case.message["body"]
        assert item_code_ok(body["item"])
        party = body["applicant"]
        assert uscc_ok(party["idNo"]) if party["idType"] == "001" else id_number_ok(party["idNo"])
        assert id_number_ok(body["agent"]["idNo"])


def test_r12_a_third_of_the_cases_carry_files_that_exist_with_their_true_digest() -> None:
    known = materials.files_by_digest()
    carrying = [case for case in CASES if cases.digests(case)]
    assert 0.25 < len(carrying) / len(CASES) < 0.45
    for case in carrying:
        for digest in cases.digests(case):
            assert digest in known


def test_the_generator_is_deterministic_and_its_committed_output_is_current() -> None:
    made = {(case.member, case.case_ref): case for case in generate.committed()}
    kept = {(case.member, case.case_ref): case for case in cases.load(EXAMPLES / "cases")}
    assert made == kept


def test_scaled_cases_keep_the_shares_and_never_repeat_a_reference() -> None:
    made = list(generate.cases(2_000, seed=7, first=100_001))
    share = sum(case.path in ("plain", "not_permitted") for case in made) / len(made)
    assert 0.64 < share < 0.71
    assert len({(case.member, case.case_ref) for case in made}) == len(made)
    assert msgspec.json.encode(made[:50]) == msgspec.json.encode(
        list(generate.cases(50, seed=7, first=100_001))
    )
