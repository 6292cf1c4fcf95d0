"""bridge.changelog: where lanes find what their last transactions left. Reading only."""

from typing import Final

from hub.bridge.model import is_of
from hub.config import Settings
from hub.kafka import HighWatermarks, Reader, TopicPartition

CHANGELOG: Final = "bridge.changelog"


async def own_entries(target: Settings, lane: str) -> dict[bytes, bytes]:
    """What a lane's transactions left on the target's bridge.changelog (NO_LANE: what concerns none). Its
    producer must have been started: then nothing more is added. Raises BrokerAway.

    Other lanes write there too, so the last stable offset may be held back by one of their open
    transactions: below it our own last cursor could be missing. The high watermark cannot; a reader
    passes it when all of them have ended.
    """
    place = TopicPartition(target.topic(CHANGELOG), 0)
    watermarks, reader = HighWatermarks(target), Reader(target)
    entries: dict[bytes, bytes] = {}
    try:
        await watermarks.start()
        await reader.start()
        ends = await watermarks.ends([place])
        async for records in reader.read_to(await reader.start_offsets([place]), ends):
            for record in records:
                if not is_of(record.key, lane):
                    continue
                if record.value is None:
                    entries.pop(record.key, None)
                else:
                    entries[record.key] = record.value
    finally:
        await reader.stop()
        await watermarks.stop()
    return entries
