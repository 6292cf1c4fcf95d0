"""Loads avsc/**, composes the shared records, binds each version to its id in ids.lock. No body is encoded
or checked here.

Layout: avsc/<message_type>/v<N>.avsc, every version kept; shared records in avsc/shared/v<S>/<Name>.avsc,
chosen by a type's "shared": S.
"""

import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import fastavro
import msgspec

from schemas.errors import violation
from schemas.model import Contract, Field, Kind, Record, RoutingField

HERE: Final = Path(__file__).parent
_NAMESPACE: Final = "govhub."
# Attributes that only explain. All others change what a body means or which bodies are legal, so they are
# part of the fingerprint.
_EXPLAINING: Final = frozenset(
    {"doc", "standard", "patternZh", "patternEn", "itemPatternZh", "itemPatternEn"}
)
_FIELD_KEYS: Final = frozenset({"name", "type", "default", "doc", "standard"})
_RECORD_KEYS: Final = frozenset(
    {
        "type",
        "name",
        "namespace",
        "doc",
        "fields",
        "messageType",
        "version",
        "shared",
        "opening",
        "key",
        "origin",
        "sourceKey",
    }
)
_SIMPLE: Final = {
    "string": Kind.STRING,
    "int": Kind.INT,
    "long": Kind.LONG,
    "boolean": Kind.BOOLEAN,
    "bytes": Kind.BYTES,
}


class CatalogueError(Exception):
    """A contract file or ids.lock is wrong; the text names the file. Raised at start, never for a message."""


class Contracts:
    """All contracts. `by_type` gives the newest version of a type unless one is named."""

    def __init__(self, contracts: tuple[Contract, ...]) -> None:
        self.all = contracts
        self._by_id = {contract.schema_id: contract for contract in contracts}
        self._by_version = {(contract.name, contract.version): contract for contract in contracts}
        self._latest: dict[str, Contract] = {}
        for contract in sorted(contracts, key=lambda c: c.version):
            self._latest[contract.name] = contract

    def __iter__(self) -> Iterator[Contract]:
        """The newest version of each type, by name."""
        return iter(sorted(self._latest.values(), key=lambda c: c.name))

    def __contains__(self, name: object) -> bool:
        return name in self._latest

    def by_type(self, name: str, version: int | None = None) -> Contract:
        """The contract of a message type. Raises ContractError (rule `type`) for one that does not exist."""
        found = self._latest.get(name) if version is None else self._by_version.get((name, version))
        if found is None:
            raise violation(
                "type",
                "type",
                "schemas/avsc",
                "没有这个消息类型或版本",
                "there is no such message type or version",
            )
        return found

    def by_id(self, schema_id: int) -> Contract:
        """The contract of a schema id. Raises ContractError (rule `schema id`) for an unknown one."""
        found = self._by_id.get(schema_id)
        if found is None:
            raise violation(
                "",
                "schema id",
                "schemas/ids.lock",
                f"未知的模式编号 {schema_id}",
                f"unknown schema id {schema_id}",
            )
        return found

    def versions(self, name: str) -> tuple[int, ...]:
        """Version numbers of a type, rising; empty for an unknown one."""
        return tuple(sorted(version for type_, version in self._by_version if type_ == name))


@functools.cache
def load() -> Contracts:
    """The contracts of this release. Raises CatalogueError when a file is wrong or differs from what
    ids.lock binds."""
    return load_from(HERE / "avsc", HERE / "ids.lock")


def load_from(avsc: Path, lock: Path) -> Contracts:
    """As `load`, from other places (tests, tools)."""
    ids = read_lock(lock)
    contracts = []
    for path in contract_files(avsc):
        contract = read_contract(path, avsc)
        bound = ids.get((contract.name, contract.version))
        if bound is None:
            raise CatalogueError(f"{path}: 未登记编号 / has no id in {lock.name}")
        schema_id, fingerprint = bound
        if fingerprint != contract.fingerprint:
            raise CatalogueError(
                f"{path}: 与 {lock.name} 中编号 {schema_id} 的指纹不符，请新增版本 / "
                f"differs from what id {schema_id} was bound to; add a new version ({contract.fingerprint})"
            )
        contracts.append(msgspec.structs.replace(contract, schema_id=schema_id))
    missing = ids.keys() - {(c.name, c.version) for c in contracts}
    if missing:
        raise CatalogueError(
            f"{lock}: 已登记的版本缺少文件 / bound versions without a file: {sorted(missing)}"
        )
    return Contracts(tuple(contracts))


def contract_files(avsc: Path) -> list[Path]:
    """Every version of every message type."""
    return sorted(path for path in avsc.glob("*/v*.avsc") if path.parent.name != "shared")


def read_lock(lock: Path) -> dict[tuple[str, int], tuple[int, str]]:
    """(type, version) -> (schema id, fingerprint). A line: `<id> <type> <version> <sha-256>`; # starts a
    comment."""
    bound: dict[tuple[str, int], tuple[int, str]] = {}
    used: set[int] = set()
    for number, line in enumerate(lock.read_text("utf-8").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 4 or not words[0].isdigit() or not words[2].isdigit():
            raise CatalogueError(f"{lock}:{number}: 应为四栏 / expected: id type version fingerprint")
        schema_id, key = int(words[0]), (words[1], int(words[2]))
        if schema_id in used or key in bound:
            raise CatalogueError(f"{lock}:{number}: 编号或版本重复 / id or version bound twice")
        used.add(schema_id)
        bound[key] = (schema_id, words[3])
    return bound


def read_contract(path: Path, avsc: Path) -> Contract:
    """One version, with schema_id 0 (not yet bound). Raises CatalogueError."""
    try:
        raw = json.loads(path.read_text("utf-8"))
        composed = _compose(raw, _shared_records(avsc / "shared" / f"v{raw['shared']}"))
        if raw["messageType"].replace(".", "_") != path.parent.name or path.name != f"v{raw['version']}.avsc":
            raise CatalogueError(f"{path}: messageType/version 与路径不符 / do not match the path")
        body = _record(composed)
        zh, en = _doc(raw["doc"])
        codec_schema = fastavro.parse_schema(_bare(composed))
        return Contract(
            name=raw["messageType"],
            schema_id=0,
            version=raw["version"],
            opening=raw["opening"],
            key_rule=raw["key"],
            origin=raw["origin"],
            source_key=raw["sourceKey"],
            routing=_routing(body),
            fields=body.fields,
            body=body,
            doc_zh=zh,
            doc_en=en,
            avro=composed,
            codec_schema=codec_schema if isinstance(codec_schema, dict) else {},
            fingerprint=hashlib.sha256(canonical(composed)).hexdigest(),
        )
    except (
        KeyError,
        TypeError,
        ValueError,
        fastavro.schema.SchemaParseException,
        fastavro.schema.UnknownType,
    ) as wrong:
        raise CatalogueError(f"{path}: {type(wrong).__name__}: {wrong}") from wrong


def canonical(schema: Any) -> bytes:
    """Canonical form for the fingerprint: sorted keys, no spaces, without what only explains (docs,
    standards, labels of codes).

    Unlike Avro's parsing canonical form it keeps limits, routing marks and defaults: two schemas under one
    id must accept and route alike.
    """
    return json.dumps(_meaning(schema), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _meaning(node: Any) -> Any:
    if isinstance(node, dict):
        kept = {key: _meaning(value) for key, value in node.items() if key not in _EXPLAINING}
        if isinstance(kept.get("enumCodes"), dict):
            kept["enumCodes"] = sorted(kept["enumCodes"])
        return kept
    return [_meaning(value) for value in node] if isinstance(node, list) else node


@functools.lru_cache(maxsize=16)
def _shared_records(folder: Path) -> dict[str, Any]:
    return {
        _NAMESPACE + path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.avsc"))
    }


def _compose(raw: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """Put each shared record in where it is first named; later uses name it, as Avro wants."""
    seen: set[str] = set()

    def put(node: Any) -> Any:
        if isinstance(node, str) and node.startswith(_NAMESPACE):
            if node in seen:
                return node
            seen.add(node)
            return put(shared[node])
        if isinstance(node, list):
            return [put(part) for part in node]
        if isinstance(node, dict):
            return {
                key: put(value)
                if key in ("type", "items")
                else [put(part) for part in value]
                if key == "fields"
                else value
                for key, value in node.items()
            }
        return node

    composed: dict[str, Any] = put(raw)
    return composed


def _bare(node: Any) -> Any:
    # What encoding needs: no attributes, no docs, and no logical types, so that times stay int milliseconds.
    if isinstance(node, list):
        return [_bare(part) for part in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "record":
        fields = [
            {"name": field["name"], "type": _bare(field["type"])}
            | ({"default": None} if "default" in field else {})
            for field in node["fields"]
        ]
        return {"type": "record", "name": _NAMESPACE + node["name"], "fields": fields}
    if node["type"] == "array":
        return {"type": "array", "items": _bare(node["items"])}
    return node["type"]


def _doc(text: str) -> tuple[str, str]:
    zh, separator, en = text.partition(" / ")
    if not separator or not zh or not en:
        raise ValueError(f"doc 须为「中文 / English」 / doc must be bilingual: {text!r}")
    return zh, en


def _record(node: dict[str, Any], known: dict[str, Record] | None = None) -> Record:
    known = {} if known is None else known
    zh, en = _doc(node["doc"])
    record = Record(
        name=node["name"],
        doc_zh=zh,
        doc_en=en,
        fields=tuple(_field(field, known) for field in node["fields"]),
        attributes={key: value for key, value in node.items() if key not in _RECORD_KEYS},
    )
    known[_NAMESPACE + record.name] = record
    return record


def _field(node: dict[str, Any], known: dict[str, Record]) -> Field:
    type_ = node["type"]
    required = not isinstance(type_, list)
    if not required:
        if type_[0] != "null" or len(type_) != 2 or node.get("default", "") is not None:
            rule = '可选字段须为 ["null", T] 且默认 null / an optional field is ["null", T], default null'
            raise ValueError(f"{node['name']}: {rule}")
        type_ = type_[1]
    zh, en = _doc(node["doc"])
    field = Field(
        name=node["name"],
        kind=Kind.RECORD,
        required=required,
        doc_zh=zh,
        doc_en=en,
        standard=node.get("standard", ""),
        attributes={key: value for key, value in node.items() if key not in _FIELD_KEYS},
    )
    return _typed(field, type_, known)


def _typed(field: Field, type_: Any, known: dict[str, Record]) -> Field:
    if isinstance(type_, str) and type_ in _SIMPLE:
        return msgspec.structs.replace(field, kind=_SIMPLE[type_])
    if isinstance(type_, str):
        return msgspec.structs.replace(field, record=known[type_])
    if type_["type"] == "record":
        return msgspec.structs.replace(field, record=_record(type_, known))
    if type_["type"] == "array":
        item_attributes = {
            key[4].lower() + key[5:]: value
            for key, value in field.attributes.items()
            if key.startswith("item") and key != "item"
        }
        item = msgspec.structs.replace(field, required=True, attributes=item_attributes)
        return msgspec.structs.replace(field, kind=Kind.ARRAY, items=_typed(item, type_["items"], known))
    if type_.get("logicalType") == "timestamp-millis":
        return msgspec.structs.replace(field, kind=Kind.TIME)
    raise ValueError(f"{field.name}: 不支持的类型 / unsupported type {type_!r}")


def _routing(body: Record) -> tuple[RoutingField, ...]:
    lifted = []
    for field in body.fields:
        name = field.attributes.get("routing")
        if name is None:
            continue
        path = (field.name, *filter(None, field.attributes.get("routingPath", "").split(".")))
        pair = field.attributes.get("pseudonym")
        hidden = (tuple(pair[0].split(".")), tuple(pair[1].split("."))) if pair else None
        lifted.append(RoutingField(name=name, path=path, pseudonym=hidden))
    return tuple(lifted)
