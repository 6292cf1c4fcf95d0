"""The topic catalogue: what must be true of every topic, and what an operator reads when the file is
wrong."""

from pathlib import Path

import pytest

from schemas.codec import VALUE_BYTES_MAX
from schemas.contracts import load as load_contracts
from topics.catalogue import PATH, CatalogueError, load


def test_every_keyed_topic_has_the_same_partition_count() -> None:
    wanted = {topic.name: topic for topic in load().wanted(members=("dept-a",), partitions=12)}
    keyed = {
        "case.inbound",
        "commands.router",
        "case.routed",
        "case.events",
        "case.outcomes",
        "router.changelog",
        "evidence.leaves",
        "evidence.roots",
        "evidence.changelog",
    }
    assert {name for name, topic in wanted.items() if topic.partitions == 12} == keyed
    assert {topic.partitions for name, topic in wanted.items() if name not in keyed} == {1}


def test_each_member_has_a_topic_and_a_changelog() -> None:
    names = [topic.name for topic in load().wanted(members=("dept-a", "nation"), partitions=3, prefix="t1.")]
    assert {name for name in names if "nation" in name} == {
        "t1.commands.delivery.nation",
        "t1.deliver.nation",
        "t1.delivery.nation.changelog",
    }
    assert all(name.startswith("t1.") for name in names)
    assert len(set(names)) == len(names)


def test_g1_nothing_is_ever_deleted_by_time() -> None:
    for topic in load().topics:
        policy = topic.config["cleanup.policy"]
        assert policy == "compact" or topic.config["retention.ms"] == "-1", topic.name
        assert policy == "delete" or topic.name not in ("case.inbound", "case.events", "deliver.{member}")


def test_the_limit_leaves_room_for_the_headers_the_hub_adds() -> None:
    limits = {topic.name: int(topic.config["max.message.bytes"]) for topic in load().topics}
    assert limits["case.inbound"] == 1_048_576
    assert limits["case.inbound"] - VALUE_BYTES_MAX == 65_536
    for name in ("deliver.{member}", "case.events", "router.changelog", "delivery.{member}.changelog"):
        assert limits[name] - limits["case.inbound"] == 65_536, name


def test_every_message_type_travels_on_some_topic() -> None:
    carried = {name for topic in load().topics for name in topic.schemas}
    assert carried == {contract.name for contract in load_contracts()}


def test_every_topic_is_explained_in_both_languages() -> None:
    for topic in load().topics:
        assert topic.doc_zh
        assert topic.doc_en.isascii()
        assert topic.written_by
        assert topic.read_by


INBOUND = (
    'config: {cleanup.policy: delete, retention.ms: "-1", retention.bytes: "-1", '
    'max.message.bytes: "1048576"}'
)


def line_of(text: str) -> int:
    return PATH.read_text("utf-8")[: PATH.read_text("utf-8").index(text)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("name: commands.router", "name: case.inbound", "name"),
        ("name: commands.router", "name: Commands Router", "name"),
        ("key: party", "key: whatever", "key"),
        ("key: party\n    partitions: 1", "key: party\n    partitions: 4", "partitions"),
        ("key: aggregate\n    partitions: 1", "key: aggregate\n    partitions: P", "partitions"),
        ("schemas: [hub.outcome]", "schemas: [hub.outcom]", "schemas: hub.outcom"),
        ("schemas: [hub.outcome]", "schemas: []", "schemas"),
        ("written_by: [console, cli]", "written_by: console", "list"),
        ("doc: 成员目录 / directory of members", "doc: directory of members", "doc"),
        ("doc: 成员目录 / directory of members", "docs: 成员目录", "doc, docs"),
        (INBOUND, INBOUND.replace('retention.ms: "-1"', 'retention.ms: "604800000"'), "config.retention.ms"),
        (INBOUND, INBOUND.replace("policy: delete", "policy: shred"), "config.cleanup.policy"),
        (INBOUND, INBOUND.replace(', max.message.bytes: "1048576"', ""), "config"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_field(tmp_path: Path, old: str, new: str, field: str) -> None:
    text = PATH.read_text("utf-8")
    assert old in text
    wrong = tmp_path / "catalogue.yaml"
    wrong.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(CatalogueError) as error:
        load(wrong)
    place, _, rest = str(error.value).partition(": ")
    assert rest.startswith(f"{field}: ")
    line = int(place.removeprefix(f"{wrong}:"))
    assert abs(line - line_of(old)) <= 7


@pytest.mark.parametrize("text", ["", "[]", "topics: {}", "topics:\n  - 1", "topics: [", "a: 1\na: 2"])
def test_a_file_that_is_no_catalogue_is_a_catalogue_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(CatalogueError, match=r"c\.yaml"):
        load(tmp_path / "c.yaml")


def test_a_member_id_that_is_no_topic_name_is_refused() -> None:
    with pytest.raises(ValueError, match="a b"):
        load().wanted(members=("a b",), partitions=3)
