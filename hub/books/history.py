"""The second look: what case.routed and case.outcomes say about a few suspect ids, read from the log's
start. Memory is bounded by the suspects."""

from collections.abc import Collection
from typing import Final

from hub.books.judge import History
from hub.books.model import FINAL_DISPOSITIONS
from hub.config import Settings
from hub.kafka import Reader, Record
from schemas.codec import decode
from schemas.errors import ContractError

BATCH_MAX: Final = 5_000


async def look_back(settings: Settings, messages: Collection[str], dispatches: Collection[str]) -> History:
    """Everything the topics hold about these ids. Raises BrokerAway."""
    history = History()
    if not messages and not dispatches:
        return history
    reader = Reader(settings)
    await reader.start()
    try:
        places = await reader.partitions([settings.topic("case.routed"), settings.topic("case.outcomes")])
        starts = await reader.start_offsets(places)
        async for records in reader.read_to_stable(starts, batch_max=BATCH_MAX):
            for record in records:
                _note(history, record, settings.bare(record.topic), messages, dispatches)
    finally:
        await reader.stop()
    return history


def _note(
    history: History, record: Record, topic: str, messages: Collection[str], dispatches: Collection[str]
) -> None:
    at = (record.partition, record.offset)
    try:
        _, body = decode(record.value or b"")
    except ContractError:
        return  # the first look has reported it
    if topic == "case.outcomes":
        if body["dispatchId"] in dispatches:
            history.outcomes.setdefault(body["dispatchId"], []).append((at, body["outcome"]))
        return
    if body["messageId"] in messages and body["disposition"] in FINAL_DISPOSITIONS:
        history.verdicts.setdefault(body["messageId"], []).append((at, body["disposition"]))
    for entry in body["dispatches"]:
        if entry["id"] in dispatches:
            history.listings.setdefault(entry["id"], (entry["member"], at))
