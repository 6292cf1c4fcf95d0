"""The Schema Registry API: confluent-kafka's own client and deserializer, pointed at the gateway, decode
what the gateway wrote."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from gateway_harness import document, running_gateway, settings_for

from hub import ids
from schemas import codec, contracts, samples, validate
from tests.servers import Kafka


def decoded(url: str, topic: str, values: list[bytes]) -> list[Any]:
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": url}))
    return [deserialize(value, SerializationContext(topic, MessageField.VALUE)) for value in values]


async def test_an_outside_consumer_decodes_the_inbound_topic(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    number = ids.case_number("platform", "", "YTH-2025-000001")
    async with running_gateway(settings_for(kafka.bootstrap, topic_prefix, tmp_path)) as gateway:
        await gateway.submit("platform", document())
        await gateway.submit("platform", document("case.evaluated", caseNo=number, sourceRef="E-1"))
        values = [record.value for record in await gateway.inbound()]
        bodies = await asyncio.to_thread(decoded, gateway.url, "case.inbound", values)
    assert {body["item"] for body in bodies if "item" in body} == {samples.body("case.submitted")["item"]}
    assert len(bodies) == 2


@pytest.mark.parametrize("prefix", ["", "/registry"])
async def test_every_contract_decodes_through_the_registry(tmp_path: Path, prefix: str) -> None:
    everything = [contracts.load().by_type(name) for name in samples.types()]
    values = [codec.encode(c, validate.check(c, samples.body(c.name))) for c in everything]
    settings = settings_for("127.0.0.1:1", "", tmp_path)
    async with running_gateway(settings, create_topic=False) as gateway:
        bodies = await asyncio.to_thread(decoded, gateway.url + prefix, "any", values)
    assert [set(body) for body in bodies] == [{field.name for field in c.fields} for c in everything]


async def test_the_read_side_answers_as_a_registry_does(tmp_path: Path) -> None:
    settings = settings_for("127.0.0.1:1", "", tmp_path)
    async with running_gateway(settings, create_topic=False) as gateway:
        assert "case.submitted" in (await gateway.call_raw("/subjects"))
        assert await gateway.call_raw("/subjects/case.submitted/versions") == [1]
        latest = await gateway.call_raw("/subjects/case.submitted/versions/latest")
        assert latest == await gateway.call_raw("/subjects/case.submitted/versions/1")
        assert (latest["subject"], latest["version"], latest["id"]) == ("case.submitted", 1, 1)
        assert await gateway.call_raw("/schemas/ids/1/versions") == [
            {"subject": "case.submitted", "version": 1}
        ]
        assert await gateway.call_raw("/config") == {"compatibilityLevel": "FULL_TRANSITIVE"}
        assert await gateway.call_raw("/schemas/types") == ["AVRO"]
        assert (await gateway.call_raw("/schemas/ids/99999"))["error_code"] == 40403
        assert (await gateway.call_raw("/subjects/nothing/versions"))["error_code"] == 40401
        assert (await gateway.call_raw("/subjects/case.submitted/versions/99"))["error_code"] == 40402


async def test_the_contract_is_one_page_without_scripts_and_one_openapi_document(tmp_path: Path) -> None:
    settings = settings_for("127.0.0.1:1", "", tmp_path)
    async with running_gateway(settings, create_topic=False) as gateway:
        _, page, headers = await gateway.call("GET", "/docs")
        _, described, _ = await gateway.call("GET", "/openapi.json")
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for contract in contracts.load():
        assert (f'id="{contract.name}"' in page) == (contract.origin == "member")
    assert described["servers"] == [{"url": gateway.url}]
    assert set(described["paths"]) >= {"/v1/messages", "/v1/messages/{messageId}", "/v1/files"}
