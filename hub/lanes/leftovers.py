"""Stores of lanes that moved away: after a while they are worth nothing, for a store that old is restored in
full anyway, and the changelog has everything. Which one may go is the worker's to say; here are age and
removal."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from rocksdict import Rdict

from hub.kafka import TopicPartition

_STORE_FILE: Final = "CURRENT"  # what every RocksDB directory has
_DAY_S: Final = 86_400


class Leftover(NamedTuple):
    """A store that nobody has written or opened for `days`."""

    place: TopicPartition
    path: Path
    days: float


def leftovers(home: Path, prefix: str, days_min: float) -> Iterator[Leftover]:
    """Stores under a role's folder that are at least so old. prefix: of this hub's topics; stores of others
    are not looked at."""
    if not home.is_dir():
        return
    for path in sorted(home.iterdir()):
        topic, _, partition = path.name.rpartition("-")
        ours = topic.startswith(prefix) and partition.isascii() and partition.isdigit()
        if not ours or not (path / _STORE_FILE).is_file():
            continue
        days = _untouched_days(path)
        if days >= days_min:
            yield Leftover(TopicPartition(topic, int(partition)), path, days)


def _untouched_days(path: Path) -> float:
    newest = 0.0
    for file in path.iterdir():
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, file.stat().st_mtime)
    return (time.time() - newest) / _DAY_S


def remove(path: Path) -> bool:
    """Delete a store. False when somebody has it open: RocksDB takes its lock before the first file goes, so
    an open one is never touched, in whichever process it is open. Raises OSError."""
    try:
        Rdict.destroy(str(path))
    except Exception as error:  # rocksdict has one exception class
        if "lock" in str(error).lower():
            return False
        raise OSError(f"状态库删除失败 / the store could not be removed: {error}") from error
    return True
