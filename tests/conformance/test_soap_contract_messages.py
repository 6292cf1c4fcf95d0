"""What a caller generates from our WSDL arrives as the contract's body, for every message type."""

import io
from typing import Any

import pytest
from lxml import etree
from zeep import Client as _Client

from adapters.formats.canonical_json import is_time_field
from adapters.soap.server import SoapServer
from schemas import contracts, samples
from schemas.derive import wsdl
from schemas.model import Field, Kind
from schemas.validate import check

Client: Any = _Client
OPERATIONS = wsdl.operations(contracts.load())


@pytest.fixture(scope="module")
def server() -> SoapServer:
    return SoapServer(wsdl.render(contracts.load(), "http://127.0.0.1/soap/hub"))


@pytest.fixture(scope="module")
def client(server: SoapServer) -> Any:
    return Client(io.BytesIO(server.wsdl.encode()))


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_generated_call_is_read_as_the_contracts_body(
    server: SoapServer, client: Any, operation: str
) -> None:
    type_ = OPERATIONS[operation]
    contract = contracts.load().by_type(type_)
    envelope = {"sourceRef": "S-1", "occurredAt": "2026-03-01T09:00:00+08:00", "version": 2}
    envelope |= {"caseRef": "C-1"} if contract.opening else {}
    message = client.create_message(client.service, operation, **envelope, body=samples.body(type_))
    call = server.parse_call(etree.tostring(message))
    assert (call.operation, call.arguments["sourceRef"], call.arguments["version"]) == (operation, "S-1", 2)
    assert check(contract, call.arguments["body"]) == check(contract, samples.body(type_))


def test_every_time_of_the_contracts_is_written_as_a_time_and_nothing_else() -> None:
    """Canonical JSON tells times from numbers by name; the contracts must keep to it."""

    def walk(fields: tuple[Field, ...]) -> list[Field]:
        found: list[Field] = []
        for field in fields:
            inner = field.items if field.items is not None else field
            found.append(field)
            if inner.record is not None:
                found += walk(inner.record.fields)
        return found

    delivered = [contract for contract in contracts.load() if not contract.name.startswith("hub.")]
    numbers = {
        f"{contract.name}.{field.name}": field.kind is Kind.TIME
        for contract in delivered
        for field in walk(contract.fields)
        if field.kind in (Kind.TIME, Kind.INT, Kind.LONG)
    }
    assert len(numbers) > 20
    assert {name: is_time_field(name.rpartition(".")[2]) for name in numbers} == numbers
