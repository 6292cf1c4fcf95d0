"""Virtual time: an event loop that never waits, because its clock jumps to the next thing due."""

import asyncio
import contextlib
import selectors
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from random import Random
from typing import Any, TypeVar

STEP_S = 1e-6  # even work takes time: who waits for a moment must not wait for ever at the same one
EPOCH_S = 1_760_000_000.0
T = TypeVar("T")


class _Never(selectors.DefaultSelector):
    """Instead of waiting for sockets (there are none), time passes."""

    passed: Callable[[float], None]

    def select(self, timeout: float | None = None) -> list[Any]:
        self.passed(timeout or 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual and moves only when nothing is ready."""

    def __init__(self) -> None:
        selector = _Never()
        self.now = 0.0
        selector.passed = self._pass
        super().__init__(selector)

    def _pass(self, seconds: float) -> None:
        self.now += max(seconds, STEP_S)

    def time(self) -> float:
        return self.now


async def _inline(work: Callable[..., T], *arguments: Any) -> T:
    return work(*arguments)


@contextlib.contextmanager
def virtual(loop: VirtualLoop, chance: Random) -> Iterator[None]:
    """Within: `time` is the loop's, `uuid4` and threads are not left to chance."""
    replaced: list[tuple[Any, str, Any]] = [
        (time, "monotonic", lambda: loop.now),
        (time, "time", lambda: EPOCH_S + loop.now),
        (uuid, "uuid4", lambda: uuid.UUID(int=chance.getrandbits(128))),
        (asyncio, "to_thread", _inline),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    for owner, name, new in replaced:
        setattr(owner, name, new)
    try:
        yield
    finally:
        for owner, name, old in before:
            setattr(owner, name, old)


async def _end_of_all() -> None:
    """Nothing of a schedule outlives it."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def run(work: Callable[[], Coroutine[Any, Any, T]], chance: Random) -> T:
    """Run to the end in virtual time."""
    loop = VirtualLoop()
    try:
        with virtual(loop, chance):
            try:
                return loop.run_until_complete(work())
            finally:
                loop.run_until_complete(_end_of_all())
    finally:
        loop.close()
