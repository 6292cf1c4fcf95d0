"""Messages as rows of the national tables: every prescribed column has a source, every limit is checked."""

from typing import Any

import pytest

from adapters.formats import up_tables
from adapters.formats.up_tables import Card, Plan, plan
from adapters.ports import Dispatch, FormatError
from schemas import contracts, samples
from schemas.codec import decode, encode
from schemas.validate import check

CASE_NO = "46ABCDEFGH01234567X"


def dispatch(type_: str, source_key: str = "K-1", **changes: Any) -> Dispatch:
    contract = contracts.load().by_type(type_)
    _, body = decode(encode(contract, check(contract, samples.body(type_))))
    return Dispatch(
        id="d" * 32,
        message_id="e" * 32,
        member="nation",
        kind=type_,
        type=type_,
        case_no=CASE_NO,
        source="dept-a",
        occurred_ms=0,
        source_key=source_key,
        body={**body, **changes},
    )


def after(*types: str) -> Card:
    card = Card()
    for type_ in types:
        card = plan(dispatch(type_), card).card
    return card


def rows_of(type_: str, *before: str, **changes: Any) -> Plan:
    return plan(dispatch(type_, **changes), after(*before))


def test_a_submission_gives_no_row_but_fills_the_card() -> None:
    found = rows_of("case.submitted")
    assert found.rows == ()
    assert found.card.submitted["task_code"] == samples.ITEM[:31]
    assert found.card.submitted["catalog_code"] == samples.ITEM[19:31]
    assert found.card.submitted["task_handle_item"] == samples.ITEM


def test_r13_the_acceptance_has_every_column_the_nation_requires() -> None:
    found = rows_of("case.accepted", "case.submitted")
    accept, *materials = found.rows
    assert accept.table == "up_pro_accept"
    required = {column.name for column in up_tables.TABLES["up_pro_accept"] if column.required}
    assert {name for name in required if accept.values.get(name) in (None, "")} == set()
    assert {row.table for row in materials} == {"up_pro_material"}
    assert len(materials) == len(samples.body("case.submitted")["materials"])
    assert found.card.accepted


def test_r30_parents_come_first() -> None:
    assert rows_of("case.not_accepted", "case.submitted").rows[0].table == "up_pro_accept"
    assert rows_of("case.not_accepted", "case.submitted").rows[-1].values["result_type"] == "6"


def test_an_acceptance_without_its_submission_is_refused_not_half_written() -> None:
    with pytest.raises(FormatError, match="applyer_name"):
        rows_of("case.accepted")


def test_a_step_without_end_and_opinion_is_still_complete() -> None:
    (row,) = rows_of("case.process_step", endedAt=None, opinion=None, action="2").rows
    assert row.values["event_end_time"] == row.values["event_start_time"]
    assert row.values["handle_explain"] == "退回"


def test_a_special_procedure_is_sent_when_it_has_ended() -> None:
    assert rows_of("case.special_started").rows == ()
    (row,) = rows_of("case.special_ended", "case.special_started").rows
    assert row.table == "up_pro_special_procedure"
    assert row.values["special_time"] < row.values["end_time"]
    with pytest.raises(FormatError, match="special_time"):
        rows_of("case.special_ended")


def test_r31_the_row_is_the_same_whatever_the_version_of_its_message() -> None:
    one = plan(dispatch("case.process_step", "STEP-1"), Card()).rows[0]
    corrected = plan(dispatch("case.process_step", "STEP-1", opinion="更正"), Card()).rows[0]
    other = plan(dispatch("case.process_step", "STEP-2"), Card()).rows[0]
    assert one.row_guid == corrected.row_guid
    assert one.row_guid != other.row_guid
    assert (
        rows_of("case.decided").rows[0].row_guid
        == rows_of("case.decided", explanation="更正").rows[0].row_guid
    )


def test_corrected_materials_are_sent_at_once_only_behind_their_parent() -> None:
    assert rows_of("case.corrected", "case.submitted").rows == ()
    sent = rows_of("case.corrected", "case.submitted", "case.accepted").rows
    assert {row.table for row in sent} == {"up_pro_material"}


def test_times_are_beijing_time() -> None:
    row = rows_of("case.decided", decidedAt=1_772_326_800_000).rows[0]
    assert row.values["result_date"].isoformat() == "2026-03-01T09:00:00"


TOO_LONG = [
    ("case.submitted", {"agent": {"name": "王", "mobile": "0898-66668888"}}, "up_pro_accept.contact_mobile"),
    ("case.submitted", {"itemName": ""}, "up_pro_accept.task_name"),
    ("case.submitted", {"applyType": "123"}, "up_pro_accept.apply_type"),
    ("case.process_step", {"handler": None}, "up_pro_process.handle_user_name"),
    ("case.process_step", {"opinion": "长" * 2001}, "up_pro_process.handle_explain"),
    ("case.process_step", {"opinion": "a\x00"}, "up_pro_process.handle_explain"),
    ("case.decided", {"explanation": "长" * 2001}, "up_pro_result.result_explain"),
    ("case.special_started", {"reason": None}, "up_pro_special_procedure.special_reason"),
]


@pytest.mark.parametrize(("type_", "changes", "place"), TOO_LONG)
def test_r30_lengths_and_not_null_are_checked_before_writing(
    type_: str, changes: dict[str, Any], place: str
) -> None:
    with pytest.raises(FormatError) as refusal:
        rows_of(type_, **changes)
    assert refusal.value.field == place
    assert place in refusal.value.zh
    assert place in refusal.value.en


def test_a_kind_without_a_table_gives_no_row() -> None:
    assert rows_of("case.delivered").rows == ()
