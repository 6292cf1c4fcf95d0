"""The delivery role: one delivery lane per partition of deliver.<member>, all members in one worker group.
Only wiring here."""

import asyncio
import os
from collections.abc import Callable

import structlog

from adapters.factory import open_port, port_config
from hub import directory
from hub.config import Settings
from hub.delivery import commands
from hub.delivery.lane import DeliveryLane
from hub.delivery.stats import DeliveryStats
from hub.delivery.trouble import Trouble, taken_again
from hub.directory.model import Member, MemberKind
from hub.ending import ended
from hub.errors import LaneStopped
from hub.health import health_server
from hub.kafka import Admin, TopicPartition, open_reader
from hub.lanes.clock import ClockGuard
from hub.lanes.lane import Lane, LaneSpec
from hub.lanes.standby import Standbys
from hub.lanes.store import StoreResources
from hub.lanes.worker import Worker
from hub.status import LaneReport, publish_status
from hub.tables import follow_directory

log = structlog.get_logger()

_PREFIX = "deliver."
# No heartbeat is sent while the shares are changed: resting must end well within the session timeout.
_REBALANCE_SHARE = 0.6


def _spec(settings: Settings, place: TopicPartition) -> LaneSpec:
    topic = settings.bare(place.topic)
    member = topic.removeprefix(_PREFIX)
    inputs = (topic, commands.TOPIC + member)
    return LaneSpec("delivery", inputs, place.partition, f"delivery.{member}.changelog", place.partition)


class _Runner:
    def __init__(self, role: "DeliveryRole", place: TopicPartition) -> None:
        self._role = role
        self._place = place

    async def run(self, opened: Callable[[], None]) -> None:
        """Reopens by itself after a refused transaction."""
        trouble = self._role.troubles.setdefault(self._place, Trouble())
        await taken_again(lambda: self._work(opened, trouble), trouble, str(self._place))

    async def _work(self, opened: Callable[[], None], trouble: Trouble) -> None:
        role = self._role
        spec = _spec(role.settings, self._place)
        topic = spec.inputs[0]
        member = role.members.get(topic.removeprefix(_PREFIX))
        if member is None:
            raise LaneStopped(f"{topic}: 目录中没有这个成员 / no such member in the directory")
        if member.id in role.unusable:
            raise LaneStopped(role.unusable[member.id])
        lane = Lane(
            role.settings,
            spec,
            role.resources,
            role.cluster_id,
            warm=role.standbys,
            restoring=role.worker.restoring(self._place),
        )
        stats = role.stats.setdefault(topic, DeliveryStats())
        port = None
        try:
            await lane.open()
            try:
                port = await open_port(port_config(member))
            except ValueError as error:
                raise LaneStopped(str(error)) from error
            opened()
            work = DeliveryLane(
                role.settings, lane, member, port, role.partitions, stats, role.clock, trouble
            )
            role.working[self._place] = work
            await work.run()
        finally:
            role.working.pop(self._place, None)
            if port is not None:
                await port.close()
            await lane.close()


class DeliveryRole:
    """What the lanes of one process share."""

    def __init__(
        self, settings: Settings, members: dict[str, Member], cluster_id: str, partitions: int
    ) -> None:
        self.settings = settings
        self.members = members
        self.cluster_id = cluster_id
        self.partitions = partitions
        self.resources = StoreResources(settings)
        self.stats: dict[str, DeliveryStats] = {}
        self.unusable: dict[str, str] = {}
        self.troubles: dict[TopicPartition, Trouble] = {}
        self.working: dict[TopicPartition, DeliveryLane] = {}
        self.clock = ClockGuard(settings)
        self.standbys = Standbys(settings, self.resources, cluster_id, lambda place: _spec(settings, place))
        self.worker = Worker(
            settings,
            "delivery",
            [_PREFIX + member for member in members],
            lambda place: _Runner(self, place),
            self.standbys,
            self,
        )

    async def rest(self, *, leaving: bool) -> None:
        """Calls under way end and their outcomes are committed. When only the shares change, a member that
        can be asked, or that knows a repeat, need not wait for that."""
        settings = self.settings
        most_ms = settings.drain_ms_max if leaving else _REBALANCE_SHARE * settings.session_timeout_ms
        resting = [work for work in self.working.values() if leaving or work.is_blind]
        await asyncio.gather(*(work.rest(most_ms / 1000) for work in resting))

    def go_on(self) -> None:
        """The lanes that stayed here call again."""
        for work in self.working.values():
            work.go_on()

    async def take(self, known: directory.Directory) -> None:
        """A newly published directory. A member whose secrets this process was not given keeps the lane it
        had; a new one has a lane that says what is missing."""
        members: dict[str, Member] = {}
        self.unusable = {}
        for id_, member in known.served.items():
            # Another region's hub is the bridge's to serve.
            if member.kind is MemberKind.HUB:
                continue
            try:
                members[id_] = directory.with_secrets(known, id_, os.environ)
            except directory.DirectoryError as error:
                log.error("member.unusable", member=id_, reason=str(error))
                members[id_] = self.members.get(id_, member)
                if id_ not in self.members:
                    self.unusable[id_] = str(error)
        await self.change(members)

    async def change(self, members: dict[str, Member]) -> None:
        """Open lanes of new members, close those of removed ones, and open anew what changed: its calls end
        first."""
        before, self.members = self.members, members
        if before.keys() != members.keys():
            log.info("members.changed", members=sorted(members))
            self.worker.ask_for([_PREFIX + id_ for id_ in members])
        for id_, member in members.items():
            if id_ in before and before[id_] != member:
                log.info("member.changed", member=id_)
                topic = _PREFIX + id_
                working = [
                    work for place, work in self.working.items() if self.settings.bare(place.topic) == topic
                ]
                await asyncio.gather(*(work.rest(self.settings.drain_ms_max / 1000) for work in working))
                self.worker.reopen(topic)

    def reports(self) -> list[LaneReport]:
        """One line per lane, for the status topic."""
        self.clock.now_ms()  # a jump is told also while nothing is decided by the time
        lines = []
        for place, state in self.worker.lanes.items():
            topic = self.settings.bare(place.topic)
            stats = self.stats.get(topic, DeliveryStats())
            lines.append(
                LaneReport(
                    role="delivery",
                    lane=f"{topic}-{place.partition}",
                    state=state.state,
                    reason=state.reason or self.clock.alarm or stats.last_error,
                    reopened=state.reopened,
                    taken_in=stats.taken_in,
                    calling=stats.calling,
                    done=stats.delivered,
                    holds=stats.holds,
                    breaker=stats.breaker,
                    suspended=stats.suspended,
                    last_delivery_ms=stats.last_delivery_ms,
                    clock_jump_ms=self.clock.jump_ms,
                )
            )
        return lines

    def metrics(self) -> dict[str, float]:
        """Counters of every lane, Prometheus style."""
        values: dict[str, float] = {}
        for line in self.reports():
            label = f'{{lane="{line.lane}"}}'
            values[f"govhub_lane_open{label}"] = float(line.state == "open")
            values[f"govhub_delivered_total{label}"] = line.done
            values[f"govhub_taken_in{label}"] = line.taken_in
            values[f"govhub_holds{label}"] = line.holds
            values[f"govhub_breaker_open{label}"] = float(line.breaker == "open")
            values[f"govhub_suspended{label}"] = float(bool(line.suspended))
        values["govhub_clock_jumped"] = float(bool(self.clock.alarm))
        values.update(self.worker.metrics())
        return values


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run delivery lanes until `stop`. Raises HubError when the process must be restarted."""
    known = directory.load(settings.directory_dir, os.environ, settings.region)
    async with Admin(settings) as admin:
        cluster_id = await admin.cluster_id()
    async with open_reader(settings) as reader:
        partitions = len(await reader.partitions([settings.topic("case.inbound")]))
    # Another region's hub is the bridge's to serve.
    own = {id_: member for id_, member in known.served.items() if member.kind is not MemberKind.HUB}
    role = DeliveryRole(settings, own, cluster_id, partitions)
    async with (
        publish_status(settings, "delivery", role.reports),
        health_server(settings.metrics_listen, role.worker.trouble, role.metrics),
    ):
        following = asyncio.create_task(follow_directory(settings, role.take), name="directory")
        try:
            await role.worker.run(stop)
        finally:
            await ended(following)
