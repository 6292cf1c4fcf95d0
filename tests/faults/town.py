"""The receivers of the fault matrix: members over real HTTP that keep a book of what they did and can be
told to misbehave.

A member's book is the only place that shows a second effect. Nothing here knows the hub's topics.
"""

import asyncio
import enum
import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass, field

from aiohttp import web

SLOW_S = 10.0
IDEMPOTENT = frozenset({"platform", "bureau"})
QUERYABLE = frozenset({"overseer"})
BLIND = frozenset({"archive"})
MEMBERS = (*sorted(IDEMPOTENT), *sorted(QUERYABLE), *sorted(BLIND))


class Mood(enum.StrEnum):
    """How a member answers a delivery. What is said to fail happens to every second call, with and
    without effect in turn."""

    WELL = "well"
    SLOW = "slow"  # the effect at once, the answer after SLOW_S
    ERROR = "error"  # 500, half of them after the work was done
    GARBAGE = "garbage"  # 200 and bytes that mean nothing, half of them after the work was done
    CUT = "cut"  # the request is read, the connection closed, nothing done
    LOST_REPLY = "lost_reply"  # the work is done, the connection closed without an answer


@dataclass(frozen=True)
class Effect:
    """One thing a member's business did. at: monotonic seconds."""

    dispatch: str
    message: str
    case: str
    at: float


@dataclass
class Receiver:
    """One member: its book and its mood. A repeat is absorbed only by an idempotent one."""

    name: str
    mood: Mood = Mood.WELL
    effects: list[Effect] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    calls: int = 0
    queries: int = 0
    seen: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def _do(self, document: dict[str, str]) -> None:
        self.held.add(document["dispatchId"])
        self.effects.append(
            Effect(document["dispatchId"], document["messageId"], document["caseNo"], time.monotonic())
        )

    async def deliver(self, request: web.Request) -> web.StreamResponse:
        document = json.loads(await request.read())
        self.calls += 1
        if self.name in IDEMPOTENT and document["dispatchId"] in self.held:
            return web.json_response({"status": "already_done"})
        mood = self.mood if self.calls % 2 else Mood.WELL
        with_effect = self.calls % 4 == 1
        if mood in (Mood.WELL, Mood.SLOW, Mood.LOST_REPLY) or (
            with_effect and mood in (Mood.ERROR, Mood.GARBAGE)
        ):
            self._do(document)
        if mood is Mood.SLOW:
            await asyncio.sleep(SLOW_S)
        if mood is Mood.ERROR:
            return web.json_response({"error": "out of order"}, status=500)
        if mood is Mood.GARBAGE:
            return web.Response(body=os.urandom(64), content_type="application/json")
        if mood in (Mood.CUT, Mood.LOST_REPLY):
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.json_response({"status": "done"})

    async def query(self, request: web.Request) -> web.StreamResponse:
        self.queries += 1
        found = request.match_info["id"] in self.held
        return web.json_response({"status": "done" if found else "absent"}, status=200 if found else 404)


class Town:
    """All members, each with a port of its own that can be closed and opened again."""

    def __init__(self) -> None:
        self.receivers = {name: Receiver(name) for name in MEMBERS}
        self._runners: dict[str, web.AppRunner] = {}
        self._ports: dict[str, int] = {}

    async def __aenter__(self) -> "Town":
        for name in MEMBERS:
            await self.open(name)
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self._runners):
            await self.close(name)

    async def open(self, name: str) -> None:
        """Listen; on the same port as before after `close`."""
        app = web.Application(client_max_size=4 << 20)
        app.router.add_post("/hub/dispatches", self.receivers[name].deliver)
        app.router.add_get("/hub/dispatches/{id}", self.receivers[name].query)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._ports.get(name, 0), reuse_address=True).start()
        self._ports[name] = runner.addresses[0][1]
        self._runners[name] = runner

    async def close(self, name: str) -> None:
        """Away: connections are refused."""
        await self._runners.pop(name).cleanup()

    def env(self) -> dict[str, str]:
        """The members' addresses and keys as the roles take them."""
        made: dict[str, str] = {}
        for name in MEMBERS:
            prefix = f"HUB_MEMBER_{name.upper()}_"
            made[prefix + "URL"] = f"http://127.0.0.1:{self._ports[name]}"
            made[prefix + "OUTBOUND_KEY"] = "outbound-key-" + name * 2
            made[prefix + "INBOUND_KEY"] = inbound_key(name)
        return made

    def all_moods(self, mood: Mood) -> None:
        """Set every member's mood."""
        for receiver in self.receivers.values():
            receiver.mood = mood


def inbound_key(name: str) -> str:
    """The key a member signs its requests with."""
    return "inbound-key-" + name * 2
