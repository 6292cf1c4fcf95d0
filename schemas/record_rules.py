"""Rules between the fields of one record (checkBy, dependentRequired, requiredIf, fileReference), compiled
from the contract's data.

They run only on a record whose fields are all right by themselves.
"""

from typing import Any

from schemas.checks import CODE_CHECKS
from schemas.findings import Errors, RecordRule, Say
from schemas.model import Record


def rules_of(record: Record, contract: str) -> tuple[RecordRule, ...]:
    """The rules of a record, in the order of the .avsc."""
    says = {field.name: Say(field, contract) for field in record.fields}
    attributes = record.attributes
    rules = [
        _number_by_type(field.name, field.attributes["checkBy"], says[field.name])
        for field in record.fields
        if "checkBy" in field.attributes
    ]
    rules += [
        _dependent(name, others, says) for name, others in attributes.get("dependentRequired", {}).items()
    ]
    rules += [
        _required_if(condition, says[condition["field"]]) for condition in attributes.get("requiredIf", ())
    ]
    if "fileReference" in attributes:
        rules.append(_file_reference(attributes["fileReference"], says))
    return tuple(rules)


def _number_by_type(name: str, by: dict[str, str], say: Say) -> RecordRule:
    type_field = by["field"]
    by_type = {type_: CODE_CHECKS[check] for type_, check in by.items() if type_ != "field"}

    def run(result: dict[str, Any], errors: Errors) -> None:
        number = result[name]
        if number is None:
            return
        # One person's number is written with x and with X: one spelling, so that digests and pseudonyms
        # agree.
        if number.isascii():  # elsewhere upper() may lengthen a text
            number = result[name] = number.upper()
        rule = by_type.get(result[type_field])
        if rule is not None and not rule[0](number):
            say(errors, "check digit", rule[2], rule[3], rule[1], at=name)

    return run


def _dependent(name: str, others: list[str], says: dict[str, Say]) -> RecordRule:
    def run(result: dict[str, Any], errors: Errors) -> None:
        if result[name] is None:
            return
        for other in others:
            if result[other] is None:
                zh, en = f"填写了 {name} 时必填", f"is required where {name} is given"
                says[other](errors, "required", zh, en, at=other)

    return run


def _required_if(condition: dict[str, Any], say: Say) -> RecordRule:
    name, when, values = condition["field"], condition["when"], frozenset(condition["in"])
    listed = ", ".join(sorted(values))
    zh, en = f"{when} 为 {listed} 时必填", f"is required where {when} is {listed}"

    def run(result: dict[str, Any], errors: Errors) -> None:
        if result[name] is None and result[when] in values:
            say(errors, "required", zh, en, condition["standard"], at=name)

    return run


def _file_reference(names: dict[str, str], says: dict[str, Say]) -> RecordRule:
    ref, digest = names["ref"], names["digest"]

    def run(result: dict[str, Any], errors: Errors) -> None:
        if result[ref] is not None and result[digest] is not None and result[ref] != f"sm3:{result[digest]}":
            zh, en = f"应为 sm3: 加 {digest} 的值", f"must be sm3: followed by the value of {digest}"
            says[ref](errors, "file reference", zh, en, at=ref)

    return run
