"""/soap/hub with zeep as the caller: the WSDL derived from the contracts, the same receipts as REST, faults
in two languages."""

import asyncio
import functools
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import zeep
import zeep.exceptions
from gateway_harness import KEYS, Gateway, document, running_gateway, settings_for
from test_gateway_records import MESSAGE, SCHEMA, dispatch_row, message_row
from zeep.wsse.username import UsernameToken

from hub import ids
from schemas import contracts, samples
from schemas.derive import wsdl
from signing.http_auth import HMAC_SHA256
from tests.servers import Kafka, Postgres, unique_name

CASE = ids.case_number("platform", "", "YTH-2025-000001")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gateway(
    kafka: Kafka, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    directory = tmp_path_factory.mktemp("hub")
    name = unique_name("gateway-soap", "_")
    url = await asyncio.to_thread(postgres.create_database, name)
    connection = await asyncpg.connect(url)
    await connection.execute(SCHEMA)
    await connection.close()
    settings = settings_for(kafka.bootstrap, directory.name + "-soap.", directory, database_url=url)
    async with running_gateway(settings) as running:
        yield running


def caller(gateway: Gateway, member: str = "platform", password: str = "", digest: bool = True) -> Any:
    token = UsernameToken(member, password or KEYS[member].decode(), use_digest=digest)
    return zeep.Client(gateway.url + "/soap/hub?wsdl", wsse=token)


async def send(gateway: Gateway, type_: str, member: str = "platform", **changes: Any) -> Any:
    """A message of a type through its operation, in a thread: zeep's client waits."""
    made = document(type_, **changes)
    operation = {name: operation for operation, name in wsdl.operations(contracts.load()).items()}[
        made.pop("type")
    ]
    return await asyncio.to_thread(_invoke, functools.partial(caller, gateway, member), operation, made)


def _invoke(open_client: Any, operation: str, arguments: dict[str, Any]) -> Any:
    return open_client().service[operation](**arguments)


async def test_g7_soap_and_rest_give_one_receipt_for_one_content(gateway: Gateway) -> None:
    over_soap = await send(gateway, "case.submitted", sourceRef="S-1", caseRef="S-1")
    status, over_rest, _ = await gateway.submit("platform", document(sourceRef="S-1", caseRef="S-1"))
    assert status == 202
    assert over_rest == {
        "messageId": over_soap.messageId,
        "caseNo": over_soap.caseNo,
        "digest": over_soap.digest,
        "status": over_soap.status,
    }


async def test_every_type_that_members_may_send_passes_through_its_operation(gateway: Gateway) -> None:
    numbers = {}
    for contract in contracts.load():
        if contract.origin != "member":
            continue
        known = {} if contract.opening or contract.key_rule != "case" else {"caseNo": CASE}
        receipt = await send(gateway, contract.name, sourceRef=f"T-{contract.name}", **known)
        over_rest = await gateway.submit(
            "platform", document(contract.name, sourceRef=f"T-{contract.name}", **known)
        )
        assert over_rest[1]["digest"] == receipt.digest, contract.name
        numbers[contract.name] = receipt.caseNo
    assert numbers["case.accepted"] == CASE


async def test_r02_a_conflict_is_a_fault_with_both_digests(gateway: Gateway) -> None:
    receipt = await send(gateway, "case.submitted", sourceRef="S-2", caseRef="S-2")
    with pytest.raises(zeep.exceptions.Fault) as refused:
        await send(
            gateway, "case.submitted", sourceRef="S-2", caseRef="S-2", occurredAt="2025-03-03T10:00:00"
        )
    detail = detail_of(refused.value)
    assert (detail["code"], detail["firstDigest"]) == ("conflict", receipt.digest)
    assert detail["secondDigest"] != receipt.digest


async def test_a_broken_rule_is_a_client_fault_naming_field_rule_and_standard(gateway: Gateway) -> None:
    body = samples.body("case.submitted")
    body["applicant"]["idNo"] = "91460100MA5T00001M"
    with pytest.raises(zeep.exceptions.Fault) as refused:
        await send(gateway, "case.submitted", sourceRef="S-3", caseRef="S-3", body=body)
    detail = detail_of(refused.value)
    assert refused.value.code.endswith("Client")
    assert (detail["code"], detail["field"], detail["httpStatus"]) == ("invalid", "applicant.idNo", "400")
    assert "GB 32100" in detail["standard"]
    assert any("\u4e00" <= character <= "\u9fff" for character in refused.value.message)


@pytest.mark.parametrize(
    ("member", "password", "digest", "code"),
    [
        ("platform", "a wrong password", True, "bad_signature"),
        ("platform", "a wrong password", False, "bad_signature"),
        ("nobody", "whatever it is", True, "bad_member"),
    ],
)
async def test_r16_a_username_token_that_does_not_hold_is_refused_with_the_servers_time(
    gateway: Gateway, member: str, password: str, digest: bool, code: str
) -> None:
    open_client = functools.partial(caller, gateway, member, password, digest)
    with pytest.raises(zeep.exceptions.Fault) as refused:
        await asyncio.to_thread(_invoke, open_client, "getMessageStatus", {"messageId": MESSAGE})
    detail = detail_of(refused.value)
    assert (detail["code"], detail["httpStatus"]) == (code, "401")
    assert detail["serverTime"].isdigit()


async def test_r16_signed_headers_serve_for_soap_too_and_must_name_the_same_member(gateway: Gateway) -> None:
    envelope = (
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">{}<soap:Body>'
        '<getMessageStatus xmlns="urn:govhub:1"><messageId>' + "0" * 32 + "</messageId></getMessageStatus>"
        "</soap:Body></soap:Envelope>"
    )
    other = (
        '<soap:Header><w:Security xmlns:w="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd">'
        "<w:UsernameToken><w:Username>dept-a</w:Username><w:Password>x</w:Password></w:UsernameToken></w:Security></soap:Header>"
    )
    for header, code in (("", "unknown"), (other, "speaking_for_another")):
        body = envelope.format(header).encode()
        _, text, _ = await gateway.signed(
            "platform", "POST", "/soap/hub", body, "text/xml", algorithm=HMAC_SHA256
        )
        assert f"<code>{code}</code>" in text
    unsigned = await gateway.call(
        "POST", "/soap/hub", envelope.format("").encode(), {"Content-Type": "text/xml"}
    )
    assert "<code>missing_header</code>" in unsigned[1]


async def test_r10_the_status_of_a_message_has_its_soap_twin(gateway: Gateway) -> None:
    connection = await asyncpg.connect(gateway.settings.database_url)
    for statement, values in (message_row(MESSAGE, "d" * 64), dispatch_row("dept-a")):
        await connection.execute(statement, *values)
    await connection.close()
    open_client = functools.partial(caller, gateway)
    seen = await asyncio.to_thread(_invoke, open_client, "getMessageStatus", {"messageId": MESSAGE})
    _, over_rest, _ = await gateway.signed("platform", "GET", f"/v1/messages/{MESSAGE}")
    assert (seen.status, seen.caseNo, seen.digest) == ("routed", CASE, "d" * 64)
    assert [(d.member, d.status) for d in seen.dispatches] == [("dept-a", "delivered")]
    assert {name for name in over_rest if over_rest[name] is not None} <= set(dir(seen))


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>',
        b"<a/>",
        b"<soap:Envelope xmlns:soap='http://schemas.xmlsoap.org/soap/envelope/'><soap:Body><x/></soap:Body></soap:Envelope>",
    ],
    ids=["external-entity", "no-envelope", "unknown-operation"],
)
async def test_xml_that_cannot_be_read_is_a_client_fault(gateway: Gateway, body: bytes) -> None:
    status, text, _ = await gateway.call("POST", "/soap/hub", body, {"Content-Type": "text/xml"})
    assert status == 500
    assert "<code>malformed</code>" in text


def detail_of(fault: zeep.exceptions.Fault) -> dict[str, str]:
    """The fields of a fault's detail."""
    (error,) = fault.detail
    return {child.tag: child.text or "" for child in error}
