"""Validation: every broken rule is named with its place, in Chinese and English, all together; and the
routing fields are the body's."""

import base64
from typing import Any

import pytest
from admitted import admitted_alike
from hypothesis import given
from hypothesis import strategies as st

from schemas import samples, validate
from schemas.checkers import record_checker
from schemas.contracts import load
from schemas.findings import Errors
from schemas.validate import VIOLATIONS_MAX, ContractError, Violation


def checked(type_: str, **changes: Any) -> dict[str, Any]:
    admitted_alike(load().by_type(type_), samples.body(type_) | changes)
    return validate.check(load().by_type(type_), samples.body(type_) | changes)


def violations(type_: str, body: Any) -> tuple[Violation, ...]:
    assert not admitted_alike(load().by_type(type_), body)
    with pytest.raises(ContractError) as error:
        validate.check(load().by_type(type_), body)
    return error.value.violations


def broken(type_: str, **changes: Any) -> list[tuple[str, str]]:
    return [(v.field, v.rule) for v in violations(type_, samples.body(type_) | changes)]


@pytest.mark.parametrize("type_", samples.types())
def test_every_sample_is_valid_and_a_checked_body_checks_to_itself(type_: str) -> None:
    body = checked(type_)
    assert validate.check(load().by_type(type_), body) == body
    assert body.keys() == {field.name for field in load().by_type(type_).fields}


def test_every_type_has_a_sample() -> None:
    assert set(samples.types()) == {contract.name for contract in load()}


@pytest.mark.parametrize("type_", samples.types())
def test_every_required_field_is_missed_when_absent_null_or_blank(type_: str) -> None:
    for field in load().by_type(type_).fields:
        body = samples.body(type_)
        body.pop(field.name, None)
        if not field.required:
            assert validate.check(load().by_type(type_), body | {field.name: None})[field.name] is None
            continue
        for absent in (body, body | {field.name: None}):
            found = violations(type_, absent)
            assert [(v.field, v.rule) for v in found] == [(field.name, "required")]
            assert field.doc_zh in found[0].zh
            assert field.doc_en in found[0].en


def test_all_violations_come_together_each_with_its_place() -> None:
    body = samples.body("case.submitted")
    body["item"] = body["item"][:-3]
    body["applicant"]["name"] = "长" * 101
    body["materials"][1] |= {"count": 0, "medium": "stone"}
    body["form"]["content"] = "not base64!"
    body["colour"] = "red"
    del body["appliedAt"]
    assert {(v.field, v.rule) for v in violations("case.submitted", body)} == {
        ("item", "itemCode"),
        ("applicant.name", "maxLength"),
        ("materials[1].count", "range"),
        ("materials[1].medium", "enum"),
        ("form.content", "base64"),
        ("colour", "unknown field"),
        ("appliedAt", "required"),
    }


def test_violations_name_the_standard_and_never_quote_the_value() -> None:
    number = "460100199003071238"
    body = samples.body("case.submitted")
    body["agent"]["idNo"] = number
    (found,) = violations("case.submitted", body)
    assert (found.field, found.rule, found.standard) == ("agent.idNo", "check digit", "GB 11643-1999")
    assert number not in found.zh + found.en


@pytest.mark.parametrize("size", [VIOLATIONS_MAX - 1, VIOLATIONS_MAX, VIOLATIONS_MAX + 1, 100_000])
def test_violations_are_bounded(size: int) -> None:
    body = samples.body("case.evaluated") | {f"x{number}": 1 for number in range(size)}
    assert len(violations("case.evaluated", body)) == min(size, VIOLATIONS_MAX)


def test_no_more_violations_are_held_than_are_shown() -> None:
    checker = record_checker(load().by_type("case.submitted").body, "")
    for body in (
        {f"x{number}": 1 for number in range(1_000)},
        samples.body("case.submitted") | {"materials": [{"code": 1, "size": -1}] * 100},
    ):
        errors: Errors = []
        checker(body, errors)
        assert len(errors) == VIOLATIONS_MAX


def test_past_the_bound_no_place_is_mixed_up() -> None:
    body = samples.body("case.submitted")
    body["materials"] = [{"code": 1}] * 100
    for found in violations("case.submitted", body):
        assert found.field.startswith("materials[")
        assert found.field.count("[") == 1


@pytest.mark.parametrize("body", [None, [], "text", 1, True])
def test_a_body_that_is_no_object_is_one_violation(body: Any) -> None:
    assert [(v.field, v.rule) for v in violations("case.decided", body)] == [("", "type")]


@pytest.mark.parametrize(
    ("type_", "field", "value", "rule"),
    [
        ("case.decided", "result", "9", "enum"),
        ("case.decided", "result", 0, "type"),
        ("case.decided", "needDelivery", "true", "type"),
        ("case.decided", "needDelivery", 1, "type"),
        ("case.decided", "handler", "名" * 31, "maxLength"),
        ("case.decided", "handler", " \t", "required"),
        ("case.decided", "handler", "", "required"),
        ("case.decided", "handler", "a\x00b", "characters"),
        ("case.decided", "handler", "a\x1bb", "characters"),
        ("case.decided", "handler", "a\ud800b", "characters"),
        ("case.decided", "handler", "a\ufffeb", "characters"),
        ("case.decided", "decidedAt", "yesterday", "time"),
        ("case.decided", "decidedAt", True, "type"),
        ("case.decided", "decidedAt", 10**18, "time"),
        ("case.decided", "org", "海口", "type"),
        ("case.evaluated", "times", 0, "range"),
        ("case.evaluated", "times", 100, "range"),
        ("case.evaluated", "times", True, "type"),
        ("case.evaluated", "times", 1.5, "type"),
        ("case.evaluated", "times", "1", "type"),
        ("case.submitted", "itemVersion", 2**31, "range"),
        ("case.submitted", "region", "46010", "region"),
        ("case.submitted", "applyType", "0", "pattern"),
        ("case.submitted", "applyType", "1\n", "pattern"),
        ("case.submitted", "projectName", "长" * 1001, "maxLength"),
        ("case.submitted", "materials", {}, "type"),
        ("case.correction_notified", "materials", [], "minItems"),
        ("nation.rejected", "dispatchId", "F" * 32, "pattern"),
    ],
)
def test_each_limit_holds(type_: str, field: str, value: Any, rule: str) -> None:
    assert broken(type_, **{field: value}) == [(field, rule)]


def test_limits_count_characters_not_bytes() -> None:
    assert checked("case.decided", handler="名" * 30)["handler"] == "名" * 30


def test_line_breaks_and_rare_characters_are_text() -> None:
    text = "第一行\r\n\t第二行 𠮷㐂　全角空格"
    assert checked("case.decided", explanation=text)["explanation"] == text


def test_r12_a_form_of_256_kib_passes_and_one_byte_more_does_not() -> None:
    body = samples.body("case.submitted")
    for size, legal in ((262_144, True), (262_145, False), (262_147, False)):
        body["form"]["content"] = base64.b64encode(bytes(size)).decode()
        if legal:
            assert len(checked("case.submitted", form=body["form"])["form"]["content"]) == size
        else:
            assert broken("case.submitted", form=body["form"]) == [("form.content", "maxBytes")]


def test_r12_the_first_version_carries_form_and_materials() -> None:
    contract = load().by_type("case.submitted", 1)
    required = {field.name for field in contract.fields if field.required}
    assert {"form", "materials"} <= required
    material = next(field for field in contract.fields if field.name == "materials").items
    assert material is not None
    assert material.record is not None
    assert {f.name for f in material.record.fields} == {
        "code", "name", "medium", "copy", "count", "collect", "sm3", "size", "mediaType", "ref",
    }  # fmt: skip


def test_r12_a_hundred_materials_pass_and_one_more_does_not() -> None:
    paper = samples.body("case.submitted")["materials"][0]
    assert len(checked("case.submitted", materials=[paper] * 100)["materials"]) == 100
    assert broken("case.submitted", materials=[paper] * 101) == [("materials", "maxItems")]


def test_r12_a_file_reference_needs_digest_and_size_and_names_that_digest() -> None:
    file = samples.body("case.submitted")["materials"][1]
    without = {key: value for key, value in file.items() if key not in ("sm3", "size")}
    assert broken("case.corrected", materials=[without]) == [
        ("materials[0].sm3", "required"),
        ("materials[0].size", "required"),
    ]
    assert broken("case.corrected", materials=[file | {"ref": "sm3:" + "0" * 64}]) == [
        ("materials[0].ref", "file reference")
    ]


def test_r13_what_the_nation_requires_has_a_source_in_the_first_version() -> None:
    submitted = {f.name: f.required for f in load().by_type("case.submitted", 1).fields}
    assert submitted["itemVersion"]
    assert submitted["applyType"]
    party = next(f for f in load().by_type("case.submitted", 1).fields if f.name == "applicant").record
    assert party is not None
    assert {f.name: f.required for f in party.fields}["kind"]
    assert "resultType" in submitted
    assert "resultType" in {f.name for f in load().by_type("case.decided", 1).fields}


@pytest.mark.parametrize(
    ("id_type", "number", "standard"),
    [
        ("111", "460100199003071238", "GB 11643-1999"),
        ("001", samples.USCC_COMPANY[:-1] + "1", "GB 32100-2015"),
    ],
)
def test_a_document_number_is_checked_by_its_type(id_type: str, number: str, standard: str) -> None:
    applicant = samples.body("case.submitted")["applicant"] | {"idType": id_type, "idNo": number}
    (found,) = violations("case.submitted", samples.body("case.submitted") | {"applicant": applicant})
    assert (found.field, found.rule, found.standard) == ("applicant.idNo", "check digit", standard)
    passport = applicant | {"idType": "414"}
    assert checked("case.submitted", applicant=passport)["applicant"]["idNo"] == number


def test_a_lower_case_x_is_one_persons_same_number() -> None:
    applicant = samples.body("case.submitted")["applicant"]
    spellings = [applicant | {"idType": "111", "idNo": "11010519491231002" + x} for x in "xX"]
    first, second = (checked("case.submitted", applicant=spelling) for spelling in spellings)
    assert first == second


def test_a_number_outside_ascii_keeps_its_spelling() -> None:
    applicant = samples.body("case.submitted")["applicant"] | {"idType": "414", "idNo": "ß" * 18}
    body = checked("case.submitted", applicant=applicant)
    assert validate.check(load().by_type("case.submitted"), body) == body


@pytest.mark.parametrize("content", ["YWJj!", "YW Jj", "YWJj\n", "YWJ", "YWJj=", "YWJj====", "汉字"])
def test_base64_is_taken_strictly(content: str) -> None:
    form = samples.body("case.submitted")["form"] | {"content": content}
    assert broken("case.submitted", form=form) == [("form.content", "base64")]


def test_a_refusal_needs_an_explanation_and_a_grant_does_not() -> None:
    assert checked("case.decided", result="0", explanation=None)["explanation"] is None
    assert broken("case.decided", result="1", explanation=None) == [("explanation", "required")]
    assert broken("case.decided", result="5", explanation="") == [("explanation", "required")]


def test_empty_text_in_an_optional_field_is_absent() -> None:
    assert checked("case.accepted", docNo="", window="", region="", promiseDate="")["docNo"] is None


def test_an_unknown_type_is_a_contract_error() -> None:
    with pytest.raises(ContractError) as error:
        load().by_type("case.teleported")
    assert error.value.violations[0].rule == "type"


def pseudonym(type_: str, number: str) -> str:
    return f"<{type_}|{number}>"


def test_routing_fields_are_lifted_from_the_body() -> None:
    contract = load().by_type("case.submitted")
    body = validate.check(contract, samples.body("case.submitted"))
    assert validate.routing(contract, body, pseudonym) == {
        "item": samples.ITEM,
        "itemVersion": "3",
        "region": samples.REGION,
        "party": f"<001|{samples.USCC_COMPANY}>",
        "window": "HK-0103",
    }


def test_routing_writes_booleans_lists_and_numbers_as_header_text() -> None:
    contract = load().by_type("credit.changed")
    body = validate.check(contract, samples.body("credit.changed"))
    assert validate.routing(contract, body, pseudonym) == {
        "party": f"<001|{samples.USCC_COMPANY}>",
        "grade": "black",
        "serious": "1",
        "banned": "H62,F52",
    }
    no_bans = validate.check(contract, samples.body("credit.changed") | {"bannedIndustries": []})
    assert "banned" not in validate.routing(contract, no_bans, pseudonym)
    special = load().by_type("case.special_started")
    assert validate.routing(special, checked("case.special_started"), pseudonym) == {"sn": "1"}


def test_no_personal_identifier_leaves_the_body_but_as_a_pseudonym() -> None:
    secrets = {samples.USCC_COMPANY, samples.ID_NUMBER}
    for type_ in samples.types():
        lifted = validate.routing(load().by_type(type_), checked(type_), lambda type_, number: "hidden")
        assert not secrets & set(lifted.values())


def violations_or_none(type_: str, body: Any) -> tuple[Violation, ...]:
    try:
        validate.check(load().by_type(type_), body)
    except ContractError as error:
        return error.violations
    return ()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_any_json_in_any_place_is_a_body_or_a_contract_error(data: st.DataObject) -> None:
    type_ = data.draw(st.sampled_from(samples.types()))
    body: Any = samples.body(type_)
    target = body
    while True:
        key = data.draw(st.sampled_from(sorted(target)))
        if not isinstance(target[key], dict) or data.draw(st.booleans()):
            break
        target = target[key]
    target[key] = data.draw(json_values)
    for found in violations_or_none(type_, body):
        assert found.zh
        assert found.en
        assert found.rule
        assert found.standard
