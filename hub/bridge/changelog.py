"""bridge.changelog: where lanes find what their last transactions left. Reading only."""

from collections.abc import Callable
from typing import Final

from hub.bridge.model import is_of
from hub.config import Settings
from hub.kafka import HighWatermarks, Reader, TopicPartition

CHANGELOG: Final = "bridge.changelog"


async def replay(target: Settings, lane: str, take: Callable[[dict[bytes, bytes | None]], None]) -> None:
    """What a lane's transactions left on the target's bridge.changelog (NO_LANE: what concerns none), in
    slices, in order; None deletes. Its producer must have been started: then nothing more is added. Raises
    BrokerAway.

    Other lanes write there too, so the last stable offset may be held back by one of their open
    transactions: below it our own last cursor could be missing. The high watermark cannot; a reader
    passes it when all of them have ended.
    """
    place = TopicPartition(target.topic(CHANGELOG), 0)
    watermarks, reader = HighWatermarks(target), Reader(target)
    try:
        await watermarks.start()
        await reader.start()
        ends = await watermarks.ends([place])
        async for records in reader.read_to(await reader.start_offsets([place]), ends):
            take({record.key: record.value for record in records if is_of(record.key, lane)})
    finally:
        await reader.stop()
        await watermarks.stop()


async def own_entry(target: Settings, lane: str, key: bytes) -> bytes | None:
    """One of these; None when there is none. Raises BrokerAway."""
    found: dict[bytes, bytes | None] = {}

    def keep(changes: dict[bytes, bytes | None]) -> None:
        found.update((name, value) for name, value in changes.items() if name == key)

    await replay(target, lane, keep)
    return found.get(key)
