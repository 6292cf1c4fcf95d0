"""Time stamps over signed roots: from an outside service by HTTP, or by the hub's own where there is none.
The tokens themselves are in signing/."""

import secrets
import time
from datetime import UTC, datetime
from typing import Final, Protocol

import aiohttp

from hub.config import Settings, SettingsError
from hub.errors import HubError
from hub.evidence.identity import STAMPER, load_identity
from signing.errors import SigningError
from signing.issuing import Identity
from signing.provider import SoftwareProvider
from signing.timestamp_protocol import REQUEST_TYPE, make_request, token_of
from signing.timestamps import TOKEN_BYTES_MAX, make_token

STAMP_TIMEOUT_S: Final = 15.0
# A private arc: says only "stamped by the hub itself".
OWN_POLICY: Final = "1.3.6.1.4.1.0.46.1"


class StampAway(HubError):
    """No time stamp now; roots wait for it."""


class Stamper(Protocol):
    """Gives a time-stamp token (DER) over bytes."""

    async def stamp(self, data: bytes) -> bytes:
        """Raises StampAway."""
        ...

    async def close(self) -> None: ...


class OwnStamper:
    """The hub's own time-stamp service: it proves no more than the hub's own clock, and the verifier says
    whose stamp it was."""

    def __init__(self, provider: SoftwareProvider, service: Identity) -> None:
        self._provider = provider
        self._service = service

    async def stamp(self, data: bytes) -> bytes:
        return make_token(
            self._provider,
            self._service,
            data,
            at=datetime.now(UTC).replace(microsecond=0),
            serial=time.time_ns(),
            policy=OWN_POLICY,
        )

    async def close(self) -> None:
        return None


class RemoteStamper:
    """A time-stamp service at an http(s) address (RFC 3161 section 3.4)."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http: aiohttp.ClientSession | None = None

    async def stamp(self, data: bytes) -> bytes:
        nonce = secrets.randbits(63)
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=STAMP_TIMEOUT_S))
        try:
            async with self._http.post(
                self._url, data=make_request(data, nonce), headers={"Content-Type": REQUEST_TYPE}
            ) as response:
                body = await response.content.read(TOKEN_BYTES_MAX)
                if response.status != 200:
                    raise StampAway(f"{self._url}: HTTP {response.status}")
            return token_of(body, nonce)
        except (aiohttp.ClientError, TimeoutError, OSError, SigningError) as error:
            raise StampAway(f"{self._url}: {error!r}") from error

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()


def open_stamper(settings: Settings, provider: SoftwareProvider) -> Stamper:
    """HUB_EVIDENCE_TSA_URL, else tsa.key and tsa.crt in HUB_EVIDENCE_DIR. Raises SettingsError."""
    if settings.evidence_tsa_url:
        return RemoteStamper(settings.evidence_tsa_url)
    if settings.evidence_dir is None:
        raise SettingsError("缺少环境变量 / missing environment variable: HUB_EVIDENCE_DIR")
    service = load_identity(settings.evidence_dir, STAMPER, settings.evidence_passphrase, provider)
    return OwnStamper(provider, service)
