"""The directory and the credit standings as the router sees them: read from compacted topics to their end
before a lane opens, then
followed. Also publishes the directory's files into those topics.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import msgspec
import structlog

from hub import directory
from hub.config import Settings
from hub.directory.checks import TABLES
from hub.directory.errors import DirectoryError
from hub.directory.records import from_records, to_records
from hub.ending import ended
from hub.errors import BrokerAway, HubError
from hub.kafka import Admin, Reader, Record, open_reader, write_all
from hub.routing import credit
from hub.routing.tables import Limits, Standing, Tables
from topics import catalogue

log = structlog.get_logger()

_PREFIX: Final = "directory."
_DELIVER: Final = "deliver."
_SETTLE_MS: Final = 300
_LOOK_S: Final = 0.5
_RETRY_S: Final = 5.0
_SEEN_BYTES_MAX: Final = 1 << 18


class TablesFollower:
    """`current` is an immutable snapshot, replaced as a whole when the directory changes; its credit
    standings are live."""

    def __init__(self, settings: Settings, reader: Reader) -> None:
        self._settings = settings
        self._reader = reader
        self._raw: dict[str, dict[bytes, bytes]] = {table: {} for table in TABLES}
        self._credit: dict[str, Standing] = {}
        self._current: Tables | None = None
        self._known: directory.Directory | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def current(self) -> Tables:
        """The snapshot to decide by. Raises HubError when nothing follows the topics any more: no lane may
        decide by a directory that grows old unnoticed."""
        if self._following is not None and self._following.done():
            raise HubError(
                f"目录不再更新 / the directory is not followed any more: {_end_of(self._following)}"
            )
        assert self._current is not None, "tables not loaded"
        return self._current

    @property
    def known(self) -> directory.Directory:
        """The directory that `current` was made of. Raises HubError as `current` does."""
        assert self.current is not None
        assert self._known is not None
        return self._known

    async def load(self) -> None:
        """Read everything there is. Raises HubError when no valid directory was published."""
        topics = [
            self._settings.topic(name) for name in (*(_PREFIX + table for table in TABLES), credit.TABLE)
        ]
        starts = await self._reader.start_offsets(await self._reader.partitions(topics))
        async for records in self._reader.read_to_stable(starts):
            self._apply(records)
        try:
            await self._rebuild()
        except DirectoryError as error:
            raise HubError(f"目录未发布或有误 / no valid directory was published: {error}") from error

    async def follow(self) -> None:
        """Apply changes as they come, until cancelled. A directory that does not check keeps the snapshot
        before it."""
        changed_at: float | None = None
        while True:
            try:
                records = await self._reader.poll(_SETTLE_MS, 1_000)
            except BrokerAway as error:
                log.warning("directory.waiting", reason=str(error))
                await asyncio.sleep(_SETTLE_MS / 1000)
                continue
            now = time.monotonic()
            if self._apply(records):
                changed_at = now
            # A publish is many records; let it finish, a half of it would not check. Credit standings come on
            # the same reader all the time and delay nothing.
            if changed_at is None or now - changed_at < _SETTLE_MS / 1000:
                continue
            try:
                await self._rebuild()
                log.info("directory.changed", version=self.current.version)
            except DirectoryError as error:
                log.error("directory.refused", reason=str(error))
            except BrokerAway as error:
                log.warning("directory.waiting", reason=str(error))
                continue
            changed_at = None

    def begin_following(self) -> asyncio.Task[None]:
        """`follow` as a task of its own, watched by `current`."""
        self._following = asyncio.create_task(self.follow(), name="tables")
        return self._following

    def _apply(self, records: list[Record]) -> bool:
        """Take records into the raw tables; True when the directory (not only a credit standing) changed."""
        changed = False
        for record in records:
            name = self._settings.bare(record.topic)
            if name == credit.TABLE:
                self._apply_credit(record)
                continue
            changed = True
            table = self._raw[name.removeprefix(_PREFIX)]
            if record.value is None:
                table.pop(record.key, None)
            else:
                table[record.key] = record.value
        return changed

    def _apply_credit(self, record: Record) -> None:
        party = record.key.decode()
        if record.value is None:
            self._credit.pop(party, None)
            return
        try:
            self._credit[party] = credit.decode_standing(record.value)
        except msgspec.DecodeError as error:
            log.error("credit.unreadable", party=party, reason=str(error))

    async def _rebuild(self) -> None:
        settings = self._settings
        limits = Limits(
            held_max=settings.early_held_max,
            parked_max=settings.parked_behind_max,
            credit_timeout_ms=settings.credit_timeout_ms,
            keep_closed_ms=settings.closed_case_keep_days * 86_400_000,
            # A case's state is one record: it must fit into a batch with the ids it remembers.
            state_bytes_max=min(1 << 20, max(1 << 16, settings.batch_bytes_max - _SEEN_BYTES_MAX)),
        )
        known = from_records(self._raw, region=settings.region)
        await self._check_topics(known)
        self._current, self._known = Tables(known, self._credit, limits), known

    async def _check_topics(self, known: directory.Directory) -> None:
        """A dispatch to a topic that does not exist can never be committed: the lane would reopen for ever
        and every case on it would wait for one member. Such a directory is not taken."""
        topics = {self._settings.topic(_DELIVER + member): member for member in known.served}
        there = {place.topic for place in await self._reader.partitions(topics)}
        for topic, member in topics.items():
            if topic not in there:
                raise DirectoryError(
                    f"directory.members[{member}]",
                    "id",
                    f"成员没有派发主题 {topic}，请先运行 govhub topics apply",
                    f"the member has no dispatch topic {topic}: run govhub topics apply first",
                )


def _end_of(task: "asyncio.Task[None]") -> str:
    return "cancelled" if task.cancelled() else repr(task.exception())


@contextlib.asynccontextmanager
async def follow_tables(settings: Settings) -> AsyncIterator[TablesFollower]:
    """Loaded tables, followed while the body runs. Raises HubError."""
    async with open_reader(settings) as reader:
        follower = TablesFollower(settings, reader)
        await follower.load()
        task = follower.begin_following()
        try:
            yield follower
        finally:
            await ended(task)


async def follow_directory(
    settings: Settings, take: Callable[[directory.Directory], Awaitable[None]]
) -> None:
    """Hand every published version to `take`, until cancelled. While the broker is away, or nothing valid was
    published, what was taken before stands."""
    seen = ""
    while True:
        try:
            async with follow_tables(settings) as tables:
                while True:
                    known = tables.known
                    if known.version != seen:
                        await take(known)
                        seen = known.version
                    await asyncio.sleep(_LOOK_S)
        except HubError as error:
            log.warning("directory.waiting", reason=str(error))
        except Exception as error:
            # What was taken before stands; whoever follows must not end because of a publish.
            log.error("directory.follow_failed", exc_info=error)
        await asyncio.sleep(_RETRY_S)


async def publish_directory(settings: Settings) -> int:
    """Check the directory's files and write what differs from the topics; returns the number of records.
    Raises DirectoryError."""
    known = directory.load(settings.directory_dir, region=settings.region)
    await _create_topics(settings, known)
    published: dict[str, dict[bytes, bytes]] = {table: {} for table in TABLES}
    async with open_reader(settings) as reader:
        starts = await reader.start_offsets(
            await reader.partitions(settings.topic(_PREFIX + table) for table in TABLES)
        )
        async for records in reader.read_to_stable(starts):
            for record in records:
                held = published[settings.bare(record.topic).removeprefix(_PREFIX)]
                if record.value is None:
                    held.pop(record.key, None)
                else:
                    held[record.key] = record.value
    written = 0
    for table, pairs in to_records(known, published).items():
        await write_all(settings, _PREFIX + table, pairs)
        written += len(pairs)
    return written


async def _create_topics(settings: Settings, known: directory.Directory) -> None:
    """A new member's topics come before its record: a lane that knows the member must be able to write to
    it."""
    wanted = catalogue.load().wanted(
        members=tuple(known.served), partitions=settings.partitions, prefix=settings.topic_prefix
    )
    async with Admin(settings) as admin, open_reader(settings) as reader:
        there = {place.topic for place in await reader.partitions(topic.name for topic in wanted)}
        for topic in wanted:
            if topic.name not in there and not topic.keyed:
                config = topic.config | {"min.insync.replicas": str(settings.min_insync_replicas)}
                await admin.create(topic.name, topic.partitions, settings.replication_factor, config)
