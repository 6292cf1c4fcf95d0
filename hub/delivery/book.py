"""What a delivery lane knows of its cases in memory: who is ready, who is being called, who stands still.
Rebuilt from the store at opening.

Only bookkeeping: no Kafka, no HTTP, no decisions about replies.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from hub.delivery.model import (
    ALL_HOLDS,
    ALL_INTENTS,
    ALL_QUEUES,
    Entry,
    Hold,
    Intent,
    decode_entry,
    decode_hold,
    decode_intent,
    subject_of,
)
from hub.lanes.lane import Lane

_LOAD_MAX: Final = 10_000_000
_LOAD_PAUSE_EVERY: Final = 500
_T = TypeVar("_T")


class Case(msgspec.Struct):
    """One case's queue for this member. failures: of the head entry. successes_before: the breaker's count
    when the head first failed."""

    subject: str
    queue: deque[Entry] = msgspec.field(default_factory=deque)
    calling: bool = False
    query_first: bool = False
    not_before: float = 0.0
    failures: int = 0
    successes_before: int = 0
    hold: Hold | None = None
    behind: int = 0


class Book:
    """All cases that have something taken in, a call under way or a hold."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self._ready: deque[str] = deque()
        self._later: list[tuple[float, str]] = []
        self._taken_in: set[str] = set()
        self.calling = 0
        self.held = 0

    @property
    def taken_in(self) -> int:
        """Dispatches in the memory's queues."""
        return len(self._taken_in)

    async def load(self, lane: Lane) -> list[tuple[Case, Intent]]:
        """Rebuild from the store; returns the cases whose intent has no outcome: their calls may have
        happened.

        What stands behind a hold is only counted. Raises ValueError, naming the case, for an entry of an
        unknown format.
        """
        for key, raw in lane.range(*ALL_HOLDS, _LOAD_MAX):
            hold = _read(decode_hold, raw, key[1:])
            self.case(hold.subject).hold = hold
            self.held += 1
        for count, (key, raw) in enumerate(lane.range(*ALL_QUEUES, _LOAD_MAX)):
            if count % _LOAD_PAUSE_EVERY == 0:
                await asyncio.sleep(0)  # the other lanes of this process go on
            case = self.case(subject_of(key))
            if case.hold is not None:
                case.behind += 1
            else:
                entry = _read(decode_entry, raw, key[1:-9])
                case.queue.append(entry)
                self._taken_in.add(entry.dispatch_id)
        recovered = []
        for key, raw in lane.range(*ALL_INTENTS, _LOAD_MAX):
            intent = _read(decode_intent, raw, key[1:])
            recovered.append((self.case(intent.subject), intent))
        for subject, case in self.cases.items():
            if case.queue:
                self._ready.append(subject)
        return recovered

    def holds(self, entry: Entry) -> bool:
        """Whether this dispatch waits here already, or is the one its case stands still at."""
        case = self.cases.get(entry.subject)
        at_hold = case is not None and case.hold is not None and case.hold.dispatch_id == entry.dispatch_id
        return at_hold or entry.dispatch_id in self._taken_in

    def case(self, subject: str) -> Case:
        """The case, made when it is new."""
        found = self.cases.get(subject)
        if found is None:
            found = self.cases[subject] = Case(subject)
        return found

    def take_in(self, entry: Entry) -> None:
        """Queue an entry behind what its case already has."""
        case = self.case(entry.subject)
        case.queue.append(entry)
        self._taken_in.add(entry.dispatch_id)
        if len(case.queue) == 1 and not case.calling:
            self._ready.append(entry.subject)

    def next_ready(self, now: float) -> Case | None:
        """A case whose head may be called now, in the order they became ready."""
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[1])
        while self._ready:
            case = self.cases.get(self._ready.popleft())
            if case is None or not case.queue or case.calling or case.hold is not None:
                continue
            if case.not_before > now:
                heapq.heappush(self._later, (case.not_before, case.subject))
                continue
            return case
        return None

    def next_due(self) -> float | None:
        """When the next delayed case becomes ready."""
        return self._later[0][0] if self._later else None

    def started(self, case: Case) -> None:
        """A call for the case's head is under way."""
        case.calling = True
        self.calling += 1

    def back(self, case: Case, not_before: float) -> None:
        """The call ended and the entry stays at the head."""
        case.calling = False
        self.calling -= 1
        case.not_before = not_before
        heapq.heappush(self._later, (not_before, case.subject))

    def finished(self, case: Case, hold: Hold | None) -> list[Entry]:
        """The head is settled and leaves. With a hold, what is behind it leaves the memory too (it stays in
        the store) and is returned."""
        case.calling = False
        self.calling -= 1
        self._taken_in.discard(case.queue.popleft().dispatch_id)
        case.failures, case.query_first, case.not_before = 0, False, 0.0
        if hold is not None:
            behind = list(case.queue)
            case.hold, case.behind = hold, case.behind + len(behind)
            self.held += 1
            self._taken_in.difference_update(entry.dispatch_id for entry in behind)
            case.queue.clear()
            return behind
        if case.queue:
            self._ready.append(case.subject)
        else:
            del self.cases[case.subject]
        return []


def _read(decode: Callable[[bytes], _T], raw: bytes, case: bytes) -> _T:
    try:
        return decode(raw)
    except ValueError as error:
        raise ValueError(f"{case.decode(errors='replace')}: {error}") from error
