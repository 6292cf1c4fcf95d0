"""What a delivery lane knows of its cases in memory: who is ready, who is being called, what waits.
Rebuilt from the store at opening.

Only bookkeeping: no Kafka, no HTTP, no decisions about replies. A case that stands still is not here: its
hold and its queue lie in the store, so memory does not grow with what nobody repairs.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import msgspec

from hub.delivery.model import (
    ALL_HOLDS,
    ALL_INTENTS,
    ALL_QUEUES,
    Entry,
    Intent,
    decode_entry,
    decode_hold,
    decode_intent,
    subject_of,
)
from hub.lanes.lane import Lane

# Of one case's queue so many entries are in memory; the rest follows from the store.
CASE_ENTRIES_MAX: Final = 50
_LOAD_MAX: Final = 10_000_000
_LOAD_PAUSE_EVERY: Final = 500
_T = TypeVar("_T")


class Case(msgspec.Struct):
    """One case's queue for this member. failures: of the head entry. successes_before: the breaker's count
    when the head first failed. rest: entries in the store behind those in memory."""

    subject: str
    queue: deque[Entry] = msgspec.field(default_factory=deque)
    calling: bool = False
    query_first: bool = False
    not_before: float = 0.0
    failures: int = 0
    successes_before: int = 0
    rest: int = 0
    last_seq: int = -1


class Book:
    """All cases that have something taken in or a call under way."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self._ready: deque[str] = deque()
        self._later: list[tuple[float, str]] = []
        self._taken_in: set[str] = set()
        self._hungry: dict[str, None] = {}
        self.calling = 0
        self.held = 0

    @property
    def taken_in(self) -> int:
        """Dispatches in the memory's queues."""
        return len(self._taken_in)

    async def load(self, lane: Lane) -> list[Intent]:
        """Rebuild from the store; returns the intents without an outcome: their calls may have happened.

        What stands still is only counted. Raises ValueError, naming the case, for an entry of an unknown
        format.
        """
        holds = _held_subjects(lane)
        held = next(holds, None)
        for count, (key, raw) in enumerate(lane.range(*ALL_QUEUES, _LOAD_MAX)):
            if count % _LOAD_PAUSE_EVERY == 0:
                await asyncio.sleep(0)  # the other lanes of this process go on
            subject = key[1:-9]
            # Both ranges are in the order of the case numbers.
            while held is not None and held < subject:
                self.held, held = self.held + 1, next(holds, None)
            if held != subject:
                self._load_entry(self.case(subject_of(key)), key, raw)
        while held is not None:
            self.held, held = self.held + 1, next(holds, None)
        intents = [_read(decode_intent, raw, key[1:]) for key, raw in lane.range(*ALL_INTENTS, _LOAD_MAX)]
        for subject_, case in self.cases.items():
            if case.queue:
                self._ready.append(subject_)
        return intents

    def _load_entry(self, case: Case, key: bytes, raw: bytes) -> None:
        entry = _read(decode_entry, raw, key[1:-9])
        if case.rest or len(case.queue) >= CASE_ENTRIES_MAX or not entry.headers:
            case.rest += 1
            if not case.queue:
                self._hungry[case.subject] = None
        else:
            self.append(case, entry)

    def holds(self, entry: Entry) -> bool:
        """Whether this dispatch waits here already."""
        return entry.dispatch_id in self._taken_in

    def case(self, subject: str) -> Case:
        """The case, made when it is new."""
        found = self.cases.get(subject)
        if found is None:
            found = self.cases[subject] = Case(subject)
        return found

    def append(self, case: Case, entry: Entry) -> None:
        """Put an entry behind what the case has in memory, without making it ready."""
        case.queue.append(entry)
        case.last_seq = entry.seq
        self._taken_in.add(entry.dispatch_id)

    def take_in(self, entry: Entry) -> None:
        """Queue an entry behind what its case already has."""
        case = self.case(entry.subject)
        if case.rest or len(case.queue) >= CASE_ENTRIES_MAX:
            case.rest += 1
            return
        self.append(case, entry)
        if len(case.queue) == 1 and not case.calling:
            self._ready.append(entry.subject)

    def released(self, subject: str, rest: int) -> Case:
        """A case that stood still goes on with `rest` entries, all of them in the store."""
        self.held -= 1
        case = self.case(subject)
        case.rest, case.last_seq = rest, -1
        if rest:
            self._hungry[subject] = None
        else:
            del self.cases[subject]
        return case

    def hungry(self) -> list[Case]:
        """Cases with an empty queue in memory and entries in the store."""
        found, self._hungry = [self.cases[subject] for subject in self._hungry], {}
        return found

    @property
    def is_hungry(self) -> bool:
        """Whether a case waits for its entries."""
        return bool(self._hungry)

    def ready(self, case: Case) -> None:
        """Its head may be called."""
        self._ready.append(case.subject)

    def next_ready(self, now: float) -> Case | None:
        """A case whose head may be called now, in the order they became ready."""
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[1])
        while self._ready:
            case = self.cases.get(self._ready.popleft())
            if case is None or not case.queue or case.calling:
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

    def finished(self, case: Case) -> None:
        """The head is settled and leaves."""
        case.calling = False
        self.calling -= 1
        self._taken_in.discard(case.queue.popleft().dispatch_id)
        case.failures, case.query_first, case.not_before = 0, False, 0.0
        if case.queue:
            self._ready.append(case.subject)
        elif case.rest:
            self._hungry[case.subject] = None
        else:
            del self.cases[case.subject]

    def stands_still(self, case: Case) -> list[Entry]:
        """The call for the head ended and the case leaves the memory with all it has; it stays in the store.
        Returns what waits behind the head, as far as it was in memory."""
        self.calling -= 1
        self.held += 1
        behind = list(case.queue)[1:]
        self._taken_in.difference_update(entry.dispatch_id for entry in case.queue)
        del self.cases[case.subject]
        return behind


def _held_subjects(lane: Lane) -> Iterator[bytes]:
    for key, raw in lane.range(*ALL_HOLDS, _LOAD_MAX):
        _read(decode_hold, raw, key[1:])
        yield key[1:]


def _read(decode: Callable[[bytes], _T], raw: bytes, case: bytes) -> _T:
    try:
        return decode(raw)
    except ValueError as error:
        raise ValueError(f"{case.decode(errors='replace')}: {error}") from error
