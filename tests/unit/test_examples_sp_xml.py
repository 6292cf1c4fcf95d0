"""The 2009 department and the hub read and write the SP* dialect independently and agree, field by field."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.formats import sp_xml as hub_side
from adapters.ports import Dispatch, Submission
from schemas import contracts, validate
from stubs import cases, department, forms, sp_documents, sp_xml
from stubs.model import Event, Planned

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = [case for case in cases.load(EXAMPLES / "cases") if case.document]
FOR_DEPT_B = [
    case
    for case in cases.load(EXAMPLES / "cases")
    if case.message is not None
    and case.path in ("plain", "suspended", "corrected", "not_accepted", "not_permitted")
    and forms.form_answers(case.message["body"]["form"])["departmentCode"]
    == department.OFFICES["dept-b"].org_code
]
CASE_NO = "460123456789ABCDEFG"


def normalised(type_: str, body: dict[str, Any]) -> dict[str, Any]:
    return validate.check(contracts.load().by_type(type_), body)


def spoken(case: cases.CaseFile) -> Iterator[Planned]:
    """What dept-b says after it received this case."""
    assert case.message is not None
    event = Event(
        dispatch_id="d" * 32,
        message_id="m" * 32,
        kind="case.submitted",
        case_no=CASE_NO,
        source=case.member,
        occurred_at=case.message["occurredAt"],
        body=case.message["body"],
    )
    yield from department.react(department.OFFICES["dept-b"], event, None).planned


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.case_ref)
def test_r03_own_counter_documents_are_valid_submissions(case: cases.CaseFile) -> None:
    assert case.document.startswith(b'<?xml version="1.0" encoding="gb2312"?>')
    (submission,) = hub_side.read(case.document)
    assert (submission.type, submission.case_ref) == ("case.submitted", case.case_ref)
    normalised(submission.type, submission.body)
    assert forms.scenario_of(submission.body["form"]) == "own_counter"


def test_r14_some_examples_hold_characters_outside_gb2312_under_a_gb2312_label() -> None:
    def needs_gbk(text: str) -> bool:
        try:
            text.encode("gb2312")
        except UnicodeEncodeError:
            return True
        return False

    spoken_texts = [
        sp_documents.document(planned)[1].decode("gbk") for case in FOR_DEPT_B for planned in spoken(case)
    ]
    assert any(needs_gbk(text) for text in spoken_texts)


def test_r01_every_word_of_dept_b_reads_back_as_it_was_meant() -> None:
    seen: set[str] = set()
    for case in FOR_DEPT_B:
        for planned in spoken(case):
            _operation, document = sp_documents.document(planned)
            (submission,) = hub_side.read(document, org=None)
            assert submission.type == planned.type
            assert submission.case_no == CASE_NO
            assert _comparable(submission) == _meant(planned)
            seen.add(planned.type)
    assert seen == sp_documents.TYPES


def test_what_the_hub_writes_for_dept_b_is_what_dept_b_reads() -> None:
    case = next(case for case in FOR_DEPT_B if case.path == "plain")
    assert case.message is not None
    body = normalised("case.submitted", case.message["body"])
    dispatch = Dispatch(
        id="0123456789abcdef" * 2,
        message_id="fedcba9876543210" * 2,
        member="dept-b",
        kind="case.submitted",
        type="case.submitted",
        case_no=CASE_NO,
        source="platform",
        occurred_ms=body["appliedAt"],
        body=body,
        region=body["region"],
        item=body["item"],
    )
    event = sp_xml.read_dispatch(hub_side.write(dispatch))
    assert (event.dispatch_id, event.message_id) == (dispatch.id, dispatch.message_id)
    assert (event.kind, event.case_no, event.source) == ("case.submitted", CASE_NO, "platform")
    assert event.occurred_at == case.message["occurredAt"]
    assert forms.scenario_of(event.body["form"]) == "plain"
    for field in ("item", "itemName", "region", "projectType"):
        assert event.body[field] == body[field]
    assert [m["code"] for m in event.body["materials"]] == [m["code"] for m in body["materials"]]


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY x "y">]><APPROVEDATAINFO>&x;</APPROVEDATAINFO>',
        "<APPROVEDATAINFO>",
        "<OTHER/>",
        "<APPROVEDATAINFO><SBLSH_SHORT>1</SBLSH_SHORT></APPROVEDATAINFO>",
        "not xml at all",
    ],
)
def test_dept_b_refuses_what_it_cannot_read(text: str) -> None:
    with pytest.raises(sp_xml.Unreadable):
        sp_xml.read_dispatch(text)


def _comparable(submission: Submission) -> dict[str, Any]:
    return normalised(submission.type, submission.body)


def _meant(planned: Planned) -> dict[str, Any]:
    body = normalised(planned.type, planned.body)
    if planned.type == "case.correction_notified":
        # The dialect counts days from the notice instead of naming the last one.
        body["deadline"] = body["notifiedAt"] + 5 * 86_400_000
    return body


def test_the_form_of_an_own_counter_document_is_the_applicants_own_text() -> None:
    text = CASES[0].document.decode("gbk")
    found = re.search(r"<XML_DATA>(.*?)</XML_DATA>", text, re.DOTALL)
    assert found
    (submission,) = hub_side.read(CASES[0].document)
    assert base64.b64decode(submission.body["form"]["content"]).decode() == found[1].replace("&quot;", '"')
