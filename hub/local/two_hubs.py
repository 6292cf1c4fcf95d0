"""Two hubs on this machine with a bridge from each to the other, for the demonstration. Nothing is started
here but their servers."""

import contextlib
from collections.abc import Iterator

from hub.local.cluster import PLAYED_BY, ROLES, STUBS, DataDirectory, LocalHub
from hub.local.regions import HOMES, NORTH, SOUTH, write_directory


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
