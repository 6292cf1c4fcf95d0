"""The calls of one delivery lane (G4): they run beside the rolling transaction and leave what came back in a
list.

No state of a case is changed here and nothing is decided about an answer.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Final

import msgspec
import structlog

from adapters.ports import Dispatch, FormatError, MemberPort, Reply, ReplyKind, TooLate
from hub.delivery.book import Case
from hub.delivery.model import Entry
from hub.delivery.records import dispatch_of
from hub.directory.model import Delivery

log = structlog.get_logger()

# MALFORMED by our own finding, before any call: it says nothing about the member.
OURS: Final = frozenset({"undecodable", "not_expressible"})
_CODE_CHARS_MAX: Final = 64
_DETAIL_CHARS_MAX: Final = 1_000


class Done(msgspec.Struct):
    """A call that came back. too_late: it was given up before anything was written."""

    case: Case
    entry: Entry
    reply: Reply
    queried: bool
    too_late: bool = False


class Calls:
    """Calls under way. `wake` is set when one came back."""

    def __init__(self, member: str, policy: Delivery, port: MemberPort) -> None:
        self._member = member
        self._policy = policy
        self._port = port
        self._done: list[Done] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._out: set[asyncio.Task[None]] = set()
        self.wake = asyncio.Event()

    @property
    def under_way(self) -> int:
        """Calls that a member may be working on. A blind call being waited out is none of ours."""
        return len(self._out)

    @property
    def came_back(self) -> int:
        """Calls that ended and were not taken yet."""
        return len(self._done)

    def start(self, case: Case, entry: Entry, began: float, window_ms: int) -> None:
        """Query or deliver. began: own monotonic clock from before the intent's commit; window_ms is counted
        from there, because a process may be stopped between the broker's commit and its own next line."""
        task = self._spawn(self._call(case, entry, case.query_first, began + window_ms / 1000))
        self._out.add(task)
        task.add_done_callback(self._out.discard)

    def known(self, case: Case, entry: Entry, reply: Reply, *, too_late: bool) -> None:
        """An answer that came before the lane was reopened."""
        self._finish(Done(case, entry, reply, queried=False, too_late=too_late))

    def settle_blind(self, case: Case, entry: Entry, wait_s: float) -> None:
        """Report a predecessor's blind call as unknown, once it can no longer be running."""
        self._spawn(self._settle_blind(case, entry, wait_s))

    def take(self, most: int | None = None) -> list[Done]:
        """What came back since the last time, at most so many."""
        done, self._done = self._done[:most], self._done[len(self._done[:most]) :]
        if self._done:
            self.wake.set()
        return done

    async def drained(self, seconds_max: float) -> None:
        """Until no call is under way, or the time is over."""
        if self._out:
            await asyncio.wait(self._out, timeout=seconds_max)

    async def stop(self) -> None:
        """Cancel what is under way; it counts as unknown to whoever opens the lane next."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, call: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _finish(self, done: Done) -> None:
        code, detail = done.reply.code, done.reply.detail
        done.reply = msgspec.structs.replace(
            done.reply, code=_legible(code, _CODE_CHARS_MAX), detail=_legible(detail, _DETAIL_CHARS_MAX)
        )
        self._done.append(done)
        self.wake.set()

    async def _settle_blind(self, case: Case, entry: Entry, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        self._finish(Done(case, entry, Reply(kind=ReplyKind.UNKNOWN, code="restarted"), queried=False))

    async def _call(self, case: Case, entry: Entry, queried: bool, deadline: float) -> None:
        try:
            dispatch = dispatch_of(entry, self._member)
        except Exception as error:  # noqa: BLE001 - whatever a body does to its decoder, the case is parked, not the lane stopped
            malformed = Reply(kind=ReplyKind.MALFORMED, code="undecodable", detail=repr(error))
            self._finish(Done(case, entry, malformed, queried=False))
            return
        if queried:
            self._finish(
                Done(case, entry, await self._ask(dispatch, self._port.query(dispatch)), queried=True)
            )
            return
        may_start: Callable[[], bool] = lambda: time.monotonic() < deadline  # noqa: E731
        try:
            reply = await self._ask(dispatch, self._port.deliver(dispatch, may_start))
        except TooLate:
            unsent = Reply(kind=ReplyKind.UNREACHABLE, code="too_late")
            self._finish(Done(case, entry, unsent, queried=False, too_late=True))
            return
        self._finish(Done(case, entry, reply, queried=False))

    async def _ask(self, dispatch: Dispatch, asking: Coroutine[object, object, Reply]) -> Reply:
        """Await an adapter's coroutine within call_timeout_ms; whatever it raises is an answer. Raises
        TooLate."""
        try:
            async with asyncio.timeout(self._policy.call_timeout_ms / 1000):
                return await asking
        except TimeoutError:
            return Reply(kind=ReplyKind.UNKNOWN, code="timeout")
        except FormatError as error:
            where = f"{error.field} [{error.rule}; {error.standard}]: {error}"
            return Reply(kind=ReplyKind.MALFORMED, code="not_expressible", detail=where)
        except TooLate:
            raise
        except Exception as error:
            log.error("port.error", member=self._member, dispatch=dispatch.id, exc_info=error)
            return Reply(kind=ReplyKind.UNKNOWN, code="port_error", detail=repr(error))


def _legible(text: str, chars_max: int) -> str:
    """A member's words as our contracts take them: no control characters, no half surrogates, bounded."""
    if text.isprintable() and len(text) <= chars_max:
        return text
    clean = text[:chars_max].encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() else " " for c in clean).strip()
