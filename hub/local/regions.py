"""The demonstration's directory cut into two regions: which hub each member is connected to. Files in, files
out; the members themselves are the demo's own."""

import shutil
from pathlib import Path
from typing import Any, Final

import yaml

from hub import directory

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
