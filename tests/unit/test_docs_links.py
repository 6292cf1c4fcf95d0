"""The documentation names only what exists: pages, places, commands, make targets, tests, settings."""

import ast
import re
from functools import cache
from pathlib import Path

import click
import pytest

from hub.cli import govhub
from hub.config import Settings
from tests.mutation_runner import seen_on_page
from tests.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "DESIGN.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)
SETTINGS_PAGE = ROOT / "docs" / "settings.md"
# Named by make itself or by another program's setting, so not fields of Settings.
NOT_SETTINGS = {
    "HUB_NATION_DATABASE_URL",
    "HUB_STOP_WITH_PARENT",
    "HUB_STUB_LISTEN",
    "HUB_STUB_MEMBERS",
    "HUB_VECTORS",
}
WRITTEN_WHEN_RUN = {"bench/results/"}

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"```[^\n]*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
_TEST = re.compile(r"`(tests/\S+?\.py)?::(test_\w+)`")


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def links(page: Path) -> list[str]:
    return [target for target in _LINK.findall(prose(page)) if "://" not in target]


@cache
def places(page: Path) -> frozenset[str]:
    """Anchors of a page: headings as readers' sites make them, and anchors written out."""
    text = prose(page)
    slugs = {
        re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", title).strip().lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    return frozenset(slugs | set(re.findall(r'<a id="([^"]+)">', text)))


def commands(page: Path, program: str) -> list[list[str]]:
    """Words after `program` wherever a code block's line or a code span begins with it."""
    found = []
    for block, span in _CODE.findall(page.read_text("utf-8")):
        for line in (block or span).splitlines():
            words = line.strip().split("#")[0].split()
            if words[:1] == [program] and len(words) > 1:
                found.append(words[1:])
    return found


def of_all_pages(program: str) -> list[tuple[str, list[str]]]:
    return [(page.name, words) for page in PAGES for words in commands(page, program)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, place = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        assert file.is_relative_to(ROOT), f"{page.name}: {target} leaves the project"
        if place and file.suffix == ".md":
            assert place in places(file), f"{page.name}: {target} names no place"


def test_the_index_leads_to_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    led_to = {(index.parent / target).resolve() for target in links(index)}
    assert {page for page in PAGES if page != index} <= led_to


def test_every_govhub_command_of_the_documentation_exists() -> None:
    named = of_all_pages("govhub")
    assert len(named) > 20
    for page, words in named:
        command: click.Command = govhub
        rest = list(words)
        while isinstance(command, click.Group) and rest:
            name = rest.pop(0)
            assert name in command.commands, f"{page}: govhub {' '.join(words)}"
            command = command.commands[name]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for word in rest:
            assert not word.startswith("--") or word in known, f"{page}: govhub {' '.join(words)}"
        arguments = [p for p in command.params if isinstance(p, click.Argument)]
        choices = [p.type.choices for p in arguments if isinstance(p.type, click.Choice)]
        if choices and rest and rest[0].islower():
            assert rest[0] in choices[0], f"{page}: govhub {' '.join(words)}"


def test_every_make_target_of_the_documentation_exists_and_takes_its_variables() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"\$\((?:call on,\$\()?([A-Z]+)\)", makefile))
    named = of_all_pages("make")
    assert {"demo", "test", "up"} <= {words[0] for _, words in named}
    for page, words in named:
        for word in words:
            name, given, _ = word.partition("=")
            assert name in (variables if given else targets), f"{page}: make {' '.join(words)}"


def test_every_module_that_is_run_by_name_exists() -> None:
    for page in PAGES:
        for name in re.findall(r"python -m (\w+(?:\.\w+)*)", page.read_text("utf-8")):
            path = ROOT / name.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), f"{page.name}: {name}"


def test_every_file_and_folder_a_page_names_exists() -> None:
    tops = "hub|adapters|schemas|topics|signing|stubs|examples|tests|bench|docs"
    named = 0
    for page in PAGES:
        for path in re.findall(rf"`((?:{tops})/[\w./-]*)`", prose(page)):
            named += 1
            assert (ROOT / path).exists() or path in WRITTEN_WHEN_RUN, f"{page.name}: {path}"
    assert named > 30


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


def race_rows() -> list[str]:
    design = (ROOT / "DESIGN.md").read_text("utf-8")
    section = design.split("\n## 8 ")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [row for row in rows if not row.startswith(("| race |", "|---"))]


def test_every_race_of_the_design_has_a_defence_and_a_test_that_exists() -> None:
    rows = race_rows()
    assert len(rows) > 40
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 3, row
        assert all(cells), row
        file = ""
        named = _TEST.findall(row)
        assert named, row
        for given, test in named:
            file = given or file  # `::name` alone stands for the file named before it in the row
            assert (ROOT / file).is_file(), f"{file} in {row}"
            assert test in names_in(file), f"{file}::{test} in {row}"


def test_every_defence_that_the_mutation_list_removes_is_a_race_of_the_design() -> None:
    named = {test for row in race_rows() for _, test in _TEST.findall(row)}
    assert {mutation.test.partition("::")[2] for mutation in MUTATIONS} <= named


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.defence)
def test_every_defence_that_the_mutation_list_removes_stands_once_in_its_file(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text("utf-8").count(mutation.old) == 1
    file, _, test = mutation.test.partition("::")
    assert test.partition("[")[0] in names_in(file)


def test_the_page_of_removed_defences_names_only_defences_of_the_list() -> None:
    assert set(seen_on_page()) <= {mutation.defence for mutation in MUTATIONS}


def rows_of_settings() -> dict[str, str]:
    """Variable -> default as the settings page shows it."""
    lines = re.findall(r"^\| `(HUB_[A-Z_]+)` \| ([^|]+) \|", SETTINGS_PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(dict(lines)) == len(lines), "a variable stands in two rows"
    return dict(lines)


def test_the_settings_page_has_every_setting_and_no_other() -> None:
    assert set(rows_of_settings()) == {"HUB_" + name.upper() for name in Settings.__struct_fields__}


def test_the_settings_page_shows_the_true_defaults() -> None:
    settings = Settings.from_env({"HUB_KAFKA_BOOTSTRAP": "127.0.0.1:9092"})
    for variable, shown in rows_of_settings().items():
        value = getattr(settings, variable.removeprefix("HUB_").lower())
        if isinstance(value, Path):
            value = value.relative_to(ROOT) if value.is_absolute() else value
            expected = {"HUB_FILES_DIR": "`files` in `HUB_DATA_DIR`"}.get(variable, f"`{value}`")
        elif variable == "HUB_KAFKA_BOOTSTRAP":
            expected = "required"
        else:
            expected = f"`{value}`" if value not in ("", b"", None) else "empty"
        assert shown.strip() == expected, variable


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_variable_a_page_names_is_a_setting_or_a_members_own(page: Path) -> None:
    known = {"HUB_" + name.upper() for name in Settings.__struct_fields__} | NOT_SETTINGS
    for variable in re.findall(r"\bHUB_[A-Z][A-Z_]*[A-Z]\b", page.read_text("utf-8")):
        assert variable in known or variable.startswith("HUB_MEMBER"), f"{page.name}: {variable}"
