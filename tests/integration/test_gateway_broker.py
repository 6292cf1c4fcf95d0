"""The gateway outlives its broker: 503 while it is away, receipts again when it is back, and nothing
acknowledged is lost."""

import asyncio
import time
from pathlib import Path

from gateway_harness import Gateway, document, running_gateway, settings_for

from hub.embedded.kafka import EmbeddedKafka


async def receipt_within(gateway: Gateway, seconds: float, name: str) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status, _, _ = await gateway.submit("platform", document(sourceRef=name, caseRef=name))
        if status == 202:
            return True
        assert status == 503
        await asyncio.sleep(0.3)
    return False


async def test_g1_broker_away_and_back_every_receipt_is_on_the_topic(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path / "kafka")
    await asyncio.to_thread(broker.start)
    try:
        settings = settings_for(broker.bootstrap, "g1.", tmp_path / "hub", produce_timeout_ms=1_500)
        async with running_gateway(settings) as gateway:
            assert await receipt_within(gateway, 10, "before")
            await asyncio.to_thread(broker.stop)
            started = time.monotonic()
            status, answer, headers = await gateway.submit(
                "platform", document(sourceRef="during", caseRef="during")
            )
            waited = time.monotonic() - started
            assert (status, answer["error"]["code"], headers["Retry-After"]) == (503, "broker_away", "5")
            assert waited < 3, "a bounded wait: produce_timeout_ms and no more"
            assert (await gateway.call("GET", "/readyz"))[0] == 503
            await asyncio.to_thread(broker.start)
            assert await receipt_within(gateway, 40, "during"), (
                "the same message again, when the broker is back"
            )
            assert await receipt_within(gateway, 5, "after")
            ids = [dict(record.headers)["ce_id"] for record in await gateway.inbound()]
            # A send whose answer was lost may be on the topic twice: the router knows it by its id.
            assert len(set(ids)) == 3
    finally:
        await asyncio.to_thread(broker.stop)
