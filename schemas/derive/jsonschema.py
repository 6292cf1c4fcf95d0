"""JSON Schema 2020-12 of bodies as REST members send them. What it accepts `validate.check` accepts too, but
for what no schema can say: check digits, days that do not exist, the digest inside a file reference.
"""

from typing import Any, Final

from schemas import times
from schemas.checkers import INT_RANGE
from schemas.derive.forms import any_case_form, form_of
from schemas.model import Contract, Field, Kind, Record

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DEFINITIONS: Final = "#/$defs/"
# As checkers.FORBIDDEN_CHARACTERS, less the surrogates: JSON text has none by itself.
_CLEAN: Final = "[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f\\ufffe\\uffff]"
_BASE64: Final = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_GIVEN: Final = {"not": {"enum": [None, ""]}}

Schema = dict[str, Any]


def render(contract: Contract) -> Schema:
    """The schema of one contract's body, complete in itself."""
    schema = {"$schema": DIALECT, "$id": f"urn:govhub:{contract.name}:v{contract.version}"}
    schema |= object_schema(contract.body, DEFINITIONS)
    definitions = {record.name: object_schema(record, DEFINITIONS) for record in records_of(contract.body)}
    return schema | ({"$defs": definitions} if definitions else {})


def records_of(record: Record) -> tuple[Record, ...]:
    """The records inside a record, each once, in the order of first use."""
    found: dict[str, Record] = {}
    for field in record.fields:
        inner = field.items.record if field.items is not None else field.record
        if inner is not None:
            found[inner.name] = inner
            found |= {deeper.name: deeper for deeper in records_of(inner)}
    return tuple(found.values())


def object_schema(record: Record, references: str) -> Schema:
    """The schema of one record. references: what stands before a record's name in a $ref."""
    schema: Schema = {
        "title": record.name,
        "description": f"{record.doc_zh} / {record.doc_en}",
        "type": "object",
        "properties": {field.name: _property(field, references) for field in record.fields},
        "required": [field.name for field in record.fields if field.required],
        "additionalProperties": False,
    }
    conditions = _conditions(record)
    return schema | ({"allOf": conditions} if conditions else {})


def _property(field: Field, references: str) -> Schema:
    described = {"description": f"{field.doc_zh} / {field.doc_en}"}
    if field.standard:
        described["x-standard"] = field.standard
    schema = _value(field, references)
    if field.required:
        return described | schema
    if "$ref" in schema:
        return described | {"anyOf": [schema, {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return described | schema | {"type": [*kinds, "null"]}


def _value(field: Field, references: str) -> Schema:
    limits = field.attributes
    match field.kind:
        case Kind.STRING:
            return _text(field)
        case Kind.INT | Kind.LONG:
            low, high = INT_RANGE[field.kind]
            return {
                "type": "integer",
                "minimum": limits.get("minimum", low),
                "maximum": limits.get("maximum", high),
            }
        case Kind.BOOLEAN:
            return {"type": "boolean"}
        case Kind.BYTES:
            text_max = (limits["maxBytes"] + 2) // 3 * 4
            return {"type": "string", "contentEncoding": "base64", "pattern": _BASE64, "maxLength": text_max}
        case Kind.TIME:
            pattern = times.TIME_PATTERN if field.required else f"^$|{times.TIME_PATTERN}"
            bounds = {"minimum": times.TIME_MS_MIN, "maximum": times.TIME_MS_MAX - 1}
            return {
                "type": ["string", "integer"],
                "pattern": pattern,
                **bounds,
                "examples": ["2025-03-03T09:15:00+08:00"],
            }
        case Kind.ARRAY:
            assert field.items is not None
            bounds = {"minItems": limits.get("minItems", 0), "maxItems": limits["maxItems"]}
            return {"type": "array", "items": _value(field.items, references), **bounds}
        case Kind.RECORD:
            assert field.record is not None
            return {"$ref": references + field.record.name}


def _text(field: Field) -> Schema:
    limits = field.attributes
    schema: Schema = {"type": "string"}
    if "enumCodes" in limits:
        absent = [] if field.required else ["", None]
        labels = dict(limits["enumCodes"].items())
        return schema | {"enum": [*limits["enumCodes"], *absent], "x-codes": labels}
    form = form_of(field)
    pattern = f"({form})" if form is not None else f"(?=[\\s\\S]*\\S){_CLEAN}*"
    schema["pattern"] = f"^{pattern}$" if field.required else f"^({pattern})?$"
    if "maxLength" in limits:
        schema["maxLength"] = limits["maxLength"]
    if "check" in limits:
        schema["x-check"] = limits["check"]
    return schema


def _conditions(record: Record) -> list[Schema]:
    conditions = []
    for field in record.fields:
        by = field.attributes.get("checkBy", {})
        for type_, check in by.items():
            if type_ == "field":
                continue
            form = any_case_form(check)
            when = {"properties": {by["field"]: {"const": type_}}, "required": [by["field"]]}
            number = {"pattern": f"^({form})$" if field.required else f"^({form})?$", "x-check": check}
            conditions.append({"if": when, "then": {"properties": {field.name: number}}})
    for name, others in record.attributes.get("dependentRequired", {}).items():
        when = {"properties": {name: _GIVEN}, "required": [name]}
        conditions.append({"if": when, "then": _all_given(others)})
    for rule in record.attributes.get("requiredIf", ()):
        when = {"properties": {rule["when"]: {"enum": rule["in"]}}, "required": [rule["when"]]}
        conditions.append({"if": when, "then": _all_given([rule["field"]])})
    return conditions


def _all_given(names: list[str]) -> Schema:
    return {"properties": dict.fromkeys(names, _GIVEN), "required": names}
