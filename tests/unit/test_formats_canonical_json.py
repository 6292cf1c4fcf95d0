"""Canonical JSON read strictly and written exactly: what a REST member may send, and what it gets."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats import canonical_json
from adapters.ports import Dispatch, FormatError

GOOD: dict[str, Any] = {
    "type": "case.process_step",
    "sourceRef": "STEP-1",
    "occurredAt": "2026-03-01T09:00:00",
    "caseNo": "46ABC",
    "body": {"stepName": "审核", "action": "1"},
}


def raw(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}, ensure_ascii=False).encode()


def dispatch(**changes: Any) -> Dispatch:
    values: dict[str, Any] = {
        "id": "d" * 32,
        "message_id": "m" * 32,
        "member": "dept-a",
        "kind": "case.submitted",
        "type": "case.submitted",
        "case_no": "46X",
        "source": "platform",
        "occurred_ms": 1_772_326_800_000,
        "body": {
            "appliedAt": 1_772_326_800_123,
            "form": {"content": b"\x00\xff"},
            "window": None,
            "itemVersion": 3,
        },
    }
    return Dispatch(**{**values, **changes})


def test_a_good_message_is_read_with_its_defaults() -> None:
    message = canonical_json.decode(raw())
    assert (message.type, message.source_ref, message.version) == ("case.process_step", "STEP-1", 1)
    assert message.case_no == "46ABC"
    assert message.body == {"stepName": "审核", "action": "1"}


TEXTS = st.text(alphabet=st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXTS | st.just('":') | st.just('x\\":'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.sampled_from([None, 1]))
def test_what_was_written_is_read(document: dict[str, Any], indent: int | None) -> None:
    for ascii_only in (True, False):
        written = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
        assert canonical_json.load_object(written) == document


@given(TEXTS, VALUES, VALUES)
def test_a_name_given_twice_is_never_overlooked(name: str, first: Any, second: Any) -> None:
    label = json.dumps(name)
    written = f'{{"body": {{{label}: {json.dumps(first)}, {label} : {json.dumps(second)}}}}}'.encode()
    with pytest.raises(FormatError) as refusal:
        canonical_json.load_object(written)
    assert refusal.value.rule == "unique names"


def test_a_byte_order_mark_of_an_old_system_is_accepted() -> None:
    assert canonical_json.decode(b"\xef\xbb\xbf" + raw()).source_ref == "STEP-1"


REFUSED = {
    "not utf-8": (b'{"type": "\xff"}', "$", "UTF-8"),
    "not json": (b'{"type": ', "$", "well-formed JSON"),
    "not an object": (b"[1]", "$", "object"),
    "duplicate name": (b'{"type": "a", "type": "b"}', "type", "unique names"),
    "duplicate deep inside": (b'{"body": {"a": {"x": 1, "x": 2}}}', "x", "unique names"),
    "NaN": (b'{"body": {"a": NaN}}', "$", "number"),
    "endless integer": (b'{"body": {"a": ' + b"9" * 5000 + b"}}", "$", "number"),
    "unknown field": (raw(hacked=1), "hacked", "unknown field"),
    "no type": (raw(type=""), "type", "required"),
    "no sourceRef": (raw(sourceRef=None), "sourceRef", "required"),
    "type not a string": (raw(type=5), "type", "string"),
    "sourceRef too long": (raw(sourceRef="x" * 201), "sourceRef", "at most 200 characters"),
    "body missing": (raw(body=None), "body", "object"),
    "version 0": (raw(version=0), "version", "integer 1..999999"),
    "version true": (raw(version=True), "version", "integer 1..999999"),
    "nested too deep": (raw(body=json.loads('{"a":' * 17 + "1" + "}" * 17)), "$", "depth at most 16"),
    "nested absurdly deep": (b"[" * 200_000, "$", "depth at most 16"),
    "control character": (rb'{"body": {"a": "x\u0000y"}}', "$", "no control characters"),
    "backspace": (rb'{"body": {"a": "x\by"}}', "$", "no control characters"),
    "half a surrogate pair": (rb'{"body": {"a": "\ud83d"}}', "$", "no control characters"),
    "no character at all": (rb'{"body": {"a": "\uffff"}}', "$", "no control characters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_json_is_refused_naming_field_and_rule(name: str) -> None:
    document, field, rule = REFUSED[name]
    with pytest.raises(FormatError) as refusal:
        canonical_json.decode(document)
    assert (refusal.value.field, refusal.value.rule) == (field, rule)
    assert "RFC 8259" in refusal.value.zh
    assert "RFC 8259" in refusal.value.en


def test_the_size_limit_is_exact() -> None:
    document = raw()
    assert canonical_json.decode(document, body_bytes_max=len(document)).source_ref == "STEP-1"
    with pytest.raises(FormatError, match="上限"):
        canonical_json.decode(document, body_bytes_max=len(document) - 1)


def test_an_escaped_chinese_character_is_not_suspect() -> None:
    assert canonical_json.decode(json.dumps(GOOD).encode()).body["stepName"] == "审核"


def test_outward_times_are_shanghai_bytes_are_base64_and_absent_fields_are_left_out() -> None:
    out = json.loads(canonical_json.encode(dispatch(flags=("second-correction",))))
    assert out["occurredAt"] == "2026-03-01T09:00:00+08:00"
    assert out["body"]["appliedAt"] == "2026-03-01T09:00:00.123+08:00"
    assert base64.b64decode(out["body"]["form"]["content"]) == b"\x00\xff"
    assert out["body"]["itemVersion"] == 3
    assert "window" not in out["body"]
    assert out["flags"] == ["second-correction"]
    assert out["dispatchId"] == "d" * 32


def test_a_supervision_copy_carries_the_whole_content_as_one_string() -> None:
    out = json.loads(canonical_json.encode(dispatch(kind="case.supervision_copy")))
    assert out["body"]["copyOf"] == "case.submitted"
    assert out["body"]["caseNo"] == "46X"
    assert json.loads(out["body"]["content"])["itemVersion"] == 3


def test_the_same_dispatch_is_always_written_the_same() -> None:
    assert canonical_json.encode(dispatch()) == canonical_json.encode(dispatch())
