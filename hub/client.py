"""What the command line does as a client of the gateway: submit a file signed as a member, show a case."""

import asyncio
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
import click

from hub import directory
from hub.config import Settings
from hub.errors import HubError
from signing.http_auth import sign_request

_TIMEOUT_S: Final = 30
_PATH: Final = "/v1/messages"


async def _call(
    settings: Settings, method: str, path: str, body: bytes, member: str
) -> tuple[int, dict[str, Any]]:
    """One signed request to the gateway at HUB_GATEWAY_URL. Raises HubError when it cannot be reached or the
    member has no key."""
    if not settings.gateway_url:
        raise HubError("缺少环境变量 / missing environment variable: HUB_GATEWAY_URL")
    known = directory.load(settings.directory_dir, os.environ, settings.region).members.get(member)
    if known is None or not known.auth.inbound_keys:
        raise HubError(f"成员 {member} 没有入站密钥 / member {member} has no inbound key in the environment")
    headers = sign_request(
        known.auth.inbound_keys[0].encode(),
        member,
        method,
        path,
        body,
        algorithm=known.auth.algorithm,
        timestamp_ms=int(time.time() * 1000),
        nonce=secrets.token_hex(12),
    )
    headers["Content-Type"] = "application/json"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as http,
            http.request(method, settings.gateway_url + path, data=body or None, headers=headers) as response,
        ):
            return response.status, await response.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise HubError(f"网关不可达 / gateway not reachable: {settings.gateway_url}: {error!r}") from error


async def submit_file(settings: Settings, file: Path, member: str) -> None:
    """Submit a canonical JSON document, or an array of them; prints each receipt. Raises HubError for the
    first that is refused."""
    document = json.loads(await asyncio.to_thread(file.read_bytes))
    for one in document if isinstance(document, list) else [document]:
        body = json.dumps(one, ensure_ascii=False).encode()
        status, answer = await _call(settings, "POST", _PATH, body, member)
        click.echo(json.dumps(answer, ensure_ascii=False, indent=2))
        if status >= 400:
            raise HubError(f"HTTP {status}")


async def show_case(settings: Settings, number: str, member: str = "platform") -> None:
    """Print a case's timeline as its member sees it (F07)."""
    status, answer = await _call(settings, "GET", f"/v1/cases/{number}", b"", member)
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2))
    if status >= 400:
        raise HubError(f"HTTP {status}")
