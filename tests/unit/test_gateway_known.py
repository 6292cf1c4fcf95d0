"""Requests for one message wait for each other, whatever becomes of the first; others do not wait."""

import asyncio

import pytest

from hub.gateway.known import Known

A, B = "aa" * 16, "bb" * 16
DIGEST = "cc" * 32


async def test_r02_the_second_request_for_an_id_sees_what_the_first_was_told() -> None:
    known = Known()
    first_is_in, first_may_go = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with known.claim([A]) as found:
            assert found == {}
            first_is_in.set()
            await first_may_go.wait()
            known.remember(A, DIGEST)

    async def second() -> dict[str, str]:
        async with known.claim([B, A]) as found:
            return found

    one = asyncio.create_task(first())
    await first_is_in.wait()
    two = asyncio.create_task(second())
    async with known.claim([]):
        await asyncio.sleep(0)
    assert not two.done()
    first_may_go.set()
    assert await two == {A: DIGEST}
    await one


async def test_an_id_is_free_again_after_a_failure_inside_or_before_the_block() -> None:
    async def broken(_: list[str]) -> dict[str, str]:
        raise RuntimeError("a defect of the look-up")

    known = Known()
    with pytest.raises(ZeroDivisionError):
        async with known.claim([A, B]):
            raise ZeroDivisionError
    known._find = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        async with known.claim([A, B]):
            raise AssertionError("not entered")
    assert not known._claimed


async def test_who_gives_up_waiting_holds_nothing() -> None:
    known = Known()
    async with known.claim([B]):

        async def both() -> None:
            async with known.claim([A, B]):
                raise AssertionError("not entered")

        waiting = asyncio.create_task(both())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with known.claim([A]) as found:
            assert found == {}
    assert not known._claimed
