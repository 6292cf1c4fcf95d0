"""The catalogue of contracts: an id means one schema for ever, and every file says in two languages what it
holds."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pytest

from schemas.contracts import HERE, CatalogueError, load, load_from, read_contract
from schemas.model import Field, Kind


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(HERE / "avsc", tmp_path / "avsc")
    shutil.copy(HERE / "ids.lock", tmp_path / "ids.lock")
    return tmp_path


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    schema = json.loads(path.read_text("utf-8"))
    change(schema)
    path.write_text(json.dumps(schema, ensure_ascii=False), "utf-8")


def reload(folder: Path) -> Any:
    return load_from(folder / "avsc", folder / "ids.lock")


def test_the_catalogue_of_this_release_is_what_its_lock_binds() -> None:
    assert len(load().all) == len((HERE / "ids.lock").read_text().splitlines()) - 1


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: schema["fields"][0].update(maxLength=999),
        lambda schema: schema["fields"].pop(),
        lambda schema: schema["fields"][-1].update(routing="elsewhere"),
        lambda schema: schema.update(key="subject"),
        lambda schema: schema["fields"][0]["enumCodes"].update({"7": "新 / new"}),
        lambda schema: schema.pop("requiredIf"),
    ],
)
def test_a_changed_contract_without_a_new_version_does_not_load(copy: Path, change: Any) -> None:
    edit(copy / "avsc/case_decided/v1.avsc", change)
    with pytest.raises(CatalogueError, match=r"case_decided/v1\.avsc.*add a new version"):
        reload(copy)


def test_a_changed_shared_record_changes_every_contract_that_uses_it(copy: Path) -> None:
    edit(copy / "avsc/shared/v1/Org.avsc", lambda schema: schema["fields"][1].update(maxLength=200))
    with pytest.raises(CatalogueError, match="add a new version"):
        reload(copy)


def test_a_better_explanation_changes_no_id(copy: Path) -> None:
    def explain(schema: dict[str, Any]) -> None:
        schema["doc"] = "办结（改过的说明） / decided (better said)"
        schema["fields"][0]["standard"] = "GB/T 39046-2020"
        schema["fields"][0]["enumCodes"]["0"] = "准予 / granted"

    edit(copy / "avsc/case_decided/v1.avsc", explain)
    before, after = load().by_type("case.decided"), reload(copy).by_type("case.decided")
    assert (after.schema_id, after.fingerprint) == (before.schema_id, before.fingerprint)
    assert after.doc_en == "decided (better said)"


def test_a_contract_without_an_id_does_not_load(copy: Path) -> None:
    (copy / "avsc/case_moved").mkdir()
    shutil.copy(copy / "avsc/case_withdrawn/v1.avsc", copy / "avsc/case_moved/v1.avsc")
    edit(copy / "avsc/case_moved/v1.avsc", lambda schema: schema.update(messageType="case.moved"))
    with pytest.raises(CatalogueError, match="has no id"):
        reload(copy)


def test_a_bound_version_may_not_disappear(copy: Path) -> None:
    (copy / "avsc/case_withdrawn/v1.avsc").unlink()
    with pytest.raises(CatalogueError, match=r"without a file.*case\.withdrawn"):
        reload(copy)


@pytest.mark.parametrize(
    "line", ["1 case.other 1 abc", "77 case.decided 1 abc", "77 case.other 1", "x case.other 1 abc"]
)
def test_the_lock_itself_is_checked_by_line(copy: Path, line: str) -> None:
    lock = copy / "ids.lock"
    text = lock.read_text()
    lock.write_text(text + line + "\n")
    with pytest.raises(CatalogueError, match=rf"ids\.lock:{len(text.splitlines()) + 1}: "):
        reload(copy)


def test_a_second_version_lives_beside_the_first(copy: Path) -> None:
    folder = copy / "avsc/case_withdrawn"
    shutil.copy(folder / "v1.avsc", folder / "v2.avsc")
    note = {
        "name": "note",
        "type": ["null", "string"],
        "default": None,
        "doc": "备注 / note",
        "maxLength": 50,
    }
    edit(folder / "v2.avsc", lambda schema: (schema.update(version=2), schema["fields"].append(note)))
    fingerprint = read_contract(folder / "v2.avsc", copy / "avsc").fingerprint
    with (copy / "ids.lock").open("a") as lock:
        lock.write(f"900 case.withdrawn 2 {fingerprint}\n")
    contracts = reload(copy)
    assert contracts.versions("case.withdrawn") == (1, 2)
    assert contracts.by_type("case.withdrawn").schema_id == 900
    assert contracts.by_type("case.withdrawn", 1).schema_id == load().by_type("case.withdrawn").schema_id
    assert contracts.by_id(900).version == 2


def fields_of(fields: tuple[Field, ...]) -> list[Field]:
    found = list(fields)
    for field in fields:
        inner = field.items if field.kind is Kind.ARRAY else field
        if inner is not None and inner.record is not None:
            found += fields_of(inner.record.fields)
    return found


@pytest.mark.parametrize("name", [contract.name for contract in load()])
def test_every_field_is_bilingual_and_bounded(name: str) -> None:
    for field in fields_of(load().by_type(name).fields):
        assert any("一" <= character <= "鿿" for character in field.doc_zh), field.name
        assert field.doc_en.isascii() or "–" in field.doc_en, field.name
        bounds = {"maxLength", "maxBytes", "maxItems", "maximum", "pattern", "enumCodes", "check"}
        if field.kind not in (Kind.BOOLEAN, Kind.RECORD, Kind.TIME):
            assert bounds & field.attributes.keys(), f"{name}.{field.name} has no bound"
        if "pattern" in field.attributes and "maxLength" not in field.attributes:
            assert "*" not in field.attributes["pattern"], (
                f"{name}.{field.name} is not bounded by its pattern"
            )


@pytest.mark.parametrize("name", [contract.name for contract in load()])
def test_the_composed_schema_is_avro_that_stands_alone(name: str) -> None:
    contract = load().by_type(name)
    schema = json.loads(json.dumps(contract.avro))
    assert fastavro.schema.fingerprint(
        fastavro.schema.to_parsing_canonical_form(schema), "SHA-256"
    ) == fastavro.schema.fingerprint(
        fastavro.schema.to_parsing_canonical_form(contract.codec_schema), "SHA-256"
    )


def test_r01_every_type_says_what_identifies_its_message_at_the_sender() -> None:
    for contract in load():
        if contract.origin == "member":
            assert contract.source_key["json"] == "sourceRef"
    special, step = load().by_type("case.special_started"), load().by_type("case.process_step")
    correction = load().by_type("case.correction_notified")
    assert special.source_key["sp"] == ["SBLSH_SHORT", "VERSION", "XH"]
    assert step.source_key["sp"] == ["SBLSH_SHORT", "VERSION", "SPHJDM", "SPSJ", "digest"]
    assert correction.source_key["sp"] == ["SBLSH_SHORT", "VERSION", "BZGZSJ", "digest"]
    assert step.source_key["eaJc"] == ["projid", "dataver", "sn"]


def test_r06_the_key_is_the_cases_number_only_for_case_types() -> None:
    assert load().by_type("credit.changed").key_rule == "subject"
    assert {c.key_rule for c in load() if c.name.startswith("case.")} == {"case"}
    assert [c.name for c in load() if c.opening] == ["case.submitted"]
