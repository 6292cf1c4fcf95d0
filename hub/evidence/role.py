"""The evidence role: one lane per partition of the ledgers. The only role that holds the evidence key. Only
wiring here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import structlog

from hub.books.close import close_daily
from hub.config import Settings
from hub.ending import ended
from hub.errors import HubError
from hub.evidence.exchange import Exchange, peers
from hub.evidence.identity import load_signer
from hub.evidence.lane import EvidenceLane, EvidenceStats, Signer
from hub.evidence.leaves import LEDGERS
from hub.evidence.stamps import open_stamper
from hub.health import health_server
from hub.kafka import Admin, TopicPartition
from hub.lanes.lane import Lane, LaneSpec
from hub.lanes.store import StoreResources
from hub.lanes.worker import Worker
from hub.status import LaneReport, publish_status
from signing.provider import SoftwareProvider

log = structlog.get_logger()

CHANGELOG = "evidence.changelog"


class _Runner:
    def __init__(self, role: "EvidenceRole", place: TopicPartition) -> None:
        self._role = role
        self._place = place

    async def run(self, opened: Callable[[], None]) -> None:
        await run_lane(self._role, self._place.partition, opened)


async def run_lane(role: "EvidenceRole", partition: int, opened: Callable[[], None] = lambda: None) -> None:
    """Open one lane and work until cancelled. Raises what Lane.open and EvidenceLane.run raise."""
    spec = LaneSpec("evidence", LEDGERS, partition, CHANGELOG, partition)
    lane = Lane(role.settings, spec, role.resources, role.cluster_id)
    stats = role.stats.setdefault(partition, EvidenceStats())
    try:
        await lane.open()
        opened()
        await EvidenceLane(role.settings, lane, role.signer, stats).run()
    finally:
        await lane.close()


class EvidenceRole:
    """What the lanes of one process share."""

    def __init__(self, settings: Settings, signer: Signer, cluster_id: str) -> None:
        self.settings = settings
        self.signer = signer
        self.cluster_id = cluster_id
        self.resources = StoreResources(settings)
        self.stats: dict[int, EvidenceStats] = {}
        self.books_trouble = ""
        self._exchange = Exchange(settings, signer, peers(settings))
        self.worker = Worker(settings, "evidence", [LEDGERS[0]], lambda place: _Runner(self, place))

    def reports(self) -> list[LaneReport]:
        """One line per lane, for the status topic."""
        return [
            LaneReport(
                role="evidence",
                lane=f"{self.settings.bare(place.topic)}-{place.partition}",
                state=state.state,
                reason=state.reason or self._stats(place).trouble,
                reopened=state.reopened,
                done=self._stats(place).leaves,
            )
            for place, state in self.worker.lanes.items()
        ]

    def metrics(self) -> dict[str, float]:
        """Counters of every lane, Prometheus style."""
        values: dict[str, float] = {}
        for place, state in self.worker.lanes.items():
            label = f'{{lane="{self.settings.bare(place.topic)}-{place.partition}"}}'
            values[f"govhub_lane_open{label}"] = float(state.state == "open")
            values[f"govhub_evidence_leaves_total{label}"] = self._stats(place).leaves
            values[f"govhub_evidence_roots_total{label}"] = self._stats(place).roots
            values[f"govhub_evidence_late{label}"] = float(bool(self._stats(place).trouble))
        return values

    def trouble(self) -> str:
        """Why this process is not ready, "" when it is."""
        return self.worker.trouble() or self.books_trouble or self._exchange.trouble

    @contextlib.asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """Close the books and exchange roots beside the lanes. Books that were changed, and a peer that holds
        another history, are troubles that only a person ends."""
        tasks = [
            asyncio.create_task(self._told("books", self._close_daily()), name="closing the books"),
            asyncio.create_task(
                self._told("exchange", self._exchange.run(self._first_is_mine)), name="exchanging roots"
            ),
        ]
        try:
            yield
        finally:
            await asyncio.gather(*(ended(task) for task in tasks))

    async def _told(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """A defect in what runs beside the lanes must not end them, and must not stay unseen."""
        try:
            await work
        except Exception as error:
            self.books_trouble = f"{name}: {error!r}"
            log.error("evidence.beside_failed", work=name, exc_info=error)

    async def _close_daily(self) -> None:
        try:
            await close_daily(self.settings, self.signer, self._first_is_mine)
        except HubError as error:
            self.books_trouble = str(error)
            log.error("books.stopped", reason=str(error))

    def _first_is_mine(self) -> bool:
        place = TopicPartition(self.settings.topic(LEDGERS[0]), 0)
        return place in self.worker.lanes and self.worker.lanes[place].state == "open"

    def _stats(self, place: TopicPartition) -> EvidenceStats:
        return self.stats.get(place.partition, EvidenceStats())


async def open_signer(settings: Settings) -> Signer:
    """The hub's key and its time-stamp service. Raises SettingsError."""
    provider = SoftwareProvider()
    identity = await asyncio.to_thread(load_signer, settings, provider)
    return Signer(provider, identity, await asyncio.to_thread(open_stamper, settings, provider))


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Sign evidence until `stop`. Raises SettingsError without a key, HubError when the process must be
    restarted."""
    signer = await open_signer(settings)
    async with Admin(settings) as admin:
        cluster_id = await admin.cluster_id()
    role = EvidenceRole(settings, signer, cluster_id)
    try:
        async with (
            publish_status(settings, "evidence", role.reports),
            health_server(settings.metrics_listen, role.trouble, role.metrics),
            role.beside(),
        ):
            await role.worker.run(stop)
    finally:
        await signer.stamper.close()
