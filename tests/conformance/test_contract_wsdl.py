"""The derived WSDL and XSD: a SOAP library loads and uses them, the XSD accepts and refuses what the
validator does."""

import base64
import copy
import io
from typing import Any

import pytest
import zeep
from lxml import etree

from schemas import samples, times, validate
from schemas.contracts import load
from schemas.derive import wsdl
from schemas.model import Field, Record

ADDRESS = "http://hub.example/soap/hub?a=1&b=2"
NS = wsdl.NAMESPACE
OPERATIONS = wsdl.operations(load())
TYPES = sorted(OPERATIONS.values())
XSD = etree.XMLSchema(etree.fromstring(wsdl.schema(load()).encode()))


def soap_service() -> Any:
    document = zeep.wsdl.Document(io.BytesIO(wsdl.render(load(), ADDRESS).encode()), None)
    return next(iter(document.bindings.values()))


def element(name: str, value: Any, parent: etree._Element) -> None:
    if isinstance(value, list):
        for item in value:
            element(name, item, parent)
    elif value is not None:
        child = etree.SubElement(parent, f"{{{NS}}}{name}")
        if isinstance(value, dict):
            for inner, content in value.items():
                element(inner, content, child)
        else:
            child.text = str(value).lower() if isinstance(value, bool) else str(value)


def ordered(record: Record, body: dict[str, Any]) -> dict[str, Any]:
    """XSD sequences have an order: that of the contract."""
    return {field.name: in_order(field, body[field.name]) for field in record.fields if field.name in body}


def in_order(field: Field, value: Any) -> Any:
    if isinstance(value, list):
        assert field.items is not None
        return [in_order(field.items, item) for item in value]
    return ordered(field.record, value) if field.record is not None and isinstance(value, dict) else value


def request(type_: str, body: dict[str, Any], **envelope: Any) -> etree._Element:
    contract = load().by_type(type_)
    root = etree.Element(f"{{{NS}}}{wsdl.operation_of(contract)}", nsmap={None: NS})
    given: dict[str, Any] = {"sourceRef": "A-1", "occurredAt": "2025-03-03T09:15:00"}
    given |= {"caseRef": "C-1"} if contract.opening else {"caseNo": "460123456789ABCDEFX"}
    for name, value in (given | envelope).items():
        element(name, value, root)
    element("body", ordered(contract.body, body), root)
    return root


def xsd_accepts(document: etree._Element) -> bool:
    return XSD.validate(etree.fromstring(etree.tostring(document)))


def test_there_is_an_operation_for_each_type_that_members_may_send_and_for_no_other() -> None:
    assert set(TYPES) == {contract.name for contract in load() if contract.origin == "member"}
    assert "sendCaseSubmitted" in OPERATIONS
    assert not {"case.refusal", "credit.answered", "hub.routed", "nation.rejected"} & set(TYPES)


def test_zeep_loads_the_wsdl_and_knows_every_operation_and_the_address() -> None:
    document = zeep.wsdl.Document(io.BytesIO(wsdl.render(load(), ADDRESS).encode()), None)
    binding = next(iter(document.bindings.values()))
    assert set(binding._operations) == {*OPERATIONS, wsdl.STATUS_OPERATION}
    port = document.services[wsdl.SERVICE].ports[wsdl.SERVICE]
    assert port.binding_options["address"] == ADDRESS


@pytest.mark.parametrize("type_", TYPES)
def test_the_xsd_accepts_the_sample_of_every_type(type_: str) -> None:
    assert xsd_accepts(request(type_, samples.body(type_))), XSD.error_log


@pytest.mark.parametrize("type_", TYPES)
def test_zeep_writes_a_request_that_the_xsd_accepts_and_reads_it_back(type_: str) -> None:
    contract = load().by_type(type_)
    body = validate.check(contract, samples.body(type_))
    given = for_zeep(contract.body, body)
    envelope = {"sourceRef": "A-1", "occurredAt": "2025-03-03T09:15:00+08:00"}
    envelope |= {"caseRef": "C-1"} if contract.opening else {"caseNo": "460123456789ABCDEFX"}
    operation = soap_service()._operations[wsdl.operation_of(contract)]
    message = operation.create(**envelope, body=given)
    content = message.content.find("{http://schemas.xmlsoap.org/soap/envelope/}Body")[0]
    assert xsd_accepts(content), XSD.error_log
    parsed = zeep.helpers.serialize_object(
        operation.input.body.parse(content, operation.input.wsdl.types), dict
    )
    assert validate.check(contract, plain(parsed["body"])) == body


def for_zeep(record: Record, body: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for field in record.fields:
        value = body[field.name]
        if field.kind == "time" and value is not None:
            value = times.to_iso(value)
        elif field.record is not None and value is not None:
            value = for_zeep(field.record, value)
        elif field.items is not None and field.items.record is not None and value is not None:
            value = [for_zeep(field.items.record, item) for item in value]
        if value is not None:
            found[field.name] = value
    return found


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items() if item not in (None, [])}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


@pytest.mark.parametrize(
    ("type_", "changes"),
    [
        ("case.submitted", {"item": "1234"}),
        ("case.submitted", {"region": "4601"}),
        ("case.submitted", {"projectName": "长" * 1001}),
        ("case.submitted", {"projectName": " "}),
        ("case.submitted", {"applyType": "10"}),
        ("case.submitted", {"itemVersion": 0}),
        ("case.submitted", {"channel": "7"}),
        ("case.submitted", {"creditChoice": "maybe"}),
        ("case.submitted", {"appliedAt": "yesterday"}),
        ("case.submitted", {"materials": [samples.body("case.submitted")["materials"][0]] * 101}),
        ("case.correction_notified", {"materials": []}),
        ("case.evaluated", {"times": 100}),
        ("case.evaluated", {"comment": "长" * 1001}),
        ("case.decided", {"result": None}),
        ("case.decided", {"unheardOf": "1"}),
    ],
)
def test_the_xsd_refuses_what_the_validator_refuses(type_: str, changes: dict[str, Any]) -> None:
    contract = load().by_type(type_)
    body = samples.body(type_) | changes
    with pytest.raises(validate.ContractError):
        validate.check(contract, body)
    document = request(type_, body)
    if "unheardOf" in changes:
        element("unheardOf", "1", document[-1])
    assert not xsd_accepts(document)


def test_a_form_over_256_kib_breaks_a_facet() -> None:
    body = copy.deepcopy(samples.body("case.submitted"))
    for size, legal in ((262_144, True), (262_145, False)):
        body["form"]["content"] = base64.b64encode(bytes(size)).decode()
        assert xsd_accepts(request("case.submitted", body)) == legal


def test_empty_elements_in_optional_places_are_allowed() -> None:
    body = samples.body("case.submitted") | {"window": "", "investProject": "", "resultType": ""}
    assert xsd_accepts(request("case.submitted", body))
    empty = samples.body("case.submitted") | {"projectType": ""}
    assert not xsd_accepts(request("case.submitted", empty))


def test_the_envelope_is_held_to_its_rules() -> None:
    body = samples.body("case.withdrawn")
    assert xsd_accepts(request("case.withdrawn", body))
    assert not xsd_accepts(request("case.withdrawn", body, sourceRef=None))
    assert not xsd_accepts(request("case.withdrawn", body, occurredAt="soon"))
    opening = samples.body("case.submitted")
    assert not xsd_accepts(request("case.submitted", opening, caseRef=None))


def test_every_field_is_explained_in_both_languages_with_its_standard() -> None:
    text = wsdl.schema(load())
    assert "申请者名称（GB/T 39046-2020 表5-6; up_pro_accept.applyer_name）" in text
    root = etree.fromstring(text.encode())
    for annotation in root.iter("{http://www.w3.org/2001/XMLSchema}annotation"):
        languages = [d.get("{http://www.w3.org/XML/1998/namespace}lang") for d in annotation]
        assert languages == ["zh", "en"]


def test_receipt_and_status_are_answers_a_client_can_read() -> None:
    service = soap_service()
    receipt = {
        "messageId": "0" * 32,
        "caseNo": "460123456789ABCDEFX",
        "digest": "0" * 64,
        "status": "received",
    }
    for operation in OPERATIONS:
        content = service._operations[operation].output.serialize(**receipt).content
        assert xsd_accepts(content.find("{http://schemas.xmlsoap.org/soap/envelope/}Body")[0]), XSD.error_log
    dispatch = {"dispatchId": "1" * 32, "messageId": "0" * 32, "member": "dept-a", "kind": "case.submitted",
                "status": "delivered", "attempts": 1, "at": "2025-03-03T09:15:00+08:00"}  # fmt: skip
    status = {"messageId": "0" * 32, "status": "routed", "dispatches": [dispatch, dispatch]}
    content = service._operations[wsdl.STATUS_OPERATION].output.serialize(**status).content
    assert xsd_accepts(content.find("{http://schemas.xmlsoap.org/soap/envelope/}Body")[0]), XSD.error_log
