"""A seal-making system (制章系统) over HTTP: the SealMaker port as signed JSON requests.
No rule of a seal's life lives here, and what comes back is judged by who asked.
"""

import base64
import binascii
import json
import secrets
import time
from datetime import datetime
from typing import Any, Final

from yarl import URL

from adapters.http_call import HttpCaller, Unanswered, Unreachable, always
from signing.errors import SigningError
from signing.http_auth import HMAC_SM3, sign_request
from signing.seals.maker import Withdrawal
from signing.seals.making import SealPlan
from signing.seals.model import SEAL_BYTES_MAX

CALL_TIMEOUT_MS: Final = 30_000
CONNECT_TIMEOUT_MS: Final = 5_000
ANSWER_BYTES_MAX: Final = 2 * SEAL_BYTES_MAX
_FIELD: Final = "seal-making system"


class HttpSealMaker:
    """`client` and `key` sign each request (HMAC-SM3). Both calls may be repeated: the seal's number makes
    them idempotent at the other side. Every failure is a SigningError of the field "seal-making system"."""

    def __init__(self, url: str, client: str, key: bytes) -> None:
        self._url, self._client, self._key = URL(url), client, key
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise SigningError(_FIELD, "its address must be http(s)://host[:port]")

    async def make(self, plan: SealPlan) -> bytes:
        answer = await self._call("PUT", f"/v1/seals/{_number(plan.es_id)}", _application(plan))
        try:
            return base64.b64decode(answer["seal"], validate=True)
        except (KeyError, TypeError, ValueError, binascii.Error) as bad:
            raise SigningError(_FIELD, "answers without a readable seal") from bad

    async def withdraw(self, es_id: str, kind: Withdrawal, at: datetime, reason: str) -> None:
        said = {"status": kind, "at": at.isoformat(), "reason": reason}
        await self._call("POST", f"/v1/seals/{_number(es_id)}/status", said)

    async def _call(self, method: str, path: str, said: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps(said, ensure_ascii=False).encode()
        headers = sign_request(
            self._key,
            self._client,
            method,
            path,
            body,
            algorithm=HMAC_SM3,
            timestamp_ms=int(time.time() * 1000),
            nonce=secrets.token_urlsafe(16),
        )
        caller = HttpCaller(
            calls_in_flight_max=1,
            call_timeout_ms=CALL_TIMEOUT_MS,
            connect_timeout_ms=CONNECT_TIMEOUT_MS,
            answer_bytes_max=ANSWER_BYTES_MAX,
        )
        try:
            url = self._url.join(URL(path, encoded=True))
            answer = await caller.call(
                method, url, {**headers, "Content-Type": "application/json"}, body, always
            )
        except (Unreachable, Unanswered) as away:
            raise SigningError(_FIELD, f"no answer: {away}"[:300]) from away
        finally:
            await caller.close()
        return _read(answer.status, answer.body if answer.whole else b"")


def _read(status: int, body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as bad:
        raise SigningError(_FIELD, f"answers {status} with something that is not JSON") from bad
    if not isinstance(said, dict) or status != 200:
        told = str(said.get("message", ""))[:200] if isinstance(said, dict) else ""
        raise SigningError(_FIELD, f"answers {status}: {told}")
    return said


def _number(es_id: str) -> str:
    """A seal's number as one path segment."""
    if not es_id.isascii() or not es_id.replace("-", "").replace("_", "").isalnum():
        raise SigningError("esID", "must be ASCII letters, digits, - and _ for a seal-making system")
    return es_id


def _application(plan: SealPlan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "type": plan.type,
        "version": plan.version,
        "vendor": plan.vendor,
        "signers": [base64.b64encode(certificate.raw).decode() for certificate in plan.signers],
        "picture": base64.b64encode(plan.picture.data).decode(),
        "picture_kind": plan.picture.kind,
        "width_mm": plan.picture.width_mm,
        "height_mm": plan.picture.height_mm,
        "created_at": plan.created_at.isoformat(),
        "valid_from": plan.valid_from.isoformat(),
        "valid_until": plan.valid_until.isoformat(),
    }
