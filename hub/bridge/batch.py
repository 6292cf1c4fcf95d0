"""What one transaction of a bridge lane writes. Data only."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from hub.kafka import Output, Record

Report = tuple[str, bytes, bytes, list[tuple[str, bytes]]]
"""bare topic, key, value, headers: for the source cluster."""


class Batch(msgspec.Struct):
    """outputs: (bare topic, record) for the target. changes: of the lane's own state there; None deletes.
    reports: said at the source before the commit; saying them twice changes nothing."""

    outputs: list[tuple[str, Output]] = msgspec.field(default_factory=list)
    changes: dict[bytes, bytes | None] = msgspec.field(default_factory=dict)
    reports: list[Report] = msgspec.field(default_factory=list)


class Work(Protocol):
    """What a lane does with its records; the lane reads, checks, commits."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Bare topics. With several, what is read from a later one may refer to an earlier one."""
        ...

    @property
    def from_start(self) -> bool:
        """Whether a lane without a cursor must find the first record of its log."""
        ...

    def restore(self, changes: Mapping[bytes, bytes | None]) -> None:
        """A slice of the lane's state as its changelog has it; None deletes. Called at opening, in order.
        Raises StoreFailed."""
        ...

    def take(self, records: list[Record]) -> Batch:
        """What these records, all of one input, mean for the target. Raises LaneStopped, StoreFailed."""
        ...

    def close(self) -> None:
        """The lane is closed; what it knew is in its changelog."""
        ...
