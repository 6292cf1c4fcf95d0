"""The gateway's way to the broker: opens when it can, reopens when it must, and says BrokerAway meanwhile.

No HTTP and no message logic; hub.kafka holds the protocol itself.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

import structlog

from hub.config import Settings
from hub.errors import BrokerAway
from hub.kafka import IntakeProducer

log = structlog.get_logger()

REOPEN_DELAY_MS: Final = 1_000
BROKER_PROBE_MS_MAX: Final = 1_000


class Producer(Protocol):
    """What intake needs of a broker."""

    async def send(
        self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> tuple[int, int]:
        """Returns (partition, offset) once acknowledged with acks=all. Raises BrokerAway or OutputRefused."""
        ...


class PatientProducer:
    """An IntakeProducer that may start before its broker. A producer without a success for two produce
    time-outs is replaced:
    an idempotent producer whose sequence was broken never recovers by itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._current: IntakeProducer | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._success_at = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["PatientProducer"]:
        """Opens in the background for as long as the block lasts."""
        task = asyncio.create_task(self._keep_open())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            if self._current is not None:
                await self._current.stop()

    async def send(
        self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> tuple[int, int]:
        """See Producer. Raises BrokerAway at once while no connection is open."""
        producer = self._current
        if producer is None:
            raise BrokerAway("not connected")
        try:
            place = await producer.send(topic, key, value, headers)
        except BrokerAway:
            if time.monotonic() - self._success_at > 2 * self._settings.produce_timeout_ms / 1000:
                self._replace(producer)
            raise
        self._success_at = time.monotonic()
        return place

    async def reachable(self) -> bool:
        """True when a producer is open and a bootstrap address accepts a connection now."""
        if self._current is None:
            return False
        for address in self._settings.kafka_bootstrap.split(","):
            host, _, port = address.strip().rpartition(":")
            try:
                async with asyncio.timeout(BROKER_PROBE_MS_MAX / 1000):
                    _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            except (OSError, TimeoutError):
                continue
            writer.close()
            return True
        return False

    def _replace(self, broken: IntakeProducer) -> None:
        if self._current is broken:
            self._current = None
            self._wanted.set()

    async def _keep_open(self) -> None:
        broken: IntakeProducer | None = None
        away = False
        while True:
            await self._wanted.wait()
            if broken is not None:
                await broken.stop()
            producer = IntakeProducer(self._settings)
            try:
                await producer.start()
            except BrokerAway as error:
                if (
                    not away
                ):  # once per episode: an operator needs the beginning and the end, not every second
                    log.warning("gateway.broker_away", error=str(error))
                away, broken = True, None
                await asyncio.sleep(REOPEN_DELAY_MS / 1000)
                continue
            self._success_at = time.monotonic()
            self._current, broken, away = producer, producer, False
            self._wanted.clear()
            log.info("gateway.broker_open")
