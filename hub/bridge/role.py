"""The bridge role: one process per direction, in the region it copies from; one lane over deliver.<target>,
one over each partition of the ledgers. Only wiring here."""

import asyncio
from collections.abc import Callable

import msgspec

from hub import directory
from hub.bridge.acknowledging import OUTCOMES, ROUTED, Acknowledging
from hub.bridge.batch import Work
from hub.bridge.changelog import CHANGELOG
from hub.bridge.contracts import TargetContracts
from hub.bridge.copying import Copying
from hub.bridge.lane import BridgeLane, BridgeStats, Ends
from hub.bridge.shelf import Shelf
from hub.bridge.target import look, remember
from hub.config import Settings
from hub.errors import HubError
from hub.health import health_server
from hub.kafka import Admin, TopicPartition, open_reader
from hub.lanes.worker import Worker
from hub.status import LaneReport, publish_status

_NEEDED = ("region", "bridge_target_region", "bridge_target_bootstrap", "bridge_target_registry")
_WRITTEN = ("case.inbound", OUTCOMES, CHANGELOG)


class _Runner:
    def __init__(self, role: "BridgeRole", place: TopicPartition) -> None:
        self._role = role
        self._place = place

    async def run(self, opened: Callable[[], None]) -> None:
        role, place = self._role, self._place
        name = role.lane_name(place)
        stats = role.stats.setdefault(name, BridgeStats())
        work = role.work(name, place)
        lane = BridgeLane(role.ends, name, place.partition, work, role.contracts, stats)
        try:
            await lane.open()
            opened()
            await lane.run()
        finally:
            await lane.close()


class BridgeRole:
    """What the lanes of one process share."""

    def __init__(self, ends: Ends, contracts: TargetContracts) -> None:
        self.ends = ends
        self.contracts = contracts
        self.stats: dict[str, BridgeStats] = {}
        settings = ends.source
        self._target = settings.bridge_target_region
        self._copied = settings.topic("deliver." + self._target)
        self.worker = Worker(
            settings,
            f"bridge.{self._target}",
            ["deliver." + self._target, OUTCOMES],
            lambda place: _Runner(self, place),
        )

    def lane_name(self, place: TopicPartition) -> str:
        """`<our hub>/<topic>-<partition>`: unique in the target, where lanes of several regions meet."""
        return f"{self.ends.source.region}/{self.ends.source.bare(place.topic)}-{place.partition}"

    def work(self, name: str, place: TopicPartition) -> Work:
        """What the lane of this source partition does."""
        source = self.ends.source
        if place.topic == self._copied:
            return Copying(source.region, self._target)
        shelf = Shelf(source.data_dir, source.bridge_open_cache_bytes, source.store_bytes_max)
        return Acknowledging(name, source.region, self._target, source.topic(ROUTED), shelf)

    def reports(self) -> list[LaneReport]:
        """One line per lane, for the status topic."""
        lines = []
        for place, state in self.worker.lanes.items():
            name = self.lane_name(place)
            stats = self.stats.get(name, BridgeStats())
            paused = state.state in ("open", "opening") and stats.trouble
            reasons = [reason for reason in (state.reason, stats.trouble) if reason]
            lines.append(
                LaneReport(
                    role="bridge",
                    lane=name.partition("/")[2],
                    state="waiting" if paused else state.state,
                    reason="; ".join(reasons),
                    reopened=state.reopened,
                    done=stats.copied,
                    last_delivery_ms=stats.last_copy_ms,
                )
            )
        return lines

    def trouble(self) -> str:
        """Why this process is not ready: a lane that is not open, or whose record the target refuses; ""
        when it is. A target that is not reachable or not upgraded yet is no reason: two regions may start
        in any order."""
        refused = [
            f"{name} {stats.refused.text}"
            for name, stats in self.stats.items()
            if stats.refused is not None and stats.refused.text
        ]
        return self.worker.trouble() or ", ".join(refused)

    def metrics(self) -> dict[str, float]:
        """Counters of every lane, Prometheus style."""
        values: dict[str, float] = {}
        for line in self.reports():
            label = f'{{lane="{line.lane}"}}'
            values[f"govhub_lane_open{label}"] = float(line.state == "open")
            values[f"govhub_bridge_copied_total{label}"] = line.done
            values[f"govhub_bridge_paused{label}"] = float(line.state == "waiting")
        return values


def target_settings(settings: Settings) -> Settings:
    """The target cluster, otherwise as this process has it."""
    return msgspec.structs.replace(
        settings,
        kafka_bootstrap=settings.bridge_target_bootstrap,
        topic_prefix=settings.bridge_target_topic_prefix,
        region=settings.bridge_target_region,
    )


async def find_ends(settings: Settings) -> Ends:
    """Both ends, looked at; the first contact records the target's cluster at the source. Raises BrokerAway,
    and HubError for settings that cannot be a bridge."""
    for name in _NEEDED:
        if not getattr(settings, name):
            raise HubError(f"缺少环境变量 / missing environment variable: HUB_{name.upper()}")
    known = directory.load(settings.directory_dir, region=settings.region)
    if settings.bridge_target_region not in set(known.remote.values()):
        raise HubError(
            f"HUB_BRIDGE_TARGET_REGION={settings.bridge_target_region}: 目录中没有成员接入该枢纽 / "
            "no member of the directory is connected to that hub"
        )
    target = target_settings(settings)
    async with Admin(settings) as here, Admin(target) as there:
        ours, theirs = await here.cluster_id(), await there.cluster_id()
    if ours == theirs:
        raise HubError(
            f"HUB_BRIDGE_TARGET_BOOTSTRAP: 目标就是本集群 / the target is this very cluster ({ours})"
        )
    async with open_reader(target) as reader:
        partitions = {topic: len(await reader.partitions([target.topic(topic)])) for topic in (*_WRITTEN,)}
    missing = [topic for topic, count in partitions.items() if not count]
    if missing:
        raise HubError(f"目标区域没有主题 / topics missing in the target: {missing}")
    # A target that is another one now does not end the process: its lanes stop and say so.
    try:
        recorded = await remember(settings, target.region, await look(target))
    except (LookupError, ValueError) as error:
        raise HubError(f"{CHANGELOG}: {error}") from error
    return Ends(settings, target, ours, recorded, partitions)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run bridge lanes until `stop`. Raises HubError when the process must be restarted."""
    ends = await find_ends(settings)
    async with TargetContracts(settings.bridge_target_registry) as contracts:
        role = BridgeRole(ends, contracts)
        async with (
            publish_status(settings, "bridge", role.reports),
            health_server(settings.metrics_listen, role.trouble, role.metrics),
        ):
            await role.worker.run(stop)
