"""Which department decides an item in a region (属地), for the case list. Reads the directory's items;
routing itself is not here."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from hub.config import Settings
from hub.projector.rows import OwnerOf

ITEMS_FILE: Final = "items.yaml"


def parents(region: str) -> Iterator[str]:
    """The region itself, then what contains it: village, township, county, city, province (GB/T 2260, 6 to
    12 digits)."""
    seen = set()
    digits = region.ljust(12, "0")
    for kept in (12, 9, 6, 4, 2):
        for width in (12, 6):
            code = digits[:kept].ljust(12, "0")[:width]
            if len(code) == width and (width == 12 or kept <= 6) and code not in seen:
                seen.add(code)
                yield code


def owner_lookup(settings: Settings) -> OwnerOf:
    """(item, region) -> member id, "" when the directory names none. The file was checked by whoever
    published it."""
    with (settings.directory_dir / ITEMS_FILE).open(encoding="utf-8") as source:
        document = yaml.safe_load(source)
    entries = document["items"] if isinstance(document, dict) and "items" in document else document
    owners = {
        str(entry["code"]): {str(k): str(v) for k, v in (entry.get("owners") or {}).items()}
        for entry in _entries(entries)
    }
    return lambda item, region: _owner(owners, item, region)


def _entries(entries: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(entries, dict):
        yield from ({"code": code, **entry} for code, entry in entries.items())
    else:
        yield from entries


def _owner(owners: Mapping[str, Mapping[str, str]], item: str, region: str) -> str:
    for code in parents(region):
        if member := owners.get(item, {}).get(code):
            return member
    return ""
