"""Ending a task that runs until it is cancelled. Nothing else lives here."""

import asyncio
from typing import Any, Final

import structlog

log = structlog.get_logger()

AGAIN_S: Final = 15.0
"""Longer than any orderly ending takes: a second cancellation interrupts it."""


async def ended(task: "asyncio.Task[Any]", again_s: float = AGAIN_S) -> None:
    """Cancel and wait until the task is over, however it ends.

    A cancellation can be lost: `asyncio.wait_for` of Python 3.11, under every request of aiokafka, gives the
    answer that came in the same moment and forgets that it was cancelled. The task would then run for ever,
    and whoever waits for its end with it.
    """
    while True:
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=again_s)
        if done:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.debug("task.ended", task=task.get_name(), reason=repr(error))
            return
        log.warning("task.cancelled_again", task=task.get_name())
