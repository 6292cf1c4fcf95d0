"""Takes a member's outbox to the gateway: one message of a case after the other, re-sent with the same source
key until a receipt is given (G8).

Nothing here decides what to say or how it is written: a message leaves the outbox only with a receipt or with
a final refusal written down.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from stubs.model import Planned
from stubs.storage import OutboxRow, Storage

SENDS_IN_FLIGHT_MAX: Final = 16
ROWS_IN_MEMORY_MAX: Final = 5_000
RETRY_DELAY_MS_MIN: Final = 100
RETRY_DELAY_MS_MAX: Final = 3_000

log = logging.getLogger("stubs.courier")


class TryAgain(Exception):
    """No receipt yet: the gateway is away or busy. The message stays in the outbox."""


class Rejected(Exception):
    """The gateway refused the message for good; its answer is kept beside the message."""


class Sender(Protocol):
    """A member's way of speaking to the gateway; open while the courier runs."""

    async def __aenter__(self) -> "Sender": ...

    async def __aexit__(self, *_exception: object) -> None: ...

    async def send(self, planned: Planned) -> dict[str, Any]:
        """The receipt of one message. Raises TryAgain or Rejected."""
        ...


class Courier:
    """Sends the outbox: rows of one line one after the other, up to `in_flight_max` lines at once."""

    def __init__(
        self,
        storage: Storage,
        sender: Sender,
        on_receipt: Callable[[Planned, dict[str, Any]], None],
        *,
        in_flight_max: int = SENDS_IN_FLIGHT_MAX,
    ) -> None:
        self._storage, self._sender, self._on_receipt = storage, sender, on_receipt
        self._in_flight_max = in_flight_max
        self._lines: dict[str, deque[OutboxRow]] = {}
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._loaded_seq = 0
        self._in_memory = 0
        self._wake = asyncio.Event()
        self._not_before = 0.0
        self._delay_ms = RETRY_DELAY_MS_MIN

    def wake(self) -> None:
        """There may be new rows in the outbox."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        async with self._sender, asyncio.TaskGroup() as group:
            for _ in range(self._in_flight_max):
                group.create_task(self._work())
            while True:
                self._load()
                await self._wake.wait()
                self._wake.clear()

    def _load(self) -> None:
        room = ROWS_IN_MEMORY_MAX - self._in_memory
        if room <= 0:
            return
        for row in self._storage.waiting(self._loaded_seq, room):
            self._loaded_seq = row.seq
            self._in_memory += 1
            queue = self._lines.get(row.line)
            if queue is None:
                self._lines[row.line] = deque((row,))
                self._ready.put_nowait(row.line)
            else:
                queue.append(row)

    async def _work(self) -> None:
        while True:
            line = await self._ready.get()
            await self._rest()
            row = self._lines[line][0]
            try:
                await self._send(row)
            except TryAgain as reason:
                self._storage.count_attempt(row.seq, str(reason))
                self._slow_down()
                self._ready.put_nowait(line)
                continue
            self._delay_ms = RETRY_DELAY_MS_MIN
            self._done(line)

    async def _rest(self) -> None:
        seconds = self._not_before - time.monotonic()
        if seconds > 0:
            await asyncio.sleep(seconds)

    def _slow_down(self) -> None:
        if self._not_before < time.monotonic():
            self._not_before = time.monotonic() + self._delay_ms / 1000
            self._delay_ms = min(self._delay_ms * 2, RETRY_DELAY_MS_MAX)

    def _done(self, line: str) -> None:
        queue = self._lines[line]
        queue.popleft()
        self._in_memory -= 1
        if queue:
            self._ready.put_nowait(line)
        else:
            del self._lines[line]
        if self._in_memory < ROWS_IN_MEMORY_MAX // 2:
            self._wake.set()

    async def _send(self, row: OutboxRow) -> None:
        planned = row.planned
        try:
            receipt = await self._sender.send(planned)
        except Rejected as refusal:
            log.warning("%s %s 被拒 / rejected: %s", planned.type, planned.source_ref, refusal)
            self._storage.settle(row.seq, "rejected", str(refusal))
            return
        # Receipt, what it teaches and what follows from it: one transaction, or none of it.
        with self._storage.transaction():
            self._storage.settle(row.seq, "sent", msgspec.json.encode(receipt).decode())
            self._on_receipt(planned, receipt)
        self.wake()
