"""FULL_TRANSITIVE: which edits of a contract may become its next version, checked by our rules and by Avro's
own resolution."""

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pytest

from schemas import samples, validate
from schemas.compatibility import check_all, compare
from schemas.contracts import HERE, Contracts, load, read_contract
from schemas.model import Contract

Edit = Callable[[dict[str, Any]], Any]
NOTE = {"name": "note", "type": ["null", "string"], "default": None, "doc": "备注 / note", "maxLength": 50}
NEEDED = {"name": "note", "type": "string", "doc": "备注 / note", "maxLength": 50}


def edited(folder: Path, type_: str, change: Edit, version: int = 2) -> Contract:
    """The next version of a type, with its shared records, as it would be read from avsc/."""
    folder_name = type_.replace(".", "_")
    schema = json.loads((HERE / f"avsc/{folder_name}/v1.avsc").read_text("utf-8"))
    change(schema)
    place = folder / folder_name / f"v{version}.avsc"
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(schema | {"version": version}, ensure_ascii=False), "utf-8")
    (folder / "shared").exists() or (folder / "shared").symlink_to(HERE / "avsc/shared")
    return read_contract(place, folder)


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(f for f in schema["fields"] if f["name"] == name)
    return found


def remove(schema: dict[str, Any], name: str) -> None:
    schema["fields"].remove(field(schema, name))


def make_required(node: dict[str, Any]) -> None:
    node["type"] = node["type"][1]
    del node["default"]


COMPATIBLE: list[tuple[str, Edit]] = [
    ("optional field added", lambda s: s["fields"].append(copy.deepcopy(NOTE))),
    ("optional field removed", lambda s: remove(s, "docNo")),
    ("text may be longer", lambda s: field(s, "handler").update(maxLength=60)),
    ("code added", lambda s: field(s, "result")["enumCodes"].update({"7": "新 / new"})),
    ("better explanation", lambda s: s.update(doc="办结 / decided, at last")),
    ("rule between fields dropped", lambda s: s.pop("requiredIf")),
    ("routing mark added", lambda s: field(s, "docNo").update(routing="docno")),
]
OPTIONAL = {"type": ["null", "string"], "default": None}
PATTERN = {"pattern": "^a$", "patternZh": "a", "patternEn": "a"}
INCOMPATIBLE: list[tuple[str, Edit, str]] = [
    ("required field added", lambda s: s["fields"].append(copy.deepcopy(NEEDED)), "note"),
    ("required field removed", lambda s: remove(s, "handler"), "handler"),
    ("required field made optional", lambda s: field(s, "handler").update(OPTIONAL), "handler"),
    ("optional field made required", lambda s: make_required(field(s, "docNo")), "docNo"),
    ("type changed", lambda s: field(s, "needDelivery").update(type="string", maxLength=5), "needDelivery"),
    ("text must be shorter", lambda s: field(s, "handler").update(maxLength=20), "handler"),
    ("text gets a pattern", lambda s: field(s, "handler").update(PATTERN), "handler"),
    ("code removed", lambda s: field(s, "result")["enumCodes"].pop("3"), "result"),
    ("routing mark removed", lambda s: field(s, "result").pop("routing"), "result"),
    ("routing mark renamed", lambda s: field(s, "result").update(routing="outcome"), "result"),
    ("rule between fields added", lambda s: s.update(dependentRequired={"docNo": ["licence"]}), ""),
    ("becomes an opening message", lambda s: s.update(opening=True), ""),
    ("key changed", lambda s: s.update(key="subject"), ""),
]


@pytest.mark.parametrize(("what", "change"), COMPATIBLE, ids=[what for what, _ in COMPATIBLE])
def test_an_edit_that_everyone_can_live_with(tmp_path: Path, what: str, change: Edit) -> None:
    assert compare(load().by_type("case.decided"), edited(tmp_path, "case.decided", change)) == ()


@pytest.mark.parametrize(("what", "change", "place"), INCOMPATIBLE, ids=[what for what, _, _ in INCOMPATIBLE])
def test_an_edit_that_breaks_someone_is_named_with_its_place(
    tmp_path: Path, what: str, change: Edit, place: str
) -> None:
    problems = compare(load().by_type("case.decided"), edited(tmp_path, "case.decided", change))
    assert place in {problem.field for problem in problems}
    assert all(problem.zh and problem.en and problem.versions == (1, 2) for problem in problems)


def test_array_and_shared_record_limits_are_compared_too(tmp_path: Path) -> None:
    older = load().by_type("case.submitted")
    fewer = edited(tmp_path, "case.submitted", lambda s: field(s, "materials").update(maxItems=50))
    assert [(p.field, p.en) for p in compare(older, fewer)] == [
        ("materials", "limit maxItems must not become narrower")
    ]


def test_every_version_is_compared_with_every_other_not_only_with_its_neighbour(tmp_path: Path) -> None:
    # v2 drops the optional docNo, v3 brings it back with another type: each step is fine, v1 against v3 is
    # not.
    first = load().by_type("case.decided")
    second = edited(tmp_path, "case.decided", lambda s: remove(s, "docNo"), 2)
    third = edited(tmp_path, "case.decided", lambda s: field(s, "docNo").update(type=["null", "long"]), 3)
    assert compare(first, second) == ()
    assert compare(second, third) == ()
    problems = check_all(Contracts((first, second, third)))
    assert {(problem.versions, problem.field) for problem in problems} == {((1, 3), "docNo")}


def test_the_contracts_of_this_release_are_compatible() -> None:
    assert check_all(load()) == ()


@pytest.mark.parametrize(("what", "change"), COMPATIBLE, ids=[what for what, _ in COMPATIBLE])
def test_avro_itself_reads_old_with_new_and_new_with_old(tmp_path: Path, what: str, change: Edit) -> None:
    old, new = load().by_type("case.decided"), edited(tmp_path, "case.decided", change)
    for writer, reader in ((old, new), (new, old)):
        sample = {
            k: v for k, v in samples.body("case.decided").items() if k in {f.name for f in writer.fields}
        }
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, writer.codec_schema, validate.check(writer, sample))
        buffer.seek(0)
        body = fastavro.schemaless_reader(buffer, writer.codec_schema, reader.codec_schema)
        assert validate.check(reader, body) == body
