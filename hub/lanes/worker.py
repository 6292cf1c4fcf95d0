"""A worker: membership in the role's group, and one task per assigned partition that keeps its lane open.

Listeners only start and cancel tasks. Safety comes from fencing (hub/lanes/lane.py); membership only decides
who tries.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
import structlog

from hub.config import Settings
from hub.errors import BrokerAway, Fenced, HubError, LaneStopped, OutputRefused, StoreBusy, UnknownOutcome
from hub.kafka import Membership, TopicPartition

log = structlog.get_logger()

_INVARIANT_S: Final = 10.0


class LaneRunner(Protocol):
    """What a role does with one lane: opened, run until cancelled or until it fails, always closed."""

    async def run(self, opened: Callable[[], None]) -> None:
        """Open the lane, call `opened`, work. Raises Fenced, BrokerAway, UnknownOutcome, OutputRefused,
        LaneStopped."""
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
    ) -> None:
        self._settings = settings
        self._role = role
        self._topics = [settings.topic(topic) for topic in topics]
        self._runner = runner
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._joined = False
        self._ending = False
        self.lanes: dict[TopicPartition, LaneState] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; then close all lanes and leave the group. Raises HubError when the invariant
        breaks."""
        membership = Membership(self._settings, f"{self._settings.topic_prefix}govhub.{self._role}")
        await membership.start(self._topics, self._assigned)
        watching = asyncio.create_task(membership.watch())
        stopping = asyncio.create_task(stop.wait())
        checking = asyncio.create_task(self._check_invariant())
        try:
            done, _ = await asyncio.wait({watching, stopping, checking}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            # A rebalance during the closing must not open lanes that nobody closes.
            self._ending = True
            for task in (watching, stopping, checking):
                task.cancel()
            await self._close(list(self._tasks))
            await membership.stop()

    def trouble(self) -> str:
        """Why this worker is not ready: no assignment yet, or a lane that is not open; "" when it is."""
        if not self._joined:
            return "not yet a member of the group"
        return ", ".join(
            f"{place.topic}-{place.partition} {s.state}"
            for place, s in self.lanes.items()
            if s.state != "open"
        )

    async def _assigned(self, assigned: set[TopicPartition]) -> None:
        self._joined = True
        if self._ending:
            return
        # A lane that is still ours stays open and pays no restore.
        await self._close([place for place in self._tasks if place not in assigned])
        for place in sorted(assigned - set(self._tasks)):
            self.lanes[place] = LaneState("opening", time.monotonic())
            self._tasks[place] = asyncio.create_task(
                self._keep(place), name=f"lane {place.topic}-{place.partition}"
            )

    async def _close(self, places: list[TopicPartition]) -> None:
        tasks = [self._tasks.pop(place) for place in places]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for place in places:
            self.lanes.pop(place, None)

    async def _keep(self, place: TopicPartition) -> None:
        """Keep one lane open: reopen it after every failure that reopening cures."""
        state = self.lanes[place]

        def opened() -> None:
            state.state, state.since, state.reason = "open", time.monotonic(), ""
            log.info(
                "lane.open", role=self._role, lane=f"{self._settings.bare(place.topic)}-{place.partition}"
            )

        while True:
            try:
                await self._runner(place).run(opened)
            except LaneStopped as error:
                # An operator decides; the other lanes go on.
                state.state, state.since, state.reason = "stopped", time.monotonic(), str(error)
                log.error(
                    "lane.stopped",
                    role=self._role,
                    lane=f"{place.topic}-{place.partition}",
                    reason=str(error),
                )
                return
            except Fenced as error:
                # A successor, or the coordinator timed our transaction out. Let a heartbeat tell whether we
                # are still a member:
                # a zombie that reopens at once would fence the true owner.
                await self._wait(state, error, 1.5 * self._settings.heartbeat_interval_ms)
            except (BrokerAway, UnknownOutcome, OutputRefused, StoreBusy) as error:
                await self._wait(state, error, self._settings.reopen_delay_ms)

    async def _wait(self, state: LaneState, error: HubError, delay_ms: float) -> None:
        state.state, state.since, state.reason = (
            "waiting",
            time.monotonic(),
            f"{type(error).__name__}: {error}",
        )
        state.reopened += 1
        log.warning("lane.reopening", role=self._role, reason=state.reason, delay_ms=delay_ms)
        await asyncio.sleep(delay_ms / 1000)
        state.state, state.since = "opening", time.monotonic()

    async def _check_invariant(self) -> None:
        """Every assigned partition has an open or opening lane; otherwise the process ends non-zero and its
        supervisor restarts it."""
        broken_since: float | None = None
        while True:
            await asyncio.sleep(1)
            broken = [
                place
                for place, task in self._tasks.items()
                if task.done() and self.lanes[place].state != "stopped"
            ]
            if not broken:
                broken_since = None
                continue
            broken_since = broken_since or time.monotonic()
            for place in broken:
                if error := self._tasks[place].exception():
                    log.error(
                        "lane.died", role=self._role, lane=f"{place.topic}-{place.partition}", exc_info=error
                    )
            if time.monotonic() - broken_since > _INVARIANT_S / 2:
                raise HubError(f"通道无人处理 / lanes without a task: {broken}")
