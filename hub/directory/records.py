"""The directory as records of the compacted topics directory.<table>: key = the entry's id, value = JSON as
written (secrets stay `${VAR}`).
Works on plain key/value pairs; who reads and writes the topics is not known here."""

from collections.abc import Mapping
from typing import Any

import msgspec

from hub.directory.checks import TABLES, build
from hub.directory.errors import DirectoryError
from hub.directory.marked import Where
from hub.directory.model import Directory

Records = dict[str, list[tuple[bytes, bytes | None]]]


def to_records(directory: Directory, published: Mapping[str, Mapping[bytes, bytes]] | None = None) -> Records:
    """table -> (key, value) pairs to write. With `published` (what the topics hold now) only differences,
    and tombstones for what is gone."""
    records: Records = {}
    for table in TABLES:
        before = (published or {}).get(table, {})
        now = {
            key.encode(): msgspec.json.encode(entry, order="sorted")
            for key, entry in directory.sources[table].items()
        }
        pairs: list[tuple[bytes, bytes | None]] = [
            (key, value) for key, value in now.items() if before.get(key) != value
        ]
        pairs += [(key, None) for key in before if key not in now]
        records[table] = pairs
    return records


def from_records(
    records: Mapping[str, Mapping[bytes, bytes]], env: Mapping[str, str] | None = None, region: str = ""
) -> Directory:
    """The checked directory of what the four topics hold (last value per key, tombstones left out).

    Raises DirectoryError with place `directory.<table>[key]`: a half-published directory is refused as a
    whole.
    """

    def place(table: str, where: Where) -> str:
        return f"directory.{table}[{where[0] if where else ''}]"

    raw: dict[str, dict[str, Any]] = {}
    for table in TABLES:
        raw[table] = {}
        for key, value in records.get(table, {}).items():
            try:
                raw[table][key.decode()] = msgspec.json.decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DirectoryError(
                    place(table, (key.decode(errors="replace"),)),
                    "-",
                    "不是有效的 JSON",
                    f"not valid JSON: {error}",
                ) from error

    return build(raw, place, env, region)
