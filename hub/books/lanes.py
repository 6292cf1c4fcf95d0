"""Where every lane stands, read from the changelogs: the position record each transaction writes, and what
waits in delivery queues."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from hub.books.model import Lane, Positions
from hub.config import Settings
from hub.delivery.model import ALL_QUEUES
from hub.kafka import Reader, Record, TopicPartition
from hub.lanes.restore import Position
from hub.lanes.store import POSITION_KEY

TAIL_RECORDS: Final = 2_000
BATCH_MAX: Final = 5_000
_SEQ_BYTES: Final = 8
ROUTER_CHANGELOG: Final = "router.changelog"
INBOUND: Final = "case.inbound"


class LaneWatch:
    """Follows the changelogs. One reader of its own; every refresh reads only what is new since the last."""

    def __init__(self, settings: Settings, reader: Reader) -> None:
        self._settings = settings
        self._reader = reader
        self._next: dict[TopicPartition, int] = {}
        self._positions: dict[TopicPartition, dict[str, int]] = {}
        self._queues: dict[TopicPartition, set[int]] = {}

    async def refresh(self, members: Iterable[str]) -> Positions:
        """Lane positions as of now: read to the changelogs' last stable offsets. Raises BrokerAway,
        LookupError."""
        topic = self._settings.topic
        router = await self._reader.partitions([topic(ROUTER_CHANGELOG)])
        delivery = await self._reader.partitions(
            [topic(f"delivery.{member}.changelog") for member in members]
        )
        fresh = [place for place in (*router, *delivery) if place not in self._next]
        starts = await self._reader.start_offsets(fresh) if fresh else {}
        ends = await self._reader.stable_offsets(fresh) if fresh else {}
        for place in fresh:
            #  The router's changelog holds every case's state and only its last position record is wanted;
            # a delivery
            # changelog is read whole, for its queues.
            back = TAIL_RECORDS if place in router else ends[place]
            self._next[place] = max(starts[place], ends[place] - back)
        await self._read()
        await self._search_back([place for place in fresh if place in router], starts, ends)
        return self._snapshot(router, delivery)

    async def _read(self) -> None:
        if self._next:
            async for records in self._reader.read_to_stable(dict(self._next), batch_max=BATCH_MAX):
                self._apply(records)

    async def _search_back(
        self,
        places: Iterable[TopicPartition],
        starts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> None:
        """Further back, for a changelog with no position record in its tail."""
        for place in places:
            back = TAIL_RECORDS
            while place not in self._positions and ends[place] - back > starts[place]:
                back *= 4
                known = self._next[place]
                first = max(starts[place], ends[place] - back)
                async for records in self._reader.read_to_stable({place: first}, batch_max=BATCH_MAX):
                    self._apply(records)
                self._next[place] = max(known, self._next[place])

    def _apply(self, records: list[Record]) -> None:
        for record in records:
            place = TopicPartition(record.topic, record.partition)
            self._next[place] = record.offset + 1
            if record.key == POSITION_KEY and record.value is not None:
                self._positions[place] = msgspec.msgpack.decode(record.value, type=Position).positions
            elif record.key is not None and record.key[:1] == ALL_QUEUES[0]:
                queue = self._queues.setdefault(place, set())
                seq = int.from_bytes(record.key[-_SEQ_BYTES:])
                queue.discard(seq) if record.value is None else queue.add(seq)

    def _snapshot(self, router: list[TopicPartition], delivery: list[TopicPartition]) -> Positions:
        routed = {
            place.partition: self._positions.get(place, {}).get(f"{INBOUND}-{place.partition}", 0)
            for place in router
        }
        lanes = {}
        for place in delivery:
            member = self._settings.bare(place.topic).removeprefix("delivery.").removesuffix(".changelog")
            taken_in = self._positions.get(place, {}).get(f"deliver.{member}-{place.partition}", 0)
            lanes[member, place.partition] = Lane(taken_in, frozenset(self._queues.get(place, ())))
        return Positions(routed, lanes)
