"""The directory as records of the compacted topics directory.<table>: key = the entry's id, value = JSON as
written (secrets stay `${VAR}`).
Works on plain key/value pairs; who reads and writes the topics is not known here."""

from collections.abc import Mapping
from typing import Any

import msgspec

from hub.directory.checks import REFERENCE, TABLES, build
from hub.directory.errors import DirectoryError
from hub.directory.marked import Where
from hub.directory.model import Directory, Member

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


def with_secrets(known: Directory, id_: str, env: Mapping[str, str]) -> Member:
    """One member with its `${VAR}` filled in. Raises DirectoryError naming the variable that env does not
    hold: that member cannot be called, the others can."""
    written = known.sources["members"][id_]
    return msgspec.structs.replace(msgspec.convert(_filled(written, id_, env), type=Member), id=id_)


def _filled(value: Any, id_: str, env: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(child, id_, env) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(child, id_, env) for child in value]
    if not isinstance(value, str):
        return value
    for variable in REFERENCE.findall(value):
        if not env.get(variable):
            place = f"directory.members[{id_}]"
            zh, en = f"环境变量 {variable} 未设置", f"environment variable {variable} is not set"
            raise DirectoryError(place, "-", zh, en)
    return REFERENCE.sub(lambda found: env[found[1]], value)
