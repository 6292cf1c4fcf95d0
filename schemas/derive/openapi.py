"""OpenAPI 3.1 of the gateway: components from the contracts, paths of the REST doors. Signing is described,
not repeated here.

OpenAPI 3.1 takes JSON Schema 2020-12 as it is, so that the bodies are those of jsonschema.py.
"""

from typing import Any, Final

from schemas.contracts import Contracts
from schemas.derive import exchange, jsonschema
from schemas.model import Contract, Field, Kind, Record

TITLE: Final = "政务服务办件交换枢纽 / exchange hub for government-service cases"
COMPONENTS: Final = "#/components/schemas/"
_SECURITY: Final[list[dict[str, list[str]]]] = [
    {"hubMember": [], "hubTimestamp": [], "hubNonce": [], "hubAlgorithm": [], "hubSignature": []}
]
_HEADERS: Final = {
    "hubMember": ("X-Hub-Member", "成员编号 / member id"),
    "hubTimestamp": (
        "X-Hub-Timestamp",
        "毫秒时间戳，偏差不超过 ±5 分钟 / ms since the epoch, within ±5 minutes",
    ),
    "hubNonce": ("X-Hub-Nonce", "随机数，8 至 64 个字符 / nonce, 8 to 64 characters"),
    "hubAlgorithm": ("X-Hub-Algorithm", "HMAC-SM3 或 HMAC-SHA256 / HMAC-SM3 or HMAC-SHA256"),
    "hubSignature": ("X-Hub-Signature", "对规范串的 HMAC / HMAC over the canonical string"),
}
_ERRORS: Final = {
    "400": "内容不符合合同 / the content breaks the contract",
    "401": "认证失败，附服务器时间 / authentication failed; the server's time is given",
    "403": "代他人发送 / speaking for another member",
    "409": "同一来源编号已有不同内容，附两份摘要 / other content under this source key, with both digests",
    "413": "超过大小上限 / over the size limit",
    "415": "不是 JSON / not JSON",
    "503": "暂不可接收，按 Retry-After 重试 / cannot take it now, see Retry-After",
}


def components(contracts: Contracts) -> dict[str, Any]:
    """components/schemas: each message body, each message with its envelope, the shared records, and what
    the gateway answers."""
    schemas: dict[str, Any] = {}
    sendable = [contract for contract in contracts if contract.origin == "member"]
    for contract in contracts:
        schemas[contract.name] = jsonschema.object_schema(contract.body, COMPONENTS)
        schemas |= _records(contract.body)
    for contract in sendable:
        schemas[f"{contract.name}.message"] = _message(contract)
    schemas["Message"] = {
        "description": "一条消息，按 type 区分 / one message, told apart by its type",
        "oneOf": [{"$ref": f"{COMPONENTS}{contract.name}.message"} for contract in sendable],
        "discriminator": {
            "propertyName": "type",
            "mapping": {contract.name: f"{COMPONENTS}{contract.name}.message" for contract in sendable},
        },
    }
    for record in (exchange.RECEIPT, exchange.MESSAGE_STATUS, exchange.VIOLATION):
        schemas[record.name] = _answer(record)
        schemas |= {inner.name: _answer(inner) for inner in jsonschema.records_of(record)}
    schemas["Error"] = _error()
    return {"schemas": schemas, "securitySchemes": _security_schemes()}


def render(contracts: Contracts, server: str = "/") -> dict[str, Any]:
    """The whole document. server: the gateway's address as members see it."""
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": jsonschema.DIALECT,
        "info": {
            "title": TITLE,
            "version": "1",
            "description": "由合同导出；限制、代码与依据见各字段。 / "
            "Derived from the contracts; limits, codes and standards are with each field.",
        },
        "servers": [{"url": server}],
        "security": _SECURITY,
        "paths": _paths(),
        "components": components(contracts),
    }


def _message(contract: Contract) -> dict[str, Any]:
    record = Record(
        name=f"{contract.name}.message",
        doc_zh=contract.doc_zh,
        doc_en=contract.doc_en,
        fields=exchange.ENVELOPE,
    )
    schema = jsonschema.object_schema(record, COMPONENTS)
    schema["properties"]["type"] = {"const": contract.name}
    schema["properties"]["body"] = {"$ref": COMPONENTS + contract.name}
    schema["required"] = ["type", "sourceRef", "occurredAt", "body"]
    if contract.opening:
        schema["required"].append("caseRef")
        del schema["properties"]["caseNo"]
    elif contract.key_rule == "case":
        schema["anyOf"] = [{"required": ["caseNo"]}, {"required": ["caseRef"]}]
    return schema


def _records(record: Record) -> dict[str, Any]:
    return {
        inner.name: jsonschema.object_schema(inner, COMPONENTS) for inner in jsonschema.records_of(record)
    }


def _answer(record: Record) -> dict[str, Any]:
    # An answer may gain fields; times in it are always written with +08:00.
    schema = jsonschema.object_schema(record, COMPONENTS)
    del schema["additionalProperties"]
    for field in record.fields:
        if field.kind is Kind.TIME:
            schema["properties"][field.name] = _written_time(field)
    return schema


def _written_time(field: Field) -> dict[str, Any]:
    types = ["string"] if field.required else ["string", "null"]
    return {"description": f"{field.doc_zh} / {field.doc_en}", "type": types, "format": "date-time"}


def _error() -> dict[str, Any]:
    digest = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    error = {
        "type": "object",
        "required": ["code", "zh", "en", "violations"],
        "properties": {
            "code": {"type": "string"},
            "zh": {"type": "string"},
            "en": {"type": "string"},
            "violations": {"type": "array", "items": {"$ref": COMPONENTS + "Violation"}, "maxItems": 50},
            "serverTime": {"type": "integer", "description": "服务器时间（毫秒） / the server's time in ms"},
            "digests": {"type": "object", "properties": {"first": digest, "second": digest}},
        },
    }
    return {"type": "object", "required": ["error"], "properties": {"error": error}}


def _security_schemes() -> dict[str, Any]:
    return {
        name: {"type": "apiKey", "in": "header", "name": header, "description": text}
        for name, (header, text) in _HEADERS.items()
    }


def _paths() -> dict[str, Any]:
    return {
        "/v1/messages": {
            "post": {
                "operationId": "submitMessage",
                "summary": "发送一条消息，写入确认后得到凭证 / send one message, get its receipt",
                "requestBody": {"required": True, "content": _json("Message")},
                "responses": {"202": _response("凭证 / receipt", "Receipt")} | _errors(*_ERRORS),
            }
        },
        "/v1/messages/{messageId}": {
            "get": {
                "operationId": "getMessageStatus",
                "summary": "消息状态 / what became of a message",
                "parameters": [_path("messageId", "^[0-9a-f]{32}$")],
                "responses": {"200": _response("状态 / status", "MessageStatus")}
                | _errors("401", "503")
                | {"404": _response("不存在或与本成员无关 / none, or not yours", "Error")},
            }
        },
        "/v1/messages/{messageId}/evidence": {
            "get": {
                "operationId": "getMessageEvidence",
                "summary": "证据凭证 / evidence receipt: ledger line, proof, signed root",
                "parameters": [_path("messageId", "^[0-9a-f]{32}$")],
                "responses": {"200": {"description": "证据 / evidence", "content": {"application/json": {}}}}
                | _errors("401", "503")
                | {"404": _response("不存在、与本成员无关或尚未封存 / none, not yours, or not yet", "Error")},
            }
        },
        "/v1/cases/{caseNo}": {
            "get": {
                "operationId": "getCase",
                "summary": "办件进度 / how far a case is",
                "parameters": [_path("caseNo", "^[0-9A-Z]{4,64}$")],
                "responses": {"200": {"description": "办件 / case", "content": {"application/json": {}}}}
                | _errors("401", "503")
                | {"404": _response("不存在或与本成员无关 / none, or not yours", "Error")},
            }
        },
        "/v1/files": {"put": _put_file()},
        "/v1/files/{sm3}": {
            "get": {
                "operationId": "getFile",
                "summary": "取材料文件 / fetch the file of a material",
                "parameters": [_path("sm3", "^[0-9a-f]{64}$")],
                "responses": {
                    "200": {"description": "文件 / file", "content": {"application/octet-stream": {}}}
                }
                | _errors("401", "503")
                | {"404": _response("不存在或与本成员无关 / none, or not yours", "Error")},
            }
        },
    }


def _put_file() -> dict[str, Any]:
    stored = {
        "type": "object",
        "required": ["ref", "size", "sm3"],
        "properties": {
            "ref": {"type": "string", "pattern": "^sm3:[0-9a-f]{64}$"},
            "size": {"type": "integer", "minimum": 0},
            "sm3": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        },
    }
    answer = {"description": "已存 / stored", "content": {"application/json": {"schema": stored}}}
    return {
        "operationId": "putFile",
        "summary": "存材料文件，返回引用 / store the file of a material, giving its reference",
        "requestBody": {"required": True, "content": {"application/octet-stream": {}}},
        "responses": {"200": answer} | _errors("400", "401", "413", "503"),
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": COMPONENTS + name}}}


def _response(description: str, name: str) -> dict[str, Any]:
    return {"description": description, "content": _json(name)}


def _errors(*statuses: str) -> dict[str, Any]:
    return {status: _response(_ERRORS[status], "Error") for status in statuses}


def _path(name: str, pattern: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}
