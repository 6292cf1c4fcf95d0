"""The derived AsyncAPI document: the topics of the catalogue with Avro payloads that a reader can use as
they stand."""

import json
from typing import Any

import fastavro
import pytest

from schemas.contracts import load
from schemas.derive import asyncapi
from topics.catalogue import load as load_topics

DOCUMENT: dict[str, Any] = json.loads(
    json.dumps(asyncapi.render(load(), load_topics().topics, bootstrap="kafka.example:9092", prefix="p1."))
)


def resolve(reference: str) -> Any:
    node: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_every_avro_topic_is_a_channel_with_its_prefix() -> None:
    topics = {topic.name: topic for topic in load_topics().topics if topic.value == "avro"}
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert addresses == {"p1." + name for name in topics}
    member = DOCUMENT["channels"]["deliver.member"]
    assert member["address"] == "p1.deliver.{member}"
    assert set(member["parameters"]) == {"member"}


def test_channels_name_their_messages_and_operations_their_channels() -> None:
    for channel in DOCUMENT["channels"].values():
        assert channel["messages"]
        for name, message in channel["messages"].items():
            assert resolve(message["$ref"])["name"] == name
    assert DOCUMENT["operations"]
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert resolve(operation["channel"]["$ref"])["address"].startswith("p1.")


@pytest.mark.parametrize("name", [contract.name for contract in load()])
def test_every_payload_is_the_contracts_avro(name: str) -> None:
    payload = DOCUMENT["components"]["messages"][name]["payload"]
    assert payload["schemaFormat"].startswith("application/vnd.apache.avro")
    fastavro.parse_schema(payload["schema"])
    assert payload["schema"] == load().by_type(name).avro


def test_the_envelope_names_the_headers_and_each_message_those_lifted_from_its_body() -> None:
    headers = resolve("#/components/messageTraits/envelope")["headers"]
    assert {"ce_id", "ce_source", "ce_type", "ce_subject", "ce_time"} <= set(headers["required"])
    submitted = DOCUMENT["components"]["messages"]["case.submitted"]
    assert submitted["x-lifted-headers"] == [
        "ce_item",
        "ce_xitemVersion",
        "ce_region",
        "ce_xparty",
        "ce_xwindow",
    ]
    assert submitted["traits"] == [{"$ref": "#/components/messageTraits/envelope"}]
