"""More than fits into memory, for as long as a lane is open: encoded values by key in a file without a name.

Nothing here outlives its process, and nothing needs to: bridge.changelog has everything.
"""

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hub.errors import StoreFailed

_PAGE_BYTES: Final = 4_096


class Shelf:
    """cache_bytes: what of it is kept in memory; below that the file is not even written. bytes_max: of the
    file. Raises StoreFailed when it cannot be written (disk full, or beyond bytes_max)."""

    def __init__(self, directory: Path, cache_bytes: int, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        try:
            directory.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix="bridge-", suffix=".open", dir=directory)
            self._file = os.fdopen(handle, "rb")
            try:
                self._db = _opened(name, cache_bytes, bytes_max)
            finally:
                # Without a name it is gone with the process, however that ends.
                os.unlink(name)
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from error

    def get(self, key: bytes) -> bytes | None:
        """One value."""
        try:
            row = self._db.execute("SELECT value FROM shelf WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return None if row is None else bytes(row[0])

    def put(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Lay these down; None takes away."""
        gone = [(key,) for key, value in changes.items() if value is None]
        new = [(key, value) for key, value in changes.items() if value is not None]
        try:
            self._db.executemany("DELETE FROM shelf WHERE key = ?", gone)
            self._db.executemany("INSERT OR REPLACE INTO shelf VALUES (?, ?)", new)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StoreFailed:
        return StoreFailed(
            f"未了结的消息无法暂存：检查 HUB_DATA_DIR 的磁盘，或调大 HUB_STORE_BYTES_MAX={self._bytes_max} / "
            "what is under way cannot be put on disk: look at the disk of HUB_DATA_DIR, or raise "
            f"HUB_STORE_BYTES_MAX: {error}"
        )

    def disk_bytes(self) -> int:
        """Bytes of the file: what did not fit into memory."""
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Give memory and disk back."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        self._file.close()


def _opened(name: str, cache_bytes: int, bytes_max: int) -> sqlite3.Connection:
    database = sqlite3.connect(name, isolation_level=None)
    for setting in (
        f"page_size={_PAGE_BYTES}",
        f"cache_size=-{max(1, cache_bytes // 1024)}",
        f"max_page_count={max(8, bytes_max // _PAGE_BYTES)}",
        "journal_mode=OFF",
        "synchronous=OFF",
        "locking_mode=EXCLUSIVE",
    ):
        database.execute(f"PRAGMA {setting}")
    # One transaction that is never committed: pages go to the file only when the cache is full.
    database.execute("BEGIN EXCLUSIVE")
    database.execute("CREATE TABLE shelf (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
    return database
