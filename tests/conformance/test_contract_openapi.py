"""The derived OpenAPI document: every reference leads somewhere, every schema is one, and a whole request is
judged by it."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from jsonschema import Draft202012Validator

from schemas import samples
from schemas.contracts import load
from schemas.derive import openapi

DOCUMENT = openapi.render(load(), "https://hub.example")
SENDABLE = sorted(contract.name for contract in load() if contract.origin == "member")
ENVELOPE = {"sourceRef": "A-1", "occurredAt": "2025-03-03T09:15:00"}


def validator(component: str) -> Draft202012Validator:
    """A component's schema, with the others where its references look for them."""
    return Draft202012Validator(
        {"$ref": openapi.COMPONENTS + component, "components": DOCUMENT["components"]}
    )


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        yield from node.get("mapping", {}).values() if "propertyName" in node else ()
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_document_is_json_and_every_reference_leads_somewhere() -> None:
    document = json.loads(json.dumps(DOCUMENT))
    found = set(references(document))
    assert found
    for reference in found:
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_component_names_are_legal_and_schemas_are_schemas() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"), name
        Draft202012Validator.check_schema(schema)


def test_operation_ids_are_unique_and_every_operation_can_be_refused() -> None:
    operations = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    for operation in operations:
        assert "401" in operation["responses"]
        assert "503" in operation["responses"]


@pytest.mark.parametrize("type_", SENDABLE)
def test_a_message_of_every_type_passes_and_is_told_apart(type_: str) -> None:
    contract = load().by_type(type_)
    message = ENVELOPE | {"type": type_, "body": samples.body(type_)}
    if contract.opening:
        message |= {"caseRef": "C-1"}
    elif contract.key_rule == "case":
        message |= {"caseNo": "460123456789ABCDEFX"}
    validator("Message").validate(message)
    for missing in ("type", "sourceRef", "occurredAt", "body"):
        assert not validator("Message").is_valid({k: v for k, v in message.items() if k != missing})
    if contract.key_rule == "case":
        numberless = {k: v for k, v in message.items() if k not in ("caseNo", "caseRef")}
        assert not validator("Message").is_valid(numberless)
    assert not validator("Message").is_valid(message | {"body": message["body"] | {"unheardOf": 1}})


def test_an_opening_message_brings_no_number_of_its_own() -> None:
    message = ENVELOPE | {"type": "case.submitted", "caseRef": "C-1", "body": samples.body("case.submitted")}
    assert not validator("Message").is_valid(message | {"caseNo": "460123456789ABCDEFX"})


def test_types_made_by_the_hub_cannot_be_sent() -> None:
    message = ENVELOPE | {"type": "case.refusal", "caseNo": "4601", "body": samples.body("case.refusal")}
    assert not validator("Message").is_valid(message)
    assert "case.refusal" in DOCUMENT["components"]["schemas"]  # but members receive it


def test_receipt_status_and_error_have_the_shape_the_gateway_answers_with() -> None:
    receipt = {
        "messageId": "0" * 32,
        "caseNo": "460123456789ABCDEFX",
        "digest": "0" * 64,
        "status": "received",
    }
    validator("Receipt").validate(receipt)
    violation = {
        "field": "item",
        "rule": "itemCode",
        "standard": "GB/T 39554.1-2020",
        "zh": "错",
        "en": "wrong",
    }
    error = {"code": "invalid", "zh": "错", "en": "wrong", "violations": [violation]}
    validator("Error").validate({"error": error})
    with pytest.raises(jsonschema.ValidationError):
        validator("Error").validate({"error": {"code": "invalid"}})
    validator("MessageStatus").validate({"messageId": "0" * 32, "status": "received", "dispatches": []})
