"""What the gateway lifts into headers is what the body says, and nothing personal travels in a header.

Prepared messages only: no server, no broker. The expectation is written out here, not taken from the
contracts' own lifting code.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.ports import Submission
from hub import ids
from hub.envelope import from_record, to_headers
from hub.gateway.callers import Caller
from hub.gateway.intake import Intake, without_nulls
from hub.gateway.known import Known
from hub.gateway.metrics import Metrics
from schemas import codec, samples
from signing.pseudonym import pseudonym

KEY = b"a pseudonym key of this test"
CASE = ids.case_number("platform", "", "A-1")
CALLER = Caller("platform", (b"k",))


class NoProducer:
    """Nothing is produced here."""

    async def send(self, *_: Any) -> tuple[int, int]:
        raise AssertionError("prepare must not produce")


INTAKE = Intake(NoProducer(), Known(), Metrics(), province="46", pseudonym_key=KEY, record_bytes_max=983_040)


def flag(value: bool | None) -> str | None:
    return None if value is None else "1" if value else "0"


def party(body: dict[str, Any]) -> str:
    return pseudonym(f"{body['applicant']['idType']}:{body['applicant']['idNo']}", KEY)


def subject(body: dict[str, Any]) -> str:
    return pseudonym(f"{body['subjectIdType']}:{body['subjectIdNo']}", KEY)


EXPECTED: dict[str, dict[str, Callable[[dict[str, Any]], Any]]] = {
    "case.submitted": {
        "ce_item": lambda b: b["item"],
        "ce_xitemVersion": lambda b: str(b["itemVersion"]),
        "ce_region": lambda b: b["region"],
        "ce_xwindow": lambda b: b["window"],
        "ce_xparty": party,
    },
    "case.material_received": {"ce_xwindow": lambda b: b["window"]},
    "case.accepted": {
        "ce_xorg": lambda b: b["org"]["code"],
        "ce_region": lambda b: b["region"],
        "ce_xwindow": lambda b: b["window"],
    },
    "case.not_accepted": {"ce_xorg": lambda b: b["org"]["code"]},
    "case.process_step": {"ce_xorg": lambda b: b["org"]["code"]},
    "case.special_started": {"ce_xsn": lambda b: str(b["sn"])},
    "case.special_ended": {"ce_xsn": lambda b: str(b["sn"])},
    "case.decided": {"ce_xresult": lambda b: b["result"], "ce_xorg": lambda b: b["org"]["code"]},
    "case.delivered": {"ce_xwindow": lambda b: b["window"]},
    "credit.reviewed": {"ce_xallow": lambda b: flag(b["allow"])},
    "credit.changed": {
        "ce_xparty": subject,
        "ce_xgrade": lambda b: b["grade"],
        "ce_xserious": lambda b: flag(b["seriousDishonesty"]),
        "ce_xbanned": lambda b: ",".join(b["bannedIndustries"]),
    },
}
CHANGES = {
    "window": st.none() | st.text("ABC窗口-0123456789", min_size=1, max_size=30),
    "region": st.sampled_from(["460100", "460105", "460200", "460204", "460105001", "460105001001"]),
    "sn": st.integers(1, 99),
    "result": st.sampled_from("0123456"),
    "allow": st.booleans(),
    "grade": st.sampled_from(["red", "orange", "blue", "black"]),
    "seriousDishonesty": st.booleans(),
    "bannedIndustries": st.lists(st.sampled_from(["C13", "F52", "I61"]), max_size=3, unique=True),
}


@pytest.mark.parametrize("type_", sorted(EXPECTED))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_header_equals_body(type_: str, data: st.DataObject) -> None:
    body = samples.body(type_)
    for name in sorted(CHANGES.keys() & body.keys()):
        body[name] = data.draw(CHANGES[name], label=name)
    message = INTAKE.prepare(CALLER, submission(type_, body))
    headers = {name: raw.decode() for name, raw in to_headers(message)}
    _, encoded = codec.decode(message.value)
    expected = {name: lift(encoded) for name, lift in EXPECTED[type_].items()}
    lifted = {
        name: value
        for name, value in headers.items()
        if name.startswith("ce_x") or name in ("ce_item", "ce_region")
    }
    assert lifted == {name: value for name, value in expected.items() if value}
    assert from_record(to_headers(message), message.value) == message


@pytest.mark.parametrize("type_", ["case.submitted", "case.delivered", "case.accepted", "credit.changed"])
def test_r06_no_personal_identifier_travels_in_a_header(type_: str) -> None:
    body = samples.body(type_)
    message = INTAKE.prepare(CALLER, submission(type_, body))
    shown = " ".join(raw.decode() for _, raw in to_headers(message)) + message.subject
    personal = {"name", "idNo", "mobile", "address", "legalPerson", "subjectIdNo", "handler"}
    for value in values_of(body, personal):
        assert value not in shown


def test_r06_a_credit_change_is_keyed_by_its_subject() -> None:
    body = samples.body("credit.changed")
    message = INTAKE.prepare(CALLER, submission("credit.changed", body))
    assert message.subject == "S" + pseudonym(f"{body['subjectIdType']}:{body['subjectIdNo']}", KEY)


def submission(type_: str, body: dict[str, Any]) -> Submission:
    known = {"case_ref": "A-1"} if type_ == "case.submitted" else {"case_no": CASE}
    return Submission(type=type_, source_ref="S-1", occurred_at="2025-03-03T09:15:00", body=body, **known)


def values_of(node: Any, names: set[str]) -> list[str]:
    if isinstance(node, dict):
        own = [value for name, value in node.items() if name in names and isinstance(value, str)]
        return own + [found for value in node.values() for found in values_of(value, names)]
    return [found for value in node for found in values_of(value, names)] if isinstance(node, list) else []


def test_g8_an_optional_field_added_to_a_contract_later_does_not_change_a_digest() -> None:
    known = {"name": "x", "materials": [{"code": "1"}]}
    grown = {"name": "x", "note": None, "materials": [{"code": "1", "copy": None}]}
    assert without_nulls(grown) == without_nulls(known) == known
