"""A store that survives its process, not its machine: a dictionary per machine and lane, written in
whole batches."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hub.lanes.store import StoreMeta
from tests.simulation.chaos import PROCESS


class Disks:
    """What lies on the machines: path -> (data, meta). Every process has a path of its own."""

    def __init__(self) -> None:
        self.data: dict[Path, dict[bytes, bytes]] = {}
        self.meta: dict[Path, StoreMeta | None] = {}

    def lose(self, name: str) -> None:
        """A machine comes back empty."""
        for path in [path for path in self.data if name in path.parts]:
            del self.data[path], self.meta[path]


class DiskStore:
    """Stands in for hub.lanes.store.Store."""

    disks: Disks

    def __init__(self, path: Path, resources: Any) -> None:
        self._path = path
        self._process = PROCESS.get()
        self._process.alive()
        self.disks.data.setdefault(path, {})
        self.disks.meta.setdefault(path, None)

    def meta(self) -> StoreMeta | None:
        return self.disks.meta[self._path]

    def get(self, key: bytes) -> bytes | None:
        return self.disks.data[self._path].get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        data = self.disks.data[self._path]
        return [data.get(key) for key in keys]

    def range(self, start: bytes, end: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        data = self.disks.data[self._path]
        keys = sorted(key for key in data if start <= key < end)[:limit]
        return iter([(key, data[key]) for key in keys])

    def write(self, changes: Mapping[bytes, bytes | None], meta: StoreMeta) -> None:
        self._process.alive()
        data = self.disks.data[self._path]
        for key, value in changes.items():
            if value is None:
                data.pop(key, None)
            else:
                data[key] = value
        self.disks.meta[self._path] = meta

    def size_bytes(self) -> int:
        """Only keys and values: nothing here takes room on a disk."""
        return sum(len(key) + len(value) for key, value in self.disks.data[self._path].items())

    def wipe(self) -> None:
        self._process.alive()
        self.disks.data[self._path].clear()
        self.disks.meta[self._path] = None

    def close(self) -> None:
        return None
