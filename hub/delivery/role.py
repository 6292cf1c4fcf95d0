"""The delivery role: one delivery lane per partition of deliver.<member>, all members in one worker group.
Only wiring here."""

import asyncio
import os
from collections.abc import Callable

import structlog

from adapters.factory import open_port, port_config
from hub import directory
from hub.config import Settings
from hub.delivery.lane import DeliveryLane, DeliveryStats
from hub.directory.model import Member, MemberKind
from hub.errors import LaneStopped
from hub.health import health_server
from hub.kafka import Admin, TopicPartition, open_reader
from hub.lanes.clock import ClockGuard
from hub.lanes.lane import Lane, LaneSpec
from hub.lanes.standby import Standbys
from hub.lanes.store import StoreResources
from hub.lanes.worker import Worker
from hub.status import LaneReport, publish_status

log = structlog.get_logger()

_PREFIX = "deliver."


def _spec(settings: Settings, place: TopicPartition) -> LaneSpec:
    topic = settings.bare(place.topic)
    changelog = f"delivery.{topic.removeprefix(_PREFIX)}.changelog"
    return LaneSpec("delivery", (topic,), place.partition, changelog, place.partition)


class _Runner:
    def __init__(self, role: "DeliveryRole", place: TopicPartition) -> None:
        self._role = role
        self._place = place

    async def run(self, opened: Callable[[], None]) -> None:
        role = self._role
        spec = _spec(role.settings, self._place)
        topic = spec.inputs[0]
        member = role.members.get(topic.removeprefix(_PREFIX))
        if member is None:
            raise LaneStopped(f"{topic}: 目录中没有这个成员 / no such member in the directory")
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
            await DeliveryLane(role.settings, lane, member, port, role.partitions, stats, role.clock).run()
        finally:
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
        self.clock = ClockGuard(settings)
        self.standbys = Standbys(settings, self.resources, cluster_id, lambda place: _spec(settings, place))
        self.worker = Worker(
            settings,
            "delivery",
            [_PREFIX + member for member in members],
            lambda place: _Runner(self, place),
            self.standbys,
        )

    def reports(self) -> list[LaneReport]:
        """One line per lane, for the status topic."""
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
                    last_delivery_ms=stats.last_delivery_ms,
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
        await role.worker.run(stop)
