"""Two regions together: what one hub handed to the other against what arrived there, by id, and both books in
one line. Reads topics only."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from hub.books.model import DispatchTotals, Report
from hub.config import Settings
from hub.kafka import Record, open_reader
from hub.routing.crossing import passed


class Crossing(msgspec.Struct, frozen=True):
    """One direction. crossed: distinct message ids handed over. lost: of these, not there. duplicated: there
    more than once. strange: there, and never handed over."""

    source: str
    target: str
    crossed: int
    lost: tuple[str, ...] = ()
    duplicated: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()

    @property
    def balanced(self) -> bool:
        """Everything there, once, and nothing else."""
        return not (self.lost or self.duplicated or self.strange)


def compare(source: str, target: str, handed: Sequence[str], arrived: Sequence[str]) -> Crossing:
    """handed: ids on deliver.<target> of the source; arrived: ids on case.inbound of the target that came
    through the source, a record each."""
    times = Counter(arrived)
    sent = set(handed)
    return Crossing(
        source,
        target,
        len(sent),
        lost=tuple(sorted(sent - times.keys())),
        duplicated=tuple(sorted(id_ for id_, count in times.items() if count > 1)),
        strange=tuple(sorted(times.keys() - sent)),
    )


async def crossing(source: Settings, target: Settings) -> Crossing:
    """One direction as it is now; both settings with their region. Raises BrokerAway."""
    arrived = await _records(target, "case.inbound")
    # Effects before causes: what arrived was handed over before.
    handed = await _records(source, "deliver." + target.region)
    through = [record for record in arrived if passed(_header(record, "ce_via"))[-1:] == (source.region,)]
    return compare(
        source.region,
        target.region,
        [_header(record, "ce_id") for record in handed],
        [_header(record, "ce_id") for record in through],
    )


async def _records(settings: Settings, topic: str) -> list[Record]:
    async with open_reader(settings) as reader:
        starts = await reader.start_offsets(await reader.partitions([settings.topic(topic)]))
        return [record async for records in reader.read_to_stable(starts) for record in records]


def _header(record: Record, name: str) -> str:
    return next((value.decode() for key, value in record.headers if key == name), "")


def together_line(reports: dict[str, Report], crossings: Sequence[Crossing]) -> str:
    """Both regions in one line: dispatches to members, and what crossed between the hubs."""
    total = DispatchTotals()
    for report in reports.values():
        for member, line in report.members.items():
            if member not in reports:
                total.add(line)
    lost = sum(report.lost for report in reports.values()) + sum(len(one.lost) for one in crossings)
    twice = sum(report.duplicated for report in reports.values()) + sum(
        len(one.duplicated) for one in crossings
    )
    return (
        f"both: crossed={sum(one.crossed for one in crossings)} dispatches={total.dispatches} "
        f"delivered={total.delivered} refused={total.refused} parked={total.parked} "
        f"in_doubt={total.in_doubt} cancelled={total.cancelled} in_flight={total.in_flight} "
        f"lost={lost} duplicated={twice} balanced={'yes' if balanced(reports, crossings) else 'no'}"
    )


def balanced(reports: dict[str, Report], crossings: Sequence[Crossing]) -> bool:
    """Both books, and what crossed."""
    return all(report.balanced for report in reports.values()) and all(one.balanced for one in crossings)
