"""The directory's data is checked when loaded: every mistake names file:line, the field and the rule, in
Chinese and English."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.directory import DATA, Directory, DirectoryError, MemberKind, Style, from_records, load, to_records

VARIABLES = sorted(set(re.findall(r"\$\{(\w+)\}", (DATA / "members.yaml").read_text())))
ENV = {name: f"value-of-{name}" for name in VARIABLES}
PLAIN = "11460100MB1A21013T3460131003000"

Edit = Callable[[str, str, str], DirectoryError]


@pytest.fixture
def broken(tmp_path: Path) -> Edit:
    """Replace text once in a copy of the data and give back the error of loading it, checked to name the
    line."""

    def edit(table: str, old: str, new: str) -> DirectoryError:
        folder = tmp_path / "data"
        shutil.copytree(DATA, folder, dirs_exist_ok=True)
        file = folder / f"{table}.yaml"
        text = file.read_text()
        assert old in text, "the test does not change anything"
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(DirectoryError) as caught:
            load(folder)
        error = caught.value
        assert re.fullmatch(rf"{table}\.yaml:\d+", error.place), error.place
        assert re.search(r"[一-鿿]", error.zh), "Chinese text is missing"
        assert re.search(r"[a-z]{3}", error.en), "English text is missing"
        assert str(error) == f"{error.place}: {error.field}: {error.zh} / {error.en}"
        return error

    return edit


def line_of(table: str, text: str) -> int:
    lines = (DATA / f"{table}.yaml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_the_data_loads_and_its_version_is_the_sm3_of_its_content() -> None:
    one, two = load(), load(env=ENV)
    assert re.fullmatch(r"[0-9a-f]{64}", one.version)
    assert one.version == two.version, "the environment is no part of the version"
    assert one.sources == two.sources


def test_r16_secrets_come_from_the_environment_and_are_in_no_record() -> None:
    directory = load(env=ENV)
    assert directory.members["platform"].auth.inbound_keys == ("value-of-HUB_MEMBER_PLATFORM_INBOUND_KEY",)
    assert directory.members["dept-b"].auth.sp_secret == "value-of-HUB_MEMBER_DEPT_B_SP_SECRET"
    assert directory.members["nation"].adapter.database_url == "value-of-HUB_NATION_DATABASE_URL"
    for pairs in to_records(directory).values():
        for _, value in pairs:
            assert b"value-of" not in (value or b"")


def test_without_an_environment_the_references_stay_as_written() -> None:
    assert load().members["platform"].adapter.url == "${HUB_MEMBER_PLATFORM_URL}"


def test_a_missing_environment_variable_is_named_with_its_line() -> None:
    short = {name: value for name, value in ENV.items() if name != "HUB_MEMBER_CREDIT_URL"}
    with pytest.raises(DirectoryError, match="HUB_MEMBER_CREDIT_URL") as caught:
        load(env=short)
    assert caught.value.place == f"members.yaml:{line_of('members', 'HUB_MEMBER_CREDIT_URL')}"


def test_a_secret_written_into_the_file_is_refused(broken: Edit) -> None:
    error = broken("members", '"${HUB_MEMBER_PLATFORM_OUTBOUND_KEY}"', "letmein")
    assert error.field == "platform.auth.outbound_key"
    assert "letmein" not in str(error)


@pytest.mark.parametrize(
    ("table", "old", "new", "field", "word"),
    [
        ("members", "11460000MB1A200105", "11460000MB1A200106", "platform.org_code", "GB 32100"),
        ("members", 'regions: ["460100"]', 'regions: ["460199"]', "dept-a.regions.0", "460199"),
        ("members", "kind: platform", "kind: ministry", "platform.kind", "ministry"),
        ("members", "guarantee: queryable", "guarantee: maybe", "dept-b.delivery.guarantee", "maybe"),
        ("members", "in_flight_max: 1\n", "in_flight_max: 0\n", "dept-b.delivery.calls_in_flight_max", "1"),
        ("members", "calls_in_flight_max: 1\n", "at_once: 1\n", "dept-b.delivery.at_once", "unknown key"),
        ("members", "    contact: 三亚市人社局信息科 0898-00000003\n", "", "dept-b", "contact"),
        ("members", "- case.evaluated", "- case.evaluate", "platform.subscribes.13", "case.evaluate"),
        ("members", "HMAC-SM3", "MD5", "dept-a.auth.algorithm", "HMAC"),
        ("members", ', url: "${HUB_MEMBER_CREDIT_URL}"', "", "credit.adapter", "url"),
        ("members", "  dept-a:\n", "  Dept_A:\n", "Dept_A", "lower-case"),
        ("members", "  dept-b:\n", "  dept-a:\n", "dept-a", "duplicate"),
        ("members", "    name_en: Hainan uni", "    id: x\n    name_en: Hainan uni", "credit.id", "key"),
        ("items", '{"460100": dept-a}', '{"460100": dept-z}', "", "dept-z"),
        ("items", '{"460100": dept-a}', '{"460100": platform}', "", "department"),
        ("items", '{"460100": dept-a}', '{"460200": dept-a}', "", "does not serve"),
        ("items", '{"460100": dept-a}', '{"460100": dept-a, "460105": dept-a}', "", "overlaps"),
        ("items", '{"460100": dept-a}', '{"460100": dept-a, "460100": dept-a}', "460100", "duplicate"),
        ("items", '{"460100": dept-a}', '{"469999": dept-a}', "", "469999"),
        ("items", '{"460100": dept-a}', "{}", "", "owner"),
        ("items", '"11460100MB1A21013T3', '"11460100MB1A21014T3', "", "USCC"),
        ("items", '"11460100MB1A21013T3460131001000"', '"11460100MB1A21013T346013100100"', "", "31"),
        ("items", 'base_code: "460131001000"', 'base_code: "460131001001"', "", "base_code"),
        ("items", "industry: F52\n", 'industry: ""\n', "", "industry"),
        ("items", "versions: [1, 2]", "versions: [1, 1]", "", "distinct"),
        ("items", "versions: [1, 2]", "versions: [0]", "", "1"),
        ("items", "credit: query", "credit: maybe", "", "query"),
        ("items", "acceptance: [department, window]", "acceptance: [department, counter]", "", "counter"),
        ("items", "acceptance: [department, window]", "acceptance: []", "", "empty"),
        ("items", "promise_days: 10", "promise_days: 0x0a", "promise_days", "decimal"),
        ("regions", 'parent: "460100"', 'parent: "460109"', "460105.parent", "460109"),
        ("regions", "{name_zh: 海南省}", '{name_zh: 海南省, parent: "460100"}', "", "circle"),
        ("regions", '"469001"', '"46900"', "46900", "GB/T 2260"),
        ("regions", "authority: statistical", "authority: hearsay", "460400499.authority", "hearsay"),
        ("routes", "role: owner", "role: boss", "case.submitted.to.0.role", "boss"),
        ("routes", "[platform, window, owner]", "[platform, supervision]", "case.submitted.from.1", "sender"),
        ("routes", "{role: origin}", "{role: hub}", "", "destination"),
        ("routes", "  case.accepted:", "  Accepted:", "Accepted", "message type"),
        ("routes", "routes:\n", "ways:\n", "routes", "top-level"),
        ("routes", "  case.accepted:", "  case.accepted: &anchor", "-", "anchors"),
        ("routes", "  case.accepted:", "  case.accepted: [", "-", "YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_line_field_and_rule(
    broken: Edit, table: str, old: str, new: str, field: str, word: str
) -> None:
    error = broken(table, old, new)
    assert word in error.en
    if field:
        assert error.field == field


def test_the_line_is_the_one_of_the_mistake(broken: Edit) -> None:
    error = broken("members", "algorithm: HMAC-SM3", "algorithm: ROT13")
    assert error.place == f"members.yaml:{line_of('members', 'HMAC-SM3')}"
    error = broken("items", "industry: L7263", "industrie: L7263")
    assert error.place == f"items.yaml:{line_of('items', 'industry: L7263')}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match=r"members\.yaml"):
        load(tmp_path)


def test_an_empty_table_is_refused(broken: Edit, tmp_path: Path) -> None:
    text = (DATA / "items.yaml").read_text()
    error = broken("items", text, "items: {}\n")
    assert error.field == "items"


def published(directory: Directory) -> dict[str, dict[bytes, bytes]]:
    return {
        table: {key: value for key, value in pairs if value is not None}
        for table, pairs in to_records(directory).items()
    }


def test_what_is_published_reads_back_as_the_same_directory() -> None:
    directory = load(env=ENV)
    assert from_records(published(directory), ENV) == directory


def test_publishing_again_writes_nothing_and_a_removed_entry_becomes_a_tombstone() -> None:
    directory = load()
    held = published(directory)
    assert all(pairs == [] for pairs in to_records(directory, held).values())
    held["items"][b"gone"] = b"{}"
    assert to_records(directory, held)["items"] == [(b"gone", None)]


def test_a_half_published_directory_is_refused_as_a_whole() -> None:
    held = published(load())
    del held["members"][b"dept-a"]
    with pytest.raises(DirectoryError, match="dept-a") as caught:
        from_records(held)
    assert caught.value.place.startswith("directory.items[")
    held["members"][b"dept-a"] = b"{"
    with pytest.raises(DirectoryError, match="JSON") as caught:
        from_records(held)
    assert caught.value.place == "directory.members[dept-a]"


def test_the_demo_has_two_cities_and_the_members_every_flow_needs() -> None:
    directory = load()
    assert {member.kind for member in directory.members.values()} == set(MemberKind) - {MemberKind.HUB}
    assert {member.adapter.style for member in directory.members.values()} == set(Style) - {Style.BRIDGE}
    assert len([code for code, region in directory.regions.items() if region.authority == "GB/T 2260"]) == 30
    items = list(directory.items.values())
    assert {len(item.code) for item in items} == {31, 33}
    assert {code[:4] for item in items for code in item.owners} == {"4601", "4602"}
    assert any(item.credit == "query" and item.decision_standard for item in items)
    assert any(item.credit == "query" and not item.decision_standard for item in items)
    assert any("cross_region_window" in item.acceptance for item in items)
    assert any(item.project_type == "1" and item.promise_days == 0 for item in items)
    assert any(item.special for item in items)
    assert any(not item.nation for item in items)
    assert directory.items[PLAIN].owners == {"460100": "dept-a"}


def test_every_type_of_the_contracts_that_a_member_may_send_has_a_route() -> None:
    from schemas import contracts

    directory = load()
    sent = {contract.name for contract in contracts.load() if contract.name.startswith(("case.", "credit."))}
    assert sent - set(directory.routes) == {"case.supervision_copy"}


def test_the_item_that_the_documentation_adds_is_valid(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "directory.md").read_text()
    (sample,) = re.findall(r"```yaml\nitems:\n(.*?)```", text, re.DOTALL)
    folder = tmp_path / "data"
    shutil.copytree(DATA, folder)
    with (folder / "items.yaml").open("a") as file:
        file.write(sample)
    assert len(load(folder).items) == len(load().items) + 1


def test_the_error_that_the_documentation_shows_is_the_one_that_comes(broken: Edit) -> None:
    text = (Path(__file__).parents[2] / "docs" / "directory.md").read_text()
    error = broken("items", '{"460100": dept-a}', '{"460100": dept-z}')
    assert str(error) in text
