"""Continuous load: cases whose steps keep coming, put on case.inbound or handed to the gateway, in order
per case.

What was acknowledged is kept here: it is what must be found again. No judging in this module.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec

from hub import directory, envelope, ids
from hub.config import Settings
from hub.errors import BrokerAway
from hub.kafka import IntakeProducer
from schemas import codec, contracts, samples, validate
from signing.http_auth import HMAC_SHA256, sign_request
from tests.faults.town import inbound_key

DIRECTORY = Path(__file__).parent / "directory"
STEPS = 6
CASES_AT_ONCE = 24
SEND_AGAIN_S = 0.3
_BASE_MS = 2_000_000_000_000  # in 2033: never older than closed_case_keep_days
_KNOWN = directory.load(DIRECTORY)
ITEM = next(iter(_KNOWN.items.values()))
REGION, OWNER = next(iter(ITEM.owners.items()))
ORG = _KNOWN.members[OWNER].org_code


@dataclass(frozen=True)
class Sent:
    """One message: what identifies it and where it stands in its case. document: as a member hands it
    in."""

    id: str
    case: str
    step: int
    type: str
    source: str
    body: dict[str, object]
    reference: str
    case_reference: str

    @property
    def time_ms(self) -> int:
        """Business time: steps of a case a second apart."""
        return _BASE_MS + self.step * 1_000


def a_case(name: str, steps: int = STEPS) -> list[Sent]:
    """Submitted by the platform, accepted by the bureau, then process steps."""
    case = ids.case_number("platform", "", name)
    made = []
    for step in range(steps):
        type_ = ("case.submitted", "case.accepted")[step] if step < 2 else "case.process_step"
        source = "platform" if step == 0 else OWNER
        reference = f"{name}/{step}"
        id_ = ids.message_id(source, "", reference, type_, 1)
        made.append(Sent(id_, case, step, type_, source, _body(type_), reference, name))
    return made


def _body(type_: str) -> dict[str, object]:
    body = dict(samples.body(type_))
    if type_ == "case.submitted":
        body |= {"item": ITEM.code, "itemVersion": 1, "region": REGION, "materials": []}
    else:
        body["org"] = {"code": ORG, "name": "局"}
        if type_ == "case.accepted":
            body["region"] = REGION
            del body["window"]
    return body


def message_of(one: Sent) -> envelope.Message:
    """The message as a gateway writes it."""
    contract = contracts.load().by_type(one.type)
    body = validate.check(contract, one.body)
    lifted = validate.routing(contract, body, lambda kind, number: f"p{number[-6:]}")
    return envelope.Message(
        id=one.id,
        source=one.source,
        type=one.type,
        subject=one.case,
        time_ms=one.time_ms,
        value=codec.encode(contract, body),
        region=lifted.pop("region", ""),
        item=lifted.pop("item", ""),
        source_key=one.reference,
        digest=ids.content_digest(one.type, [one.reference]),
        attributes=lifted,
    )


class Load:
    """Sends until told to stop; a message without an acknowledgement is sent again until it has one."""

    def __init__(self, send: Callable[[Sent], Awaitable[bool]], rate: float, label: str) -> None:
        self._send = send
        self._rate = rate
        self._label = label
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        self._free = asyncio.Semaphore(CASES_AT_ONCE)
        self._cases: set[asyncio.Task[None]] = set()
        self.acknowledged: dict[str, Sent] = {}
        self.sent_again = 0
        self.began = self.ended = 0.0

    def start(self) -> None:
        """Begin in the background."""
        self.began = time.monotonic()
        self._task = asyncio.create_task(self._run(), name="load")

    async def stop(self) -> None:
        """No new case; cases under way are sent to their end."""
        self._ending = True
        assert self._task is not None
        await self._task
        self.ended = time.monotonic()

    async def _run(self) -> None:
        numbers: Iterator[int] = iter(range(1 << 30))
        while not self._ending:
            await self._free.acquire()
            case = asyncio.create_task(self._one(a_case(f"{self._label} {next(numbers)}")))
            self._cases.add(case)
            case.add_done_callback(self._done)
            await asyncio.sleep(STEPS / self._rate)
        await asyncio.gather(*list(self._cases))

    def _done(self, case: "asyncio.Task[None]") -> None:
        self._cases.discard(case)
        self._free.release()
        case.result()

    async def _one(self, steps: list[Sent]) -> None:
        for one in steps:
            while not await self._send(one):
                self.sent_again += 1
                await asyncio.sleep(SEND_AGAIN_S)
            self.acknowledged[one.id] = one


class Direct:
    """Puts messages on case.inbound with acks=all, as a gateway does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: IntakeProducer | None = None

    async def send(self, one: Sent) -> bool:
        """True when the broker acknowledged."""
        try:
            if self._producer is None:
                producer = IntakeProducer(self._settings)
                await producer.start()
                if self._producer is None:
                    self._producer = producer
                else:
                    await producer.stop()  # another sender was faster
            made = message_of(one)
            headers = envelope.to_headers(made)
            await self._producer.send("case.inbound", made.subject.encode(), made.value, headers)
        except BrokerAway:
            return False
        return True

    async def close(self) -> None:
        """Let go of the connection."""
        if self._producer is not None:
            await self._producer.stop()


class ThroughGateway:
    """Hands messages to gateways as signed requests; a receipt counts, anything else is sent again,
    elsewhere if possible."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=12))
        self._calls = 0

    async def send(self, one: Sent) -> bool:
        """True when a receipt came. Raises AssertionError when the gateway refuses: the load is valid."""
        document: dict[str, object] = {
            "type": one.type,
            "sourceRef": one.reference,
            "occurredAt": f"2026-03-01T09:00:{one.step:02d}+08:00",
            "body": one.body,
            **({"caseRef": one.case_reference} if one.step == 0 else {"caseNo": one.case}),
        }
        body = msgspec.json.encode(document)
        headers = sign_request(
            inbound_key(one.source).encode(),
            one.source,
            "POST",
            "/v1/messages",
            body,
            algorithm=HMAC_SHA256,
            timestamp_ms=time.time_ns() // 1_000_000,
            nonce=secrets.token_urlsafe(12),
        )
        self._calls += 1
        url = self._urls[self._calls % len(self._urls)]
        try:
            async with self._http.post(
                url + "/v1/messages", data=body, headers={**headers, "Content-Type": "application/json"}
            ) as answer:
                said = await answer.read()
                assert answer.status < 300 or answer.status >= 500 or answer.status == 429, said
                if answer.status >= 300:
                    return False
                assert msgspec.json.decode(said)["messageId"] == one.id
                return True
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.close()
