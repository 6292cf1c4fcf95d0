"""The demonstration in two regions: which hub each member is connected to, the directory that says so, and
the two hubs with a bridge from each to the other. The members themselves are the demo's own."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from hub import directory
from hub.local.cluster import PLAYED_BY, ROLES, STUBS, DataDirectory, LocalHub

NORTH: Final = "hub-north"
SOUTH: Final = "hub-south"
HOMES: Final = {
    NORTH: ("platform", "dept-a", "window-haikou", "credit", "nation", "supervision"),
    SOUTH: ("dept-b", "window-sanya"),
}
_NAMES: Final = {
    NORTH: ("省级与海口枢纽", "Hub of the province and Haikou", "11460100MB1A2103XD", "460100"),
    SOUTH: ("三亚枢纽", "Hub of Sanya", "11460200MB1A220401", "460200"),
}


def write_directory(to: Path, source: Path = directory.DATA) -> None:
    """One directory for both hubs under `to`: that of `source`, with the two hubs and each member's own."""
    to.mkdir(parents=True, exist_ok=True)
    for name in ("items", "regions", "routes"):
        shutil.copyfile(source / f"{name}.yaml", to / f"{name}.yaml")
    members: dict[str, Any] = yaml.safe_load((source / "members.yaml").read_text("utf-8"))["members"]
    for hub, ids in HOMES.items():
        for id_ in ids:
            members[id_]["hub"] = hub
    for hub, (name_zh, name_en, org_code, region) in _NAMES.items():
        members[hub] = {
            "name_zh": name_zh,
            "name_en": name_en,
            "kind": "hub",
            "org_code": org_code,
            "regions": [region],
            "contact": "枢纽值班室 0898-00000009",
            "adapter": {"style": "bridge"},
            "delivery": {"guarantee": "idempotent"},
        }
    text = yaml.safe_dump({"members": members}, allow_unicode=True, sort_keys=False)
    (to / "members.yaml").write_text(text, "utf-8")


def hub_of(region: str, data: DataDirectory, shared: dict[str, str]) -> LocalHub:
    """One region's hub with the members connected to it; the nation's answers come to one of them only."""
    members = HOMES[region]
    played = {PLAYED_BY[member] for member in members}
    roles = [role for role in ROLES if role != "sync" or "nation" in members]
    return LocalHub(
        data,
        roles=[*roles, "bridge"],
        stubs=[stub for stub in STUBS if stub in played],
        members=members,
        extra_env={**shared, "HUB_REGION": region},
    )


@contextlib.contextmanager
def two_hubs(data: DataDirectory) -> Iterator[list[LocalHub]]:
    """Both hubs with their servers up, each bridge told where the other cluster is; nothing else is started.
    Pseudonyms and files are common to both regions."""
    path = data.path.resolve()
    write_directory(path / "directory")
    shared = {
        "HUB_DIRECTORY_DIR": str(path / "directory"),
        "HUB_FILES_DIR": str(path / "files"),
        "HUB_PSEUDONYM_KEY": data.secrets().pseudonym_key,
    }
    with contextlib.ExitStack() as stack:
        hubs = {
            region: stack.enter_context(hub_of(region, DataDirectory(path / region), shared))
            for region in HOMES
        }
        for region, other in ((NORTH, SOUTH), (SOUTH, NORTH)):
            hubs[region].env |= {
                "HUB_BRIDGE_TARGET_REGION": other,
                "HUB_BRIDGE_TARGET_BOOTSTRAP": hubs[other].env["HUB_KAFKA_BOOTSTRAP"],
                "HUB_BRIDGE_TARGET_REGISTRY": hubs[other].urls["gateway"],
            }
        yield list(hubs.values())
