"""The router role: one router lane per partition of case.inbound, tables followed beside them. Only wiring
here."""

import asyncio
import time
from collections.abc import Callable

import structlog

from hub.config import Settings
from hub.health import health_server
from hub.kafka import Admin, TopicPartition, open_reader
from hub.lanes.clock import ClockGuard
from hub.lanes.lane import Lane, LaneSpec
from hub.lanes.standby import Standbys
from hub.lanes.store import StoreResources
from hub.lanes.worker import Worker
from hub.router.brake import BrakePulled
from hub.router.lane import BatchRefused, RouterLane, RouterStats, Trouble, release_of
from hub.status import LaneReport, publish_status
from hub.tables import TablesFollower, follow_tables

log = structlog.get_logger()

_COMMAND_WAIT_MS = 1_000


def _spec(place: TopicPartition) -> LaneSpec:
    partition = place.partition
    return LaneSpec("router", ("case.inbound", "commands.router"), partition, "router.changelog", partition)


class _Runner:
    def __init__(self, role: "RouterRole", place: TopicPartition) -> None:
        self._role = role
        self._place = place

    async def run(self, opened: Callable[[], None]) -> None:
        """Reopens by itself after a refused batch: first one record at a time, then the refused record is
        parked."""
        trouble = Trouble()
        while True:
            try:
                await self._work(opened, trouble)
            except BatchRefused as error:
                log.warning(
                    "batch.refused", lane=str(self._place), records=len(error.inputs), reason=str(error)
                )
                if not trouble.learn(error):
                    raise
            except BrakePulled as error:
                trouble.brake_off = await self._released(error)

    async def _released(self, pulled: BrakePulled) -> tuple[str, str, int]:
        """Wait, with the lane closed, for the operator's command that lets the brake off (R24): who, why,
        when. The lane consumes the same command afterwards, in its own transaction. Raises BrokerAway."""
        settings, state = self._role.settings, self._role.worker.lanes.get(self._place)
        name = f"{settings.bare(self._place.topic)}-{self._place.partition}"
        if state is not None:
            state.state, state.since, state.reason = "stopped", time.monotonic(), str(pulled)
        log.error("lane.braked", lane=name, cause=pulled.cause, reason=str(pulled))
        commands = TopicPartition(settings.topic("commands.router"), self._place.partition)
        async with open_reader(settings) as reader:
            reader.assign({commands: pulled.commands_from})
            while True:
                for record in await reader.poll(_COMMAND_WAIT_MS):
                    command = release_of(record)
                    if command is None:
                        continue
                    log.warning("brake.released", lane=name, by=command.by, reason=command.reason)
                    if state is not None:
                        state.state, state.since, state.reason = "opening", time.monotonic(), ""
                    return command.by, command.reason, record.timestamp

    async def _work(self, opened: Callable[[], None], trouble: Trouble) -> None:
        role, partition = self._role, self._place.partition
        lane = Lane(
            role.settings,
            _spec(self._place),
            role.resources,
            role.cluster_id,
            warm=role.standbys,
            restoring=role.worker.restoring(self._place),
        )
        stats = role.stats.setdefault(partition, RouterStats())
        try:
            await lane.open()
            opened()
            await RouterLane(
                role.settings, lane, lambda: role.tables.current, stats, trouble, role.clock
            ).run()
        finally:
            await lane.close()


class RouterRole:
    """What the lanes of one process share."""

    def __init__(self, settings: Settings, tables: TablesFollower, cluster_id: str) -> None:
        self.settings = settings
        self.tables = tables
        self.cluster_id = cluster_id
        self.resources = StoreResources(settings)
        self.stats: dict[int, RouterStats] = {}
        self.clock = ClockGuard(settings)
        self.standbys = Standbys(settings, self.resources, cluster_id, _spec)
        self.worker = Worker(
            settings, "router", ["case.inbound"], lambda place: _Runner(self, place), self.standbys
        )

    def reports(self) -> list[LaneReport]:
        """One line per lane, for the status topic."""
        self.clock.now_ms()  # a jump is told also while nothing is decided by the time
        return [
            LaneReport(
                role="router",
                lane=f"{self.settings.bare(place.topic)}-{place.partition}",
                state=state.state,
                reason=state.reason or self.clock.alarm,
                reopened=state.reopened,
                done=self.stats.get(place.partition, RouterStats()).routed,
                holds=self.stats.get(place.partition, RouterStats()).parked,
                clock_jump_ms=self.clock.jump_ms,
            )
            for place, state in self.worker.lanes.items()
        ]

    def metrics(self) -> dict[str, float]:
        """Counters of every lane, Prometheus style."""
        values: dict[str, float] = {}
        for line in self.reports():
            label = f'{{lane="{line.lane}"}}'
            values[f"govhub_lane_open{label}"] = float(line.state == "open")
            values[f"govhub_routed_total{label}"] = line.done
            values[f"govhub_parked_total{label}"] = line.holds
        values["govhub_clock_jumped"] = float(bool(self.clock.alarm))
        values.update(self.worker.metrics())
        return values


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run router lanes until `stop`. Raises HubError when the process must be restarted."""
    async with Admin(settings) as admin:
        cluster_id = await admin.cluster_id()
    async with follow_tables(settings) as tables:
        role = RouterRole(settings, tables, cluster_id)
        async with (
            publish_status(settings, "router", role.reports),
            health_server(settings.metrics_listen, role.worker.trouble, role.metrics),
        ):
            await role.worker.run(stop)
