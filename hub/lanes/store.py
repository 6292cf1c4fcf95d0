"""The durable state of one lane: a RocksDB store that may be behind its changelog, never ahead.

What is written here was committed to Kafka before. No Kafka and no routing in this module.
"""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DbClosedError,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
)

from hub.config import Settings
from hub.errors import StoreBusy, StoreFailed

log = structlog.get_logger()

POSITION_KEY: Final = b"\x00position"
_META_KEY: Final = b"\x00meta"
# 200 default stores use 1,200 file descriptors; this bounds each.
_OPEN_FILES_MAX: Final = 16
_WRITE_BUFFER_BYTES: Final = 4 << 20
_LOCK_WAIT_S: Final = 10.0


class StoreMeta(msgspec.Struct, frozen=True):
    """What the store knows of itself: which log it follows and how far. written_ms: wall clock, for the
    tombstone age check only."""

    cluster_id: str
    incarnation: str
    changelog_next: int
    written_ms: int
    # The changelog record applied last, re-read at the next opening: a log that lost its end is noticed.
    last_offset: int = -1
    last_key: bytes = b""
    last_timestamp_ms: int = 0


class StoreResources:
    """One block cache and one write buffer budget shared by all stores of a process, so that 300 lanes stay
    bounded. restores: how many lanes replay a long changelog at once; the others of the process go on beside
    them."""

    def __init__(self, settings: Settings) -> None:
        self.restores = asyncio.Semaphore(settings.restores_at_once_max)
        self.cache = Cache(settings.block_cache_bytes)
        self.write_buffers = WriteBufferManager(settings.write_buffer_bytes, False)

    def options(self) -> Options:
        """Options of one lane's store."""
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_max_open_files(_OPEN_FILES_MAX)
        options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
        options.set_max_write_buffer_number(2)
        options.set_write_buffer_manager(self.write_buffers)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(1 << 20)
        options.set_stats_dump_period_sec(0)
        table = BlockBasedOptions()
        table.set_block_cache(self.cache)
        table.set_bloom_filter(10, False)
        # Index and filters in pages of their own: at ten million cases whole ones would push each other out
        # of the cache.
        table.set_index_type(BlockBasedIndexType.two_level_index_search())
        table.set_partition_filters(True)
        table.set_metadata_block_size(4_096)
        table.set_pin_top_level_index_and_filter(True)
        table.set_cache_index_and_filter_blocks(True)
        options.set_block_based_table_factory(table)
        return options


class Store:
    """Opened by whoever owns the lane; raises StoreBusy while another process has it open.

    Keys and values are bytes; an empty store has no meta."""

    def __init__(self, path: Path, resources: StoreResources) -> None:
        self._path = path
        self._resources = resources
        self._closed = False
        self._db = self._open()

    def _open(self) -> Rdict:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                return Rdict(str(self._path), self._resources.options())
            except Exception as error:
                # rocksdict has one exception class; RocksDB's status is the first word of its text.
                text = str(error)
                if "corruption" in text.lower():
                    # The changelog has everything: a damaged store is only a slow opening.
                    log.error("store.damaged", path=str(self._path), reason=text)
                    shutil.rmtree(self._path)
                    return Rdict(str(self._path), self._resources.options())
                if "lock" not in text.lower():
                    raise
                # A predecessor on this machine that is dying, or stopped, still holds the lock file.
                if time.monotonic() > until:
                    raise StoreBusy(f"状态库被占用 / another process holds the store: {text}") from error
                time.sleep(0.05)

    def meta(self) -> StoreMeta | None:
        """The meta record, None for a new store or one written by an unknown format."""
        raw = self._db.get(_META_KEY)
        if raw is None:
            return None
        try:
            return msgspec.msgpack.decode(raw, type=StoreMeta)
        except msgspec.ValidationError:
            return None

    def get(self, key: bytes) -> bytes | None:
        """One value."""
        value: bytes | None = self._db.get(key)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of the keys, in one multi-get."""
        values: Any = self._db.get(list(keys))
        return list(values)

    def range(self, start: bytes, end: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """Up to `limit` entries with start <= key < end, in key order."""
        options = ReadOptions()
        options.set_iterate_upper_bound(end)
        entries: Any = self._db.items(from_key=start, read_opt=options)
        for count, (key, value) in enumerate(entries):
            if count >= limit or key >= end:
                return
            yield key, value

    def write(self, changes: Mapping[bytes, bytes | None], meta: StoreMeta) -> None:
        """All changes and the meta record in ONE write batch: a crash leaves all of it or nothing. Raises
        StoreFailed."""
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(_META_KEY, msgspec.msgpack.encode(meta))
        try:
            self._db.write(batch)
        except DbClosedError:
            raise
        except Exception as error:
            raise StoreFailed(f"状态库写入失败 / the store could not be written: {error}") from error

    def size_bytes(self) -> int:
        """Bytes of the store's files on disk; what is still in memory or in its own log is not counted."""
        return int(self._db.property_int_value("rocksdb.total-sst-files-size") or 0)

    def wipe(self) -> None:
        """Start again from nothing; the changelog restores everything."""
        self._db.close()
        shutil.rmtree(self._path)
        self._db = self._open()
        if self._closed:
            self._db.close()

    def close(self) -> None:
        """Release the store for its next owner; also while `wipe` is at work in a thread of a cancelled
        opening."""
        self._closed = True
        with contextlib.suppress(DbClosedError):
            self._db.close()
