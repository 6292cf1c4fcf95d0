"""Which message ids came in before, and with which content: a re-send gets its receipt again, other content
is a conflict (R2, G8).

A bounded memory of this process, then the projector's table. Neither is the truth: the router is, and it
finds what both have forgotten.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

LookUp = Callable[[list[str]], Awaitable[dict[str, str]]]
"""Message ids -> {id: digest} of those on record. Raises OSError or TimeoutError when the records cannot be
read now."""

IDS_MAX: Final = 100_000
LOOK_UP_IDS_MAX: Final = 500


class Known:
    """Digest per message id. `claim` also makes requests for one id in one process wait for each other."""

    def __init__(self, look_up: LookUp | None = None, *, ids_max: int = IDS_MAX) -> None:
        self._digests: OrderedDict[bytes, bytes] = OrderedDict()
        self._ids_max = ids_max
        self._claimed: dict[str, asyncio.Future[None]] = {}
        self._look_up = _Gathered(look_up) if look_up is not None else None

    def claim(self, ids: Sequence[str]) -> "_Claim":
        """Hold these ids until the block ends; gives {id: digest} of those that came in before.

        Without it two requests with one id and different content, arriving together, would both find nothing
        and both get a receipt.
        """
        return _Claim(self._claimed, ids, self._find)

    def remembers(self, id_: str) -> str | None:
        """The digest this process acknowledged for an id, or None."""
        digest = self._digests.get(bytes.fromhex(id_))
        return None if digest is None else digest.hex()

    def remember(self, id_: str, digest: str) -> None:
        """Note an id that the broker acknowledged (or that is on record). The oldest is forgotten beyond
        ids_max."""
        self._digests[bytes.fromhex(id_)] = bytes.fromhex(digest)
        if len(self._digests) > self._ids_max:
            self._digests.popitem(last=False)

    async def _find(self, ids: list[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        unknown: list[str] = []
        for id_ in ids:
            digest = self.remembers(id_)
            if digest is None:
                unknown.append(id_)
            else:
                found[id_] = digest
        if unknown and self._look_up is not None:
            recorded = await self._look_up.find(unknown)
            for id_, digest in recorded.items():
                self.remember(id_, digest)
            found.update(recorded)
        return found


class _Claim:
    """Ids held by one request. A class, because a generator's context manager costs as much as the rest."""

    def __init__(
        self,
        claimed: dict[str, asyncio.Future[None]],
        ids: Sequence[str],
        find: Callable[[list[str]], Awaitable[dict[str, str]]],
    ) -> None:
        self._claimed, self._ids, self._find = claimed, ids, find
        self._held: list[str] = []

    async def __aenter__(self) -> dict[str, str]:
        claimed = self._claimed
        try:
            # In sorted order: two documents that share ids cannot wait for each other.
            for id_ in sorted(set(self._ids)):
                while (other := claimed.get(id_)) is not None:
                    await asyncio.wait((other,))
                claimed[id_] = asyncio.get_running_loop().create_future()
                self._held.append(id_)
            return await self._find(self._held)
        except BaseException:
            self._release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        for id_ in self._held:
            self._claimed.pop(id_).set_result(None)


class _Gathered:
    """Look-ups of many requests in one query: while one query runs, the ids of the next gather."""

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        self._waiting: list[tuple[list[str], asyncio.Future[dict[str, str]]]] = []
        self._running: asyncio.Task[None] | None = None

    async def find(self, ids: list[str]) -> dict[str, str]:
        """{id: digest} of those on record; nothing when the records are away: the router still finds a
        conflict then."""
        answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._waiting.append((ids, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, []
                for start in range(0, len(asked), LOOK_UP_IDS_MAX):
                    await self._answer(asked[start : start + LOOK_UP_IDS_MAX])
        finally:
            self._running = None

    async def _answer(self, asked: list[tuple[list[str], "asyncio.Future[dict[str, str]]"]]) -> None:
        try:
            found = await self._look_up([id_ for ids, _ in asked for id_ in ids])
        except (OSError, TimeoutError):
            found = {}
        for ids, answer in asked:
            if not answer.done():
                answer.set_result({id_: found[id_] for id_ in ids if id_ in found})
