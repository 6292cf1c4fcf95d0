"""The producer that outlives its broker: starts without it, and is replaced when it has not succeeded for
two time-outs.

hub.kafka's producer is stood in for here, because a broken idempotent producer cannot be had from a healthy
broker at will.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hub.config import Settings
from hub.errors import BrokerAway
from hub.gateway import producer as module
from hub.gateway.producer import PatientProducer


class Broken:
    """The first of these is broken: it starts, and never gets an acknowledgement."""

    made: list["Broken"]

    def __init__(self, _: Settings) -> None:
        self.made.append(self)
        self.broken, self.stopped = len(self.made) == 1, False

    async def start(self) -> None:
        """Connected."""

    async def send(self, *_: Any) -> tuple[int, int]:
        if self.broken:
            raise BrokerAway("out of sequence")
        return 0, 7

    async def stop(self) -> None:
        self.stopped = True


async def test_a_producer_without_success_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    Broken.made = []
    monkeypatch.setattr(module, "IntakeProducer", Broken)
    settings = Settings(
        kafka_bootstrap="127.0.0.1:1",
        data_dir=Path(),
        directory_dir=Path(),
        files_dir=Path(),
        produce_timeout_ms=20,
    )
    async with PatientProducer(settings).running() as producer:
        async with asyncio.timeout(5):
            while True:
                try:
                    place = await producer.send("case.inbound", b"k", b"v", ())
                    break
                except BrokerAway:
                    await asyncio.sleep(0.01)
    assert place == (0, 7)
    assert [made.stopped for made in Broken.made] == [True, True]
