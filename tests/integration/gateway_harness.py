"""A real gateway on a real broker for the tests: started in this process, spoken to over TCP, read back with
read_committed."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from hub.config import Settings
from hub.gateway import app, server
from hub.kafka import Admin, Record, open_reader
from schemas import samples
from signing.http_auth import HMAC_SHA256, HMAC_SM3, sign_request

KEYS = {name: f"inbound-key-of-{name}".encode() for name in ("platform", "dept-a", "window-haikou", "credit")}
SP_KEY, SP_SECRET = "rs2009", "a-secret-of-2009"
ENV = {
    f"HUB_MEMBER_{name.upper().replace('-', '_')}_INBOUND_KEY": key.decode() for name, key in KEYS.items()
} | {
    "HUB_MEMBER_DEPT_B_SP_KEY": SP_KEY,
    "HUB_MEMBER_DEPT_B_SP_SECRET": SP_SECRET,
}


def settings_for(bootstrap: str, prefix: str, directory: Path, **changes: Any) -> Settings:
    """Settings of one test's gateway."""
    return msgspec.structs.replace(
        Settings.from_env(
            {
                "HUB_KAFKA_BOOTSTRAP": bootstrap,
                "HUB_TOPIC_PREFIX": prefix,
                "HUB_DATA_DIR": str(directory),
                "HUB_PSEUDONYM_KEY": "test-pseudonym-key-of-32-bytes!!",
                "HUB_GATEWAY_LISTEN": "127.0.0.1:0",
            }
        ),
        **changes,
    )


class Gateway:
    """A running gateway and a client for it."""

    def __init__(self, settings: Settings, url: str, client: aiohttp.ClientSession) -> None:
        self.settings, self.url, self.client = settings, url, client

    async def call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        """(status, JSON or text, headers)."""
        async with self.client.request(method, self.url + path, data=body or None, headers=headers) as answer:
            raw = await answer.read()
            is_json = answer.content_type == "application/json"
            return (
                answer.status,
                msgspec.json.decode(raw) if is_json else raw.decode("utf-8", "replace"),
                answer.headers,
            )

    async def signed(
        self,
        member: str,
        method: str,
        path: str,
        body: bytes = b"",
        media_type: str = "application/json",
        **claim: Any,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """A call with the member's signature; claim overrides key, timestamp_ms, nonce, algorithm."""
        headers = signature(member, method, path, body, **claim)
        return await self.call(method, path, body, headers | ({"Content-Type": media_type} if body else {}))

    async def submit(
        self, member: str, document: Mapping[str, Any], **claim: Any
    ) -> tuple[int, Any, Mapping[str, str]]:
        """POST /v1/messages."""
        return await self.signed(member, "POST", "/v1/messages", msgspec.json.encode(document), **claim)

    def sign(self, member: str, method: str, path: str, body: bytes = b"") -> dict[str, str]:
        """The headers of a signed request."""
        return signature(member, method, path, body)

    async def call_raw(self, path: str) -> Any:
        """The JSON of a GET, whatever its media type is called."""
        async with self.client.get(self.url + path) as answer:
            return msgspec.json.decode(await answer.read())

    async def inbound(self) -> list[Record]:
        """Every committed record of case.inbound."""
        return await read_topic(self.settings, "case.inbound")


def signature(member: str, method: str, path: str, body: bytes, **claim: Any) -> dict[str, str]:
    """The five headers of a member's request."""
    algorithm = claim.get("algorithm", HMAC_SM3 if member == "dept-a" else HMAC_SHA256)
    return sign_request(
        claim.get("key", KEYS.get(member, b"no-such-key")),
        member,
        method,
        path,
        body,
        algorithm=algorithm,
        timestamp_ms=claim.get("timestamp_ms", int(time.time() * 1000)),
        nonce=claim.get("nonce", secrets.token_urlsafe(12)),
    )


def document(type_: str = "case.submitted", **changes: Any) -> dict[str, Any]:
    """A valid message in canonical JSON; changes replace its top-level members."""
    made = {
        "type": type_,
        "sourceRef": "YTH-2025-000001",
        "occurredAt": "2025-03-03T09:15:00",
        "body": samples.body(type_),
    }
    if type_ == "case.submitted":
        made["caseRef"] = "YTH-2025-000001"
    return made | changes


async def read_topic(settings: Settings, topic: str) -> list[Record]:
    """Every committed record of a topic, per partition in order."""
    async with open_reader(settings) as reader:
        places = await reader.partitions([settings.topic(topic)])
        return [r async for batch in reader.read_to_stable(await reader.start_offsets(places)) for r in batch]


@contextlib.asynccontextmanager
async def running_gateway(settings: Settings, *, create_topic: bool = True) -> AsyncIterator[Gateway]:
    """A gateway in this event loop on a free port, ready to give receipts when the broker is there."""
    if create_topic:
        async with Admin(settings) as admin:
            await admin.create(settings.topic("case.inbound"), 3, 1, {"max.message.bytes": str(1 << 20)})
    listening = server.bind(settings.gateway_listen)
    stop = asyncio.Event()
    role = asyncio.create_task(app.serve(settings, stop, listening=listening, env=ENV))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with aiohttp.ClientSession() as client:
        gateway = Gateway(settings, url, client)
        try:
            if create_topic:
                async with asyncio.timeout(20):
                    while (await gateway.call("GET", "/readyz"))[0] != 200:
                        await asyncio.sleep(0.05)
            yield gateway
        finally:
            stop.set()
            await role
