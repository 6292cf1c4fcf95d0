"""A task that is to end ends, though a cancellation was lost."""

import asyncio

from hub.ending import ended


async def test_a_task_that_lost_a_cancellation_is_cancelled_again() -> None:
    """As `asyncio.wait_for` of Python 3.11 does when the answer comes in the same moment."""
    lost = 0

    async def works() -> None:
        nonlocal lost
        while lost < 1:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                lost += 1
        await asyncio.sleep(3_600)

    task = asyncio.create_task(works())
    await asyncio.sleep(0)
    await ended(task, again_s=0.01)
    assert task.cancelled()
    assert lost == 1


async def test_an_orderly_ending_is_given_its_time_and_its_error_is_nobodys() -> None:
    tidied = []

    async def works() -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            await asyncio.sleep(0.05)
            tidied.append(True)
            raise ValueError("ended otherwise")

    task = asyncio.create_task(works())
    await asyncio.sleep(0)
    await ended(task)
    assert tidied == [True]
