"""A worker: membership in the role's group, one task per assigned partition that keeps its lane open, and
stand-bys for lanes of others.

Listeners only start and cancel tasks. Safety comes from fencing (hub/lanes/lane.py); membership only decides
who tries.
"""

import asyncio
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
import structlog

from hub.config import Settings
from hub.ending import ended
from hub.errors import (
    BrokerAway,
    Fenced,
    HubError,
    LaneStopped,
    OutputRefused,
    StoreBusy,
    StoreFailed,
    UnknownOutcome,
)
from hub.kafka import Joining, Membership, Share, TopicPartition
from hub.lanes.assignment import About, name_of, plan, standing
from hub.lanes.leftovers import Leftover, leftovers, remove
from hub.lanes.restore import Restoring
from hub.lanes.standby import Home, Standbys

log = structlog.get_logger()

_INVARIANT_S: Final = 10.0
_CONFIRM_AGAIN_S: Final = 0.1
_NEAR_AGAIN_S: Final = 0.2
_TIDY_S: Final = 3_600.0


class LaneRunner(Protocol):
    """What a role does with one lane: opened, run until cancelled or until it fails, always closed."""

    async def run(self, opened: Callable[[], None]) -> None:
        """Open the lane, call `opened`, work. Raises Fenced, BrokerAway, UnknownOutcome, OutputRefused,
        StoreBusy, StoreFailed, LaneStopped."""
        ...


class Resting(Protocol):
    """What a role does before its lanes may go to another process: it brings what it began to an end."""

    async def rest(self, *, leaving: bool) -> None:
        """Begin nothing any more and commit what comes back. leaving: this process ends; otherwise the group
        shares its lanes out again and hears nothing of us meanwhile."""
        ...

    def go_on(self) -> None:
        """The shares are known; what is still ours works on."""
        ...


class LaneState(msgspec.Struct):
    """What an operator sees of a lane. state: opening | open | waiting | stopped."""

    state: str
    since: float
    reason: str = ""
    reopened: int = 0


class Worker:
    """Runs a role's lanes for as long as they are assigned to this process."""

    def __init__(
        self,
        settings: Settings,
        role: str,
        topics: Sequence[str],
        runner: Callable[[TopicPartition], LaneRunner],
        standbys: Standbys | None = None,
        resting: Resting | None = None,
    ) -> None:
        self._resting = resting
        self._settings = settings
        self._role = role
        self._topics = [settings.topic(topic) for topic in topics]
        self._runner = runner
        self._standbys = standbys
        self._home = Home(settings, role)
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._closing: dict[TopicPartition, asyncio.Task[None]] = {}
        self._assigned_now: set[TopicPartition] = set()
        self._generation = -1
        self._member: Membership | None = None
        self._warming: asyncio.Task[None] | None = None
        self._ending = False
        self.lanes: dict[TopicPartition, LaneState] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; then close all lanes and leave the group. Raises HubError when the invariant
        breaks."""
        self._home.enter()
        self._member = Membership(self._settings, f"{self._settings.topic_prefix}govhub.{self._role}", self)
        if self._home.predecessor:
            await self._member.leave_for(self._home.predecessor)
        await self._member.start(self._topics, self._assigned, self._revoking)
        watching = asyncio.create_task(self._member.watch())
        stopping = asyncio.create_task(stop.wait())
        checking = asyncio.create_task(self._check_invariant())
        tidying = asyncio.create_task(self._tidy())
        try:
            done, _ = await asyncio.wait({watching, stopping, checking}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            # A rebalance during the closing must not open lanes that nobody closes.
            self._ending = True
            for task in (watching, stopping, checking, tidying):
                task.cancel()
            await self._end()

    async def _end(self) -> None:
        """Close every lane and every stand-by, then leave: successors find both stores and locks free."""
        if self._resting is not None:
            await self._resting.rest(leaving=True)
        if self._warming is not None:
            self._warming.cancel()
        self._close(list(self._tasks))
        await asyncio.gather(*self._closing.values())
        if self._standbys is not None:
            await self._standbys.stop()
        if self._member is not None:
            await self._member.stop()
        self._home.leave()

    def ask_for(self, topics: Sequence[str]) -> None:
        """Work on these topics (bare names) from now on; lanes of others are given away."""
        self._topics = [self._settings.topic(topic) for topic in topics]
        if self._member is not None and not self._ending:
            self._member.ask_for(self._topics)

    def reopen(self, topic: str) -> None:
        """Close the lanes of a topic (bare name) that are open here and open them anew."""
        places = [place for place in self._tasks if place.topic == self._settings.topic(topic)]
        self._close(places)
        if not self._ending:
            for place in places:
                self._begin(place)

    def trouble(self) -> str:
        """Why this worker is not ready: no assignment yet, or a lane that is not open; "" when it is."""
        if self._generation < 0:
            return "not yet a member of the group"
        return ", ".join(
            f"{place.topic}-{place.partition} {s.state} {s.reason}".rstrip()
            for place, s in self.lanes.items()
            if s.state != "open"
        )

    def metrics(self) -> dict[str, float]:
        """Stand-bys of this worker, Prometheus style: 1 when near its changelog, 0 while it restores."""
        near = self._standbys.near() if self._standbys is not None else {}
        return {f'govhub_standby_near{{lane="{lane}"}}': float(is_near) for lane, is_near in near.items()}

    def restoring(self, place: TopicPartition) -> Callable[[Restoring], None]:
        """Where this lane's opening tells how far its restore is; operators see it as the reason of
        `opening`."""

        def tell(progress: Restoring) -> None:
            if place in self.lanes:
                self.lanes[place].reason = str(progress)

        return tell

    # -- the group: what this worker says of itself, and what it is given

    def note(self) -> bytes:
        """Said when joining: what is open here, what is warm."""
        open_ = {name_of(place) for place, state in self.lanes.items() if state.state in ("open", "opening")}
        near = self._standbys.near() if self._standbys is not None else {}
        prefix = self._settings.topic_prefix
        about = About(
            self._home.id,
            self._generation,
            frozenset(open_),
            frozenset(prefix + lane for lane, is_near in near.items() if is_near),
            self._home.stores(),
            self._settings.standby_replicas if self._standbys is not None else 0,
        )
        return msgspec.msgpack.encode(about)

    def plan(self, members: Mapping[str, Joining], places: Sequence[TopicPartition]) -> dict[str, Share]:
        """As the group's leader: who gets what."""
        return plan(members, places)

    async def _revoking(self) -> None:
        if self._resting is not None and not self._ending:
            await self._resting.rest(leaving=False)

    async def _assigned(self, assigned: set[TopicPartition], note: bytes, generation: int) -> None:
        if self._ending:
            return
        if self._resting is not None:
            self._resting.go_on()
        self._assigned_now, self._generation = assigned, generation
        if self._member is not None:
            self._home.works_as(self._member.id)
        # A lane that is still ours stays open and pays no restore.
        self._close([place for place in self._tasks if place not in assigned])
        for place in sorted(assigned - set(self._tasks)):
            self._begin(place)
        if self._standbys is not None:
            tails, due = standing(note)
            self._standbys.follow(tails - assigned, self._closing)
            if self._warming is not None:
                self._warming.cancel()
            self._warming = asyncio.create_task(self._ask_when_near()) if due else None

    async def _ask_when_near(self) -> None:
        """Some of the lanes we stand by for are to be ours: ask for another assignment once we are near
        them."""
        near: dict[str, bool] = {}
        while self._standbys is not None and not (near and all(near.values())):
            await asyncio.sleep(_NEAR_AGAIN_S)
            near = self._standbys.near()
        if self._member is not None:
            self._member.rejoin()

    def _begin(self, place: TopicPartition) -> None:
        self.lanes[place] = LaneState("opening", time.monotonic())
        self._tasks[place] = asyncio.create_task(
            self._keep(place, self._closing.get(place)), name=f"lane {place.topic}-{place.partition}"
        )

    def _close(self, places: list[TopicPartition]) -> None:
        """Begin to close these lanes. Nobody waits here: what a lane does before it ends may outlast a
        heartbeat."""
        for place in places:
            task = self._tasks.pop(place)
            self.lanes.pop(place, None)
            closing = asyncio.create_task(ended(task), name=f"closing {place.topic}-{place.partition}")
            self._closing[place] = closing
            closing.add_done_callback(functools.partial(self._closed, place))

    def _closed(self, place: TopicPartition, closing: "asyncio.Task[None]") -> None:
        if self._closing.get(place) is closing:
            del self._closing[place]

    # -- one lane

    async def _keep(self, place: TopicPartition, after: "asyncio.Task[None] | None") -> None:
        """Keep one lane open: reopen it after every failure that reopening cures. after: its own closing,
        when it has just been taken away and comes back."""
        state = self.lanes[place]
        name = f"{self._settings.bare(place.topic)}-{place.partition}"

        def opened() -> None:
            state.state, state.since, state.reason = "open", time.monotonic(), ""
            log.info("lane.open", role=self._role, lane=name)

        if after is not None:
            await asyncio.wait({after})
        while True:
            try:
                await self._runner(place).run(opened)
            except LaneStopped as error:
                # An operator decides; the other lanes go on.
                state.state, state.since, state.reason = "stopped", time.monotonic(), str(error)
                log.error("lane.stopped", role=self._role, lane=name, reason=str(error))
                return
            except Fenced as error:
                # A successor, or the coordinator timed our transaction out.
                await self._wait(state, name, error, 0)
            except (BrokerAway, UnknownOutcome, OutputRefused, StoreBusy, StoreFailed) as error:
                await self._wait(state, name, error, self._settings.reopen_delay_ms)

    async def _wait(self, state: LaneState, name: str, error: HubError, delay_ms: float) -> None:
        reason = f"{type(error).__name__}: {error}"
        state.state, state.since, state.reason = "waiting", time.monotonic(), reason
        state.reopened += 1
        log.warning("lane.reopening", role=self._role, lane=name, reason=reason, delay_ms=delay_ms)
        await asyncio.sleep(delay_ms / 1000)
        # A zombie that opened again would fence the true owner. Only an answer of the group's coordinator to
        # a question asked from now on tells the two apart; a lane that was taken from us is cancelled in this
        # wait.
        while True:
            if self._member is not None and await self._member.confirmed():
                break
            await asyncio.sleep(_CONFIRM_AGAIN_S)
        state.state, state.since = "opening", time.monotonic()

    # -- stores of lanes that moved away

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_S)
            try:
                await self.remove_leftovers()
            except OSError as error:
                log.warning("store.not_removed", role=self._role, reason=str(error))

    async def remove_leftovers(self) -> None:
        """Remove the stores of lanes that nobody works on here and nobody stands by for, untouched for
        store_keep_days. Only by the process that holds the data directory. Raises OSError."""
        if not self._home.id or self._generation < 0:
            return
        settings = self._settings
        days = settings.store_keep_days
        old = await asyncio.to_thread(lambda: list(leftovers(self._home.path, settings.topic_prefix, days)))
        for one in old:
            if self._ending or self._needs(one.place):
                continue
            # Were the lane to come back now, it waits for this as for its own closing.
            removing = asyncio.create_task(self._remove(one), name=f"removing {one.path.name}")
            self._closing[one.place] = removing
            removing.add_done_callback(functools.partial(self._closed, one.place))
            await asyncio.wait({removing})

    def _needs(self, place: TopicPartition) -> bool:
        """Whether the lane is ours, is just leaving us, or is one we stand by for."""
        standing_by = self._standbys is not None and self._standbys.follows(place)
        return place in self._assigned_now or place in self._tasks or place in self._closing or standing_by

    async def _remove(self, one: Leftover) -> None:
        try:
            gone = await asyncio.to_thread(remove, one.path)
        except OSError as error:
            # What stays is looked at again in an hour.
            log.warning("store.not_removed", role=self._role, store=one.path.name, reason=str(error))
            return
        if gone:
            log.info("store.removed", role=self._role, store=one.path.name, days=round(one.days, 1))

    async def _check_invariant(self) -> None:
        """Every assigned partition has an open or opening lane; otherwise the process ends non-zero and its
        supervisor restarts it."""
        broken_since: float | None = None
        while True:
            await asyncio.sleep(_INVARIANT_S / 10)
            broken = [place for place in self._assigned_now if self._is_broken(place)]
            if not broken:
                broken_since = None
                continue
            broken_since = broken_since or time.monotonic()
            for place in broken:
                task = self._tasks.get(place)
                if task is not None and (error := task.exception()):
                    log.error(
                        "lane.died", role=self._role, lane=f"{place.topic}-{place.partition}", exc_info=error
                    )
            if time.monotonic() - broken_since > _INVARIANT_S / 2:
                raise HubError(f"通道无人处理 / lanes without a task: {broken}")

    def _is_broken(self, place: TopicPartition) -> bool:
        task = self._tasks.get(place)
        return task is None or (task.done() and self.lanes[place].state != "stopped")
