"""Values on the wire: Confluent wire format, one error class for whatever is not one, and no way to make the
reader allocate."""

import contextlib
import io
import struct
import tracemalloc
from typing import Any

import fastavro
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas import codec, samples, validate
from schemas.codec import VALUE_BYTES_MAX
from schemas.contracts import load
from schemas.errors import ContractError
from schemas.model import Field, Kind, Record


def value_of(type_: str) -> bytes:
    contract = load().by_type(type_)
    return codec.encode(contract, validate.check(contract, samples.body(type_)))


@pytest.mark.parametrize("type_", samples.types())
def test_what_is_encoded_is_decoded(type_: str) -> None:
    contract = load().by_type(type_)
    body = validate.check(contract, samples.body(type_))
    value = codec.encode(contract, body)
    assert value[0] == 0
    assert struct.unpack(">I", value[1:5]) == (contract.schema_id,)
    assert codec.decode(value) == (contract, body)


@pytest.mark.parametrize("type_", samples.types())
@settings(max_examples=30)
@given(data=st.data())
def test_the_bytes_are_those_of_the_reference_writer(type_: str, data: st.DataObject) -> None:
    contract = load().by_type(type_)
    body = data.draw(bodies(contract.body))
    reference = io.BytesIO()
    fastavro.schemaless_writer(reference, contract.codec_schema, body)
    assert codec.encode(contract, body)[5:] == reference.getvalue()


def bodies(record: Record) -> st.SearchStrategy[dict[str, Any]]:
    """Anything that Avro can carry, whether a contract would allow it or not."""
    return st.fixed_dictionaries(
        {
            field.name: _values(field) if field.required else st.none() | _values(field)
            for field in record.fields
        }
    )


def _values(field: Field) -> st.SearchStrategy[Any]:
    match field.kind:
        case Kind.STRING:
            return st.text(max_size=80) | st.just("字" * 5_000)
        case Kind.INT:
            return st.integers(-(2**31), 2**31 - 1)
        case Kind.LONG | Kind.TIME:
            return st.integers(-(2**63), 2**63 - 1)
        case Kind.BOOLEAN:
            return st.booleans()
        case Kind.BYTES:
            return st.binary(max_size=80) | st.just(bytes(3_000))
        case Kind.ARRAY:
            assert field.items is not None
            return st.lists(_values(field.items), max_size=3)
        case Kind.RECORD:
            assert field.record is not None
            return bodies(field.record)


def test_a_value_cut_anywhere_is_an_error() -> None:
    value = value_of("case.submitted")
    for length in range(len(value)):
        with pytest.raises(ContractError):
            codec.decode(value[:length])


def test_trailing_bytes_are_an_error() -> None:
    with pytest.raises(ContractError, match="trailing"):
        codec.decode(value_of("case.decided") + b"\0")


def test_another_magic_byte_is_an_error() -> None:
    with pytest.raises(ContractError, match="first byte"):
        codec.decode(b"\1" + value_of("case.decided")[1:])


def test_an_unknown_schema_id_is_an_error_that_names_the_id() -> None:
    with pytest.raises(ContractError, match="999999"):
        codec.decode(struct.pack(">bI", 0, 999_999) + b"\0" * 10)


@pytest.mark.parametrize("length", [2**31 - 1, 2**40, 2**62, -1, -(2**62)])
def test_a_huge_or_negative_length_costs_no_memory(length: int) -> None:
    head = struct.pack(">bI", 0, load().by_type("case.withdrawn").schema_id) + b"\0"
    zigzag = (length << 1) ^ (length >> 63)
    varint = b""
    while zigzag > 0x7F:
        varint, zigzag = varint + bytes([zigzag & 0x7F | 0x80]), zigzag >> 7
    tracemalloc.start()
    try:
        with pytest.raises(ContractError):
            codec.decode(head + varint + bytes([zigzag]) + b"abc")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_value_over_the_limit_is_refused_before_it_is_read_and_before_it_is_sent() -> None:
    with pytest.raises(ContractError, match=str(VALUE_BYTES_MAX)):
        codec.decode(b"\0" * (VALUE_BYTES_MAX + 1))
    contract = load().by_type("case.supervision_copy")
    body = validate.check(contract, samples.body("case.supervision_copy"))
    with pytest.raises(ContractError, match=str(VALUE_BYTES_MAX)):
        codec.encode(contract, body | {"content": "字" * 400_000})


def test_the_largest_legal_submission_fits() -> None:
    contract = load().by_type("case.submitted")
    body = samples.body("case.submitted")
    material = samples.body("case.submitted")["materials"][1] | {
        "name": "料" * 200,
        "code": "码" * 50,
        "mediaType": "型" * 100,
    }
    body |= {"materials": [material] * 100, "projectName": "项" * 1000}
    normal = validate.check(contract, body)
    normal["form"]["content"] = bytes(262_144)
    assert len(codec.encode(contract, validate.check(contract, normal))) < VALUE_BYTES_MAX


def test_a_body_that_does_not_fit_its_contract_is_a_contract_error() -> None:
    contract = load().by_type("case.withdrawn")
    for body in (
        {},
        {"withdrawnAt": "x", "reason": "r", "by": "b"},
        {"withdrawnAt": 1, "reason": 2, "by": "b"},
        {"withdrawnAt": 2**63, "reason": "r", "by": "b"},
        {"withdrawnAt": 1, "reason": "\ud800", "by": "b"},
        {"withdrawnAt": 1, "reason": b"r", "by": "b"},
    ):
        with pytest.raises(ContractError):
            codec.encode(contract, body)


@settings(max_examples=400)
@given(st.binary(max_size=300), st.sampled_from([c.schema_id for c in load().all]))
@example(b"\xff" * 200, 1)
def test_garbage_behind_any_schema_id_is_a_body_or_a_contract_error(noise: bytes, number: int) -> None:
    try:
        _, body = codec.decode(struct.pack(">bI", 0, number) + noise)
    except ContractError:
        return
    assert isinstance(body, dict)


@settings(max_examples=400)
@given(st.data())
def test_one_changed_byte_is_a_body_or_a_contract_error(data: st.DataObject) -> None:
    value = bytearray(value_of(data.draw(st.sampled_from(samples.types()))))
    value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ContractError):
        codec.decode(bytes(value))
