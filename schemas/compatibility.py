"""Whether a new version of a message type may live beside the old ones: FULL_TRANSITIVE, in Avro's sense and
in ours.

Every version must be able to read what every other wrote, and a change of limits must not turn a legal
message of an old sender into an illegal one. Pure: contracts in, problems out.
"""

from collections.abc import Iterable

import msgspec

from schemas.contracts import Contracts
from schemas.model import Contract, Field, Kind, Record

_Problems = list[tuple[str, str, str]]  # field, zh, en


class Incompatible(msgspec.Struct, frozen=True):
    """One reason. versions: (older, newer); field: path in the body, "" = the contract itself."""

    type: str
    versions: tuple[int, int]
    field: str
    zh: str
    en: str


def check_all(contracts: Contracts) -> tuple[Incompatible, ...]:
    """Every version of every type against every other version of it."""
    return tuple(problem for contract in contracts for problem in check_type(contracts, contract.name))


def check_type(contracts: Contracts, name: str) -> tuple[Incompatible, ...]:
    """Every pair of versions of one type, not only neighbours: a lane may hold messages of any age."""
    versions = [contracts.by_type(name, version) for version in contracts.versions(name)]
    pairs = ((older, newer) for index, older in enumerate(versions) for newer in versions[index + 1 :])
    return tuple(problem for older, newer in pairs for problem in compare(older, newer))


def compare(older: Contract, newer: Contract) -> tuple[Incompatible, ...]:
    """Why `newer` may not follow `older`; empty when it may."""
    found: _Problems = [
        ("", f"{what} 不得改变", f"{what} must not change")
        for what in ("opening", "key_rule", "origin")
        if getattr(older, what) != getattr(newer, what)
    ]
    _routing(older, newer, found)
    _records(older.body, newer.body, "", found)
    versions = (older.version, newer.version)
    return tuple(Incompatible(older.name, versions, field, zh, en) for field, zh, en in found)


def _routing(older: Contract, newer: Contract, found: _Problems) -> None:
    # Routing reads headers only: a mark that moves or disappears changes where messages already in flight go.
    now = {field.name: field for field in newer.routing}
    for field in older.routing:
        if now.get(field.name) != field:
            found.append(
                (
                    ".".join(field.path),
                    f"路由标记 {field.name} 不得改变",
                    f"routing mark {field.name} must not change",
                )
            )


def _records(older: Record, newer: Record, path: str, found: _Problems) -> None:
    before, after = _by_name(older.fields), _by_name(newer.fields)
    for name in before.keys() - after.keys():
        if before[name].required:
            found.append((_join(path, name), "必填字段不得删除", "a required field must not be removed"))
    for name in after.keys() - before.keys():
        if after[name].required:
            found.append((_join(path, name), "新增字段须为可选", "an added field must be optional"))
    for name in before.keys() & after.keys():
        _fields(before[name], after[name], _join(path, name), found)
    if older.name != newer.name:
        found.append((path, "记录名不得改变", "the record's name must not change"))
    if _stricter_rules(older, newer):
        found.append((path, "字段间规则不得新增或改变", "rules between fields must not be added or changed"))


def _stricter_rules(older: Record, newer: Record) -> bool:
    return any(older.attributes.get(name) != rule for name, rule in newer.attributes.items())


def _fields(older: Field, newer: Field, path: str, found: _Problems) -> None:
    if older.kind != newer.kind:
        found.append((path, "类型不得改变", "the type must not change"))
        return
    if older.required != newer.required:
        # Avro: a reader without null cannot read a written null, nor an old reader a new one.
        found.append((path, "必填与可选不得互换", "required must stay required, optional must stay optional"))
    _limits(older, newer, path, found)
    if older.kind is Kind.RECORD:
        assert older.record is not None
        assert newer.record is not None
        _records(older.record, newer.record, path, found)
    if older.kind is Kind.ARRAY:
        assert older.items is not None
        assert newer.items is not None
        _fields(older.items, newer.items, path + "[]", found)


def _limits(older: Field, newer: Field, path: str, found: _Problems) -> None:
    before, after = older.attributes, newer.attributes
    narrower = [
        name
        for name in ("maxLength", "maxBytes", "maxItems", "maximum")
        if _less(after.get(name), before.get(name))
    ]
    narrower += [
        name
        for name in ("minItems", "minimum")
        if _less(before.get(name), after.get(name), absent_is_low=True)
    ]
    narrower += [
        name for name in ("pattern", "check", "checkBy") if name in after and before.get(name) != after[name]
    ]
    if "enumCodes" in after and not set(before.get("enumCodes", ())) <= set(after["enumCodes"]):
        narrower.append("enumCodes")
    if "enumCodes" in after and "enumCodes" not in before:
        narrower.append("enumCodes")
    for name in dict.fromkeys(narrower):
        found.append((path, f"限制 {name} 不得收紧", f"limit {name} must not become narrower"))


def _less(left: int | None, right: int | None, *, absent_is_low: bool = False) -> bool:
    # For an upper limit, absent means unlimited; for a lower one, absent means nothing is asked.
    if absent_is_low:
        return right is not None and (left is None or left < right)
    return left is not None and (right is None or left < right)


def _by_name(fields: Iterable[Field]) -> dict[str, Field]:
    return {field.name: field for field in fields}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
