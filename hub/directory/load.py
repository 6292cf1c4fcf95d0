"""Reads the four YAML files of a directory into a checked snapshot. Every mistake names file:line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hub.directory.checks import TABLES, build
from hub.directory.errors import DirectoryError
from hub.directory.marked import Marked, Where, read
from hub.directory.model import Directory

DATA: Final = Path(__file__).parent / "data"


def load(path: Path = DATA, env: Mapping[str, str] | None = None, region: str = "") -> Directory:
    """The directory under `path`: members.yaml, items.yaml, regions.yaml, routes.yaml.

    env: where `${VAR}` in members.yaml is taken from; None leaves the references as written (a role that
    calls nobody needs no secrets). region: the hub that reads it, HUB_REGION; keys and addresses of other
    hubs' members are then not asked for.

    Raises DirectoryError for the first mistake, naming file:line, field and rule in Chinese and English.
    """
    files: dict[str, Marked] = {table: read(path / f"{table}.yaml") for table in TABLES}
    raw: dict[str, dict[str, object]] = {}
    for table, file in files.items():
        value = file.value
        if not isinstance(value, dict) or set(value) != {table} or not isinstance(value[table], dict):
            raise DirectoryError(
                f"{file.name}:1",
                table,
                f"文件必须只有一个顶层键 {table}",
                f"the one top-level key must be {table}",
            )
        raw[table] = value[table]

    def place(table: str, where: Where) -> str:
        return files[table].place((table, *where))

    return build(raw, place, env, region)
