"""The derived JSON Schemas say what the validator says: the same bodies pass and fail, but for rules that no
schema can express."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import samples, validate
from schemas.contracts import load
from schemas.derive import jsonschema as derived
from schemas.errors import ContractError

# What no schema can say: check digits, days that do not exist, the digest inside a reference, the last two
# bytes of a base64 text.
BEYOND_SCHEMAS = {"check digit", "uscc", "idNumber", "itemCode", "time", "file reference", "maxBytes"}
VALIDATORS = {c.name: jsonschema.Draft202012Validator(derived.render(c)) for c in load()}


def broken_rules(type_: str, body: Any) -> set[str]:
    try:
        validate.check(load().by_type(type_), body)
    except ContractError as error:
        return {violation.rule for violation in error.violations}
    return set()


def agree(type_: str, body: Any) -> None:
    rules, accepted = broken_rules(type_, body), VALIDATORS[type_].is_valid(body)
    if not rules:
        assert accepted, list(VALIDATORS[type_].iter_errors(body))
    elif rules - BEYOND_SCHEMAS:
        assert not accepted, rules


@pytest.mark.parametrize("type_", samples.types())
def test_every_schema_is_a_schema_and_accepts_the_sample(type_: str) -> None:
    jsonschema.Draft202012Validator.check_schema(derived.render(load().by_type(type_)))
    VALIDATORS[type_].validate(samples.body(type_))


@pytest.mark.parametrize("type_", samples.types())
def test_both_miss_the_same_required_fields_and_both_let_optional_ones_be_absent(type_: str) -> None:
    for field in load().by_type(type_).fields:
        for absent in ({}, {field.name: None}, {field.name: ""}):
            body = {key: value for key, value in samples.body(type_).items() if key != field.name} | absent
            agree(type_, body)
            agree(type_, body | {"unknown": 1})


ODD_TEXTS = ["", " ", "\u3000", "x", "1", "9", "字" * 31, "字" * 101, "x" * 1001, "a\x00b", "a\nb", "red"]
ODD_TEXTS += [
    "460105",
    "2025-03-03",
    "2025-03-03T09:00:00",
    "20250303090000",
    "yesterday",
    "414",
    "111",
    "001",
]
ODD_TEXTS += ["not base64!", "YWJj", "YWJ", "0" * 32, "0" * 64, "application/json", "11010519491231002X"]
ODD_TEXTS += ["11010519491231002x", samples.USCC_AGENCY, samples.USCC_AGENCY.lower(), samples.ITEM]
ODD_OTHERS: list[Any] = [None, True, False, 0, 1, 1.0, 1.5, 100, -1, 2**31, 2**63, 1_740_964_500_000]
ODD_OTHERS += [[], {}, ["H62"], ["h 62"], [1], [{}], {"code": "x"}, {"name": "某"}]
ODD_VALUES = (
    st.sampled_from(ODD_TEXTS)
    | st.sampled_from(ODD_OTHERS)
    | st.text(st.characters(codec="utf-8"), max_size=40).map(str.rstrip)
)


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_one_odd_value_anywhere_is_judged_alike(data: st.DataObject) -> None:
    type_ = data.draw(st.sampled_from(samples.types()))
    body: Any = samples.body(type_)
    target: Any = body
    while True:
        key = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
        inner = target[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        target = inner
    target[key] = data.draw(ODD_VALUES)
    agree(type_, body)


PAPER = samples.body("case.submitted")["materials"][0]


@pytest.mark.parametrize(
    ("type_", "changes"),
    [
        ("case.decided", {"result": "1", "explanation": None}),
        ("case.decided", {"result": "1", "explanation": ""}),
        ("case.delivered", {"receiver": {"name": "某", "idNo": "E1234567"}}),
        ("case.corrected", {"materials": [PAPER | {"ref": "sm3:" + "0" * 64}]}),
        ("case.delivered", {"receiver": {"name": "某", "idType": "111", "idNo": "E1234567"}}),
    ],
)
def test_rules_between_fields_are_in_the_schema(type_: str, changes: dict[str, Any]) -> None:
    body = samples.body(type_) | changes
    assert broken_rules(type_, body)
    assert not VALIDATORS[type_].is_valid(body)
