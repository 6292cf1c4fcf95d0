"""AsyncAPI 3.0 of the hub's topics: channels are passed in, payloads are the Avro contracts, headers are the
CloudEvents envelope."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from schemas.contracts import Contracts
from schemas.model import Contract

AVRO: Final = "application/vnd.apache.avro+json;version=1.11.0"
_MEMBER: Final = "{member}"


class Channel(Protocol):
    """A topic as this module needs it; topics.catalogue.Topic is one."""

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def partitions(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def schemas(self) -> tuple[str, ...]: ...
    @property
    def written_by(self) -> tuple[str, ...]: ...
    @property
    def read_by(self) -> tuple[str, ...]: ...
    @property
    def config(self) -> Mapping[str, str]: ...
    @property
    def doc_zh(self) -> str: ...
    @property
    def doc_en(self) -> str: ...


def render(
    contracts: Contracts, channels: Iterable[Channel], *, bootstrap: str = "localhost:9092", prefix: str = ""
) -> dict[str, Any]:
    """The whole document. bootstrap: address of the brokers; prefix: what the installation puts before every
    topic's name."""
    topics = [channel for channel in channels if channel.value == "avro"]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "政务服务办件交换枢纽 / exchange hub for government-service cases",
            "version": "1",
            "description": "读者须以 read_committed 读取。 / Read with isolation level read_committed.",
        },
        "defaultContentType": "application/vnd.apache.avro",
        "servers": {"kafka": {"host": bootstrap, "protocol": "kafka"}},
        "channels": {_id(topic.name): _channel(topic, prefix) for topic in topics},
        "operations": {name: operation for topic in topics for name, operation in _operations(topic)},
        "components": {
            "messages": {contract.name: _message(contract) for contract in contracts},
            "messageTraits": {"envelope": {"headers": _headers()}},
        },
    }


def _id(name: str) -> str:
    return name.replace(_MEMBER, "member")


def _channel(topic: Channel, prefix: str) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": prefix + topic.name,
        "title": topic.doc_en,
        "description": f"{topic.doc_zh} / {topic.doc_en}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in topic.schemas},
        "bindings": {"kafka": _binding(topic, prefix)},
    }
    if _MEMBER in topic.name:
        channel["parameters"] = {"member": {"description": "成员编号 / member id"}}
    return channel


def _binding(topic: Channel, prefix: str) -> dict[str, Any]:
    binding: dict[str, Any] = {
        "topic": prefix + topic.name,
        "topicConfiguration": {
            "cleanup.policy": [topic.config["cleanup.policy"]],
            "max.message.bytes": int(topic.config["max.message.bytes"]),
        },
        "bindingVersion": "0.5.0",
    }
    if topic.partitions.isdigit():
        binding["partitions"] = int(topic.partitions)
    if "retention.ms" in topic.config:
        binding["topicConfiguration"]["retention.ms"] = int(topic.config["retention.ms"])
    return binding


def _operations(topic: Channel) -> Iterable[tuple[str, dict[str, Any]]]:
    reference = {"$ref": f"#/channels/{_id(topic.name)}"}
    for role in topic.written_by:
        yield f"{role}.send.{_id(topic.name)}", {"action": "send", "channel": reference}
    for role in topic.read_by:
        yield f"{role}.receive.{_id(topic.name)}", {"action": "receive", "channel": reference}


def _message(contract: Contract) -> dict[str, Any]:
    return {
        "name": contract.name,
        "title": contract.doc_en,
        "summary": f"{contract.doc_zh} / {contract.doc_en}",
        "contentType": "application/vnd.apache.avro",
        "traits": [{"$ref": "#/components/messageTraits/envelope"}],
        "payload": {"schemaFormat": AVRO, "schema": contract.avro},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"{contract.key_rule}: ce_subject"},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "4",
                "schemaLookupStrategy": "SchemaIdStrategy",
                "bindingVersion": "0.5.0",
            }
        },
        "x-schema-id": contract.schema_id,
        "x-version": contract.version,
        "x-lifted-headers": [_header_name(field.name) for field in contract.routing],
    }


def _header_name(routing: str) -> str:
    return f"ce_{routing}" if routing in ("region", "item") else f"ce_x{routing}"


def _headers() -> dict[str, Any]:
    required = {
        "ce_specversion": "CloudEvents 1.0",
        "ce_id": "消息编号（由来源导出） / message id, derived from its source",
        "ce_source": "来源成员 / source member",
        "ce_type": "消息类型 / message type",
        "ce_subject": "主体自身的编号 / the aggregate's own number",
        "ce_time": "业务时间，毫秒 / business time, ms since the epoch",
    }
    optional = {
        "ce_region": "行政区划 / region",
        "ce_item": "事项编码 / item code",
        "ce_sourcekey": "来源编号 / source key",
        "ce_digest": "内容的 SM3 摘要 / SM3 digest of the content",
        "ce_correlation": "关联编号 / correlation",
        "ce_causation": "起因消息编号 / id of the causing message",
        "ce_via": "经由 / via",
    }
    return {
        "type": "object",
        "required": list(required),
        "properties": {
            name: {"type": "string", "description": text} for name, text in (required | optional).items()
        },
        "patternProperties": {
            "^ce_x": {
                "type": "string",
                "description": "由正文提取的路由字段 / routing field lifted from the body",
            }
        },
    }
