"""What is admitted in one pass is what the checkers take, in the same bytes; what they would refuse is never
admitted, and a rule that the pass does not know closes it."""

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from admitted import admitted_alike
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import admission, samples
from schemas.contracts import load
from schemas.model import Contract, Field, Kind, Record

CONTRACTS = {contract.name: contract for contract in load()}
# Each kind of value that some field takes and another does not, at and beyond the limits.
EDGES: tuple[Any, ...] = (
    None, "", " ", "\t", "a\nb", "a\x00b", "a\ud800b", "字" * 30, "字" * 31, "a" * 100, "a" * 101,
    "a" * 1_001, "a" * 1_100, "1", "0", "1\n", "9", "414", "111", "001", "ß" * 18,
    "11010519491231002x", "11010519491231002X", "460100199003071238", "460105", "460105001",
    "46010", samples.ITEM, samples.ITEM[:-1], samples.USCC_COMPANY, samples.USCC_COMPANY[:-1] + "1",
    "YWJj", "YWJj=", "YWJj\n", "YWJ", "2025-03-03T09:15:00+08:00", "2025-03-03",
    "0001-01-01T00:00:00", "1899-12-31", "sm3:" + "a" * 64, "a" * 64, 0, 1, -1, 1.0, 1.5, True,
    False, 2**31 - 1, 2**31, -(2**31), 2**63, 10**18, 1_700_000_000_000, [], [1], ["H62"],
    ["H62"] * 101, {}, {"name": "x"}, b"abc",
)  # fmt: skip


@pytest.mark.parametrize("type_", samples.types())
def test_every_sample_is_admitted(type_: str) -> None:
    assert admitted_alike(CONTRACTS[type_], samples.body(type_))


@pytest.mark.parametrize("version", load().all, ids=lambda contract: f"{contract.name} v{contract.version}")
def test_no_version_says_more_than_the_pass_knows(version: Contract) -> None:
    assert admission.source(version.body)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything in a body."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


@pytest.mark.parametrize("type_", samples.types())
def test_at_every_place_every_edge_is_judged_alike(type_: str) -> None:
    body = samples.body(type_)
    for container, key in list(places(body)):
        usual = container[key]
        for edge in EDGES:
            container[key] = edge
            admitted_alike(CONTRACTS[type_], body)
        container[key] = usual
    assert admitted_alike(CONTRACTS[type_], body), "left as it was"


@pytest.mark.parametrize("type_", samples.types())
def test_what_is_left_out_or_too_much_is_judged_alike(type_: str) -> None:
    body = samples.body(type_)
    objects = [body, *(c[k] for c, k in places(body) if isinstance(c[k], dict))]
    for one in objects:
        for name in list(one):
            given = one.pop(name)
            admitted_alike(CONTRACTS[type_], body)
            one["colour"] = "red"
            assert not admitted_alike(CONTRACTS[type_], body), "a name the contract does not know"
            del one["colour"]
            one[name] = given


values = st.sampled_from(EDGES) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.data())
def test_bodies_changed_in_several_places_are_judged_alike(data: st.DataObject) -> None:
    type_ = data.draw(st.sampled_from(samples.types()))
    body = samples.body(type_)
    for _ in range(data.draw(st.integers(1, 4))):
        container, key = data.draw(st.sampled_from(list(places(body))))
        container[key] = copy.deepcopy(data.draw(values))
    admitted_alike(CONTRACTS[type_], body)


@settings(max_examples=40)
@given(st.data())
def test_bodies_of_every_optional_field_are_judged_alike(data: st.DataObject) -> None:
    type_ = data.draw(st.sampled_from(samples.types()))
    admitted_alike(CONTRACTS[type_], data.draw(bodies(CONTRACTS[type_].body)))


def bodies(record: Record) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies that are mostly in order, with any of the optional fields."""
    named = {field.name: _values(field) for field in record.fields}
    required = {field.name: named[field.name] for field in record.fields if field.required}
    return st.fixed_dictionaries(required, optional={k: v for k, v in named.items() if k not in required})


def _values(field: Field) -> st.SearchStrategy[Any]:
    limits = field.attributes
    match field.kind:
        case Kind.STRING if "enumCodes" in limits:
            return st.sampled_from(list(limits["enumCodes"]))
        case Kind.STRING if "pattern" in limits:
            return st.from_regex(limits["pattern"], fullmatch=True)
        case Kind.STRING:
            codes = [samples.ITEM, samples.USCC_COMPANY, samples.REGION, "11010519491231002x"]
            return st.sampled_from(codes) | st.text(min_size=1, max_size=limits.get("maxLength", 40))
        case Kind.INT | Kind.LONG:
            return st.integers(limits.get("minimum", -5), limits.get("maximum", 2_000))
        case Kind.BOOLEAN:
            return st.booleans()
        case Kind.BYTES:
            return st.sampled_from(["", "YWJj", "Y" * 4_000])
        case Kind.TIME:
            return st.just("2025-03-03T09:15:00+08:00") | st.integers(0, 2 * 10**12)
        case Kind.ARRAY:
            assert field.items is not None
            return st.lists(_values(field.items), min_size=limits.get("minItems", 0), max_size=3)
        case Kind.RECORD:
            assert field.record is not None
            return bodies(field.record)


def test_a_rule_that_the_pass_does_not_know_closes_it() -> None:
    contract = CONTRACTS["case.submitted"]
    first, *others = contract.body.fields
    strict = msgspec.structs.replace(first, attributes=first.attributes | {"newRule": "of tomorrow"})
    of_field = msgspec.structs.replace(contract.body, fields=(strict, *others))
    of_record = msgspec.structs.replace(contract.body, attributes=contract.body.attributes | {"newRule": 1})
    for number, body in enumerate((of_field, of_record)):
        changed = msgspec.structs.replace(contract, body=body, fingerprint=f"changed-{number}")
        assert admission.admit(changed, samples.body("case.submitted")) is None
