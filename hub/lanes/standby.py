"""Stand-bys: stores of lanes that other workers own, kept near their changelogs, so that a take-over replays
a tail only.

Reads changelogs and writes stores; never a producer, never an input. A store is handed over open to the lane
that opens.
"""

import asyncio
import contextlib
import fcntl
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, Final

import structlog

from hub.config import Settings
from hub.ending import ended
from hub.errors import BrokerAway, StoreBusy, StoreFailed
from hub.kafka import Reader, TopicPartition
from hub.lanes.lane import LaneSpec
from hub.lanes.restore import Follower, OtherLog
from hub.lanes.store import Store, StoreResources

log = structlog.get_logger()

_POLL_WAIT_MS: Final = 1_000
_POLL_RECORDS_MAX: Final = 1_000
# How often an idle stand-by writes down that it is still in step with its changelog.
_ATTEST_S: Final = 300.0


class Home:
    """This process's place for the stores of a role. id: drawn once per data directory; "" while another
    process works in the same directory: its stores are at hand here anyway, and a stand-by would keep them
    from their owner. predecessor: the member id under which a process that died here was known; "" else."""

    def __init__(self, settings: Settings, role: str) -> None:
        self.path: Path = settings.data_dir / role
        self.id = ""
        self.predecessor = ""
        self._lock: IO[str] | None = None

    def enter(self) -> None:
        """Take the directory, if nobody has it."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = (self.path / ".home").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            log.info("standby.shared_data_dir", path=str(self.path))
            return
        lock.seek(0)
        self.id, self.predecessor, *_ = [*lock.read().splitlines(), "", ""]
        self._lock = lock
        if not self.id:
            self.id = uuid.uuid4().hex
            self.works_as("")

    def works_as(self, member: str) -> None:
        """Note under which member id the group knows this process."""
        if self._lock is not None:
            self._lock.seek(0)
            self._lock.truncate()
            self._lock.write(f"{self.id}\n{member}\n")
            self._lock.flush()

    def leave(self) -> None:
        """Let the directory go, after the group was left."""
        if self._lock is not None:
            self.works_as("")
            self._lock.close()
            self._lock = None

    def stores(self) -> frozenset[str]:
        """Names of the stores that lie here."""
        if not self.path.is_dir():
            return frozenset()
        return frozenset(path.name for path in self.path.iterdir() if path.is_dir())


class Standbys:
    """The stand-bys of one worker."""

    def __init__(
        self,
        settings: Settings,
        resources: StoreResources,
        cluster_id: str,
        spec_of: Callable[[TopicPartition], LaneSpec | None],
    ) -> None:
        self._settings = settings
        self._resources = resources
        self._cluster_id = cluster_id
        self._spec_of = spec_of
        self._tails: dict[str, _Tail] = {}
        # One full restore of a stand-by at a time, and not in the way of the lanes' own.
        self._turn = asyncio.Semaphore(1)
        self._ended = False

    def follow(self, wanted: set[TopicPartition], after: Mapping[TopicPartition, Awaitable[object]]) -> None:
        """Stand by for exactly these lanes. after: what to await before a lane's store can be had."""
        if self._ended:
            return
        specs = {spec.name: (spec, place) for place in wanted if (spec := self._spec_of(place)) is not None}
        for name in set(self._tails) - set(specs):
            self._tails.pop(name).cancel()
        for name, (spec, place) in specs.items():
            if name not in self._tails:
                self._tails[name] = _Tail(
                    self._settings, self._resources, self._cluster_id, spec, self._turn, after.get(place)
                )

    async def take(self, spec: LaneSpec) -> Store | None:
        """The lane's store, open, when this worker stood by for it and has it at hand; its following has
        ended."""
        tail = self._tails.pop(spec.name, None)
        return await tail.hand_over() if tail is not None else None

    def follows(self, place: TopicPartition) -> bool:
        """Whether this worker stands by for this lane."""
        spec = self._spec_of(place)
        return spec is not None and spec.name in self._tails

    def near(self) -> dict[str, bool]:
        """Lane -> whether its stand-by has come near the end of its changelog since it began."""
        return {name: tail.near for name, tail in self._tails.items()}

    async def stop(self) -> None:
        """Stand by for nothing any more; every store is closed."""
        self._ended = True
        tails, self._tails = list(self._tails.values()), {}
        for tail in tails:
            tail.cancel()
        await asyncio.gather(*(tail.ended() for tail in tails))


class _Tail:
    """One stand-by: its store and the task that keeps it near the changelog."""

    def __init__(
        self,
        settings: Settings,
        resources: StoreResources,
        cluster_id: str,
        spec: LaneSpec,
        turn: asyncio.Semaphore,
        after: Awaitable[object] | None,
    ) -> None:
        self._settings = settings
        self._resources = resources
        self._cluster_id = cluster_id
        self._spec = spec
        self._turn = turn
        self._after = after
        self._changelog = spec.changelog_place(settings)
        self._store: Store | None = None
        self._keep_store = False
        self.near = False
        self._task = asyncio.create_task(self._run(), name=f"stand-by {spec.name}")

    def cancel(self) -> None:
        self._task.cancel()

    async def ended(self) -> None:
        await ended(self._task)

    async def hand_over(self) -> Store | None:
        self._keep_store = True
        self._task.cancel()
        await self.ended()
        store, self._store = self._store, None
        return store

    async def _run(self) -> None:
        if self._after is not None:
            await asyncio.wait({asyncio.ensure_future(self._after)})
        while True:
            try:
                await self._follow()
            except (BrokerAway, StoreBusy, StoreFailed) as error:
                self.near = False
                log.warning("standby.waiting", lane=self._spec.name, reason=str(error))
            except (LookupError, OtherLog) as error:
                # The next beginning judges the store anew, and wipes it.
                self.near = False
                log.warning("standby.again", lane=self._spec.name, reason=repr(error))
            await asyncio.sleep(self._settings.reopen_delay_ms / 1000)

    async def _follow(self) -> None:
        reader = Reader(self._settings)
        try:
            self._store = await asyncio.to_thread(
                Store, self._spec.store_path(self._settings), self._resources
            )
            await reader.start()
            await self._work(reader, self._store)
        except asyncio.CancelledError:
            if not self._keep_store:
                self._close_store()
            raise
        except BaseException:
            self._close_store()
            raise
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await reader.stop()

    async def _work(self, reader: Reader, store: Store) -> None:
        place = self._changelog
        follower = Follower(self._settings, self._spec.name, place, self._cluster_id, store, self._resources)
        start = (await reader.start_offsets([place]))[place]
        end = (await reader.stable_offsets([place]))[place]
        await follower.catch_up(reader, start, end, self._turn)
        self.near = True
        log.info("standby.near", lane=self._spec.name, records=follower.restored_records)
        reader.assign({place: follower.next})
        attested = time.monotonic()
        while True:
            records = await reader.poll(_POLL_WAIT_MS, _POLL_RECORDS_MAX)
            if records:
                follower.apply(records)
                await asyncio.sleep(0)
            elif time.monotonic() - attested > _ATTEST_S:
                # Nothing came and nothing is left: the store is in step as of now, and so not growing old.
                attested = time.monotonic()
                end = (await reader.stable_offsets([place]))[place]
                if await reader.position(place) >= end and follower.incarnation:
                    follower.wrote({}, end)

    def _close_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()
