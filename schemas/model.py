"""A contract as data: what the loader makes of an .avsc. Frozen; no file is read and no body is checked
here."""

import enum
from typing import Any

import msgspec


class Kind(enum.StrEnum):
    """What a field holds. TIME is Avro timestamp-millis; the others are Avro's own."""

    STRING = "string"
    INT = "int"
    LONG = "long"
    BOOLEAN = "boolean"
    BYTES = "bytes"
    TIME = "time"
    ARRAY = "array"
    RECORD = "record"


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field. items: the element of an array; record: the record of kind RECORD. attributes: limits as
    written in the .avsc (maxLength in characters, maxBytes, maxItems, minItems, minimum, maximum, pattern,
    enumCodes, check, checkBy, item*)."""

    name: str
    kind: Kind
    required: bool
    doc_zh: str
    doc_en: str
    standard: str
    attributes: dict[str, Any] = {}
    items: "Field | None" = None
    record: "Record | None" = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record, shared or the body of a message. attributes: rules between its fields (dependentRequired,
    requiredIf, fileReference)."""

    name: str
    doc_zh: str
    doc_en: str
    fields: tuple[Field, ...]
    attributes: dict[str, Any] = {}


class RoutingField(msgspec.Struct, frozen=True, kw_only=True):
    """A field that the gateway lifts into a header: `region` and `item` into ce_region and ce_item, others
    into ce_x<name>.

    path: where the value lies in the body. pseudonym: paths of (document type, document number) when only a
    pseudonym may travel."""

    name: str
    path: tuple[str, ...]
    pseudonym: tuple[tuple[str, ...], tuple[str, ...]] | None = None


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one message type.

    key_rule: "case" (partition key = 办件编号) or "subject" (the aggregate's own number, R6). origin:
    "member" (members may send it) or "hub" (made by the hub itself). source_key: per dialect, what
    identifies the message at its sender (R1). avro: the composed schema with docs and attributes, as the
    registry shows it; codec_schema: the same, bare, for encoding. fingerprint: SHA-256 (hex) of the
    canonical form that `schemas/ids.lock` binds to schema_id.
    """

    name: str
    schema_id: int
    version: int
    opening: bool
    key_rule: str
    origin: str
    source_key: dict[str, Any]
    routing: tuple[RoutingField, ...]
    fields: tuple[Field, ...]
    body: Record
    doc_zh: str
    doc_en: str
    avro: dict[str, Any]
    codec_schema: dict[str, Any]
    fingerprint: str
