"""The two messages of a time-stamp service (RFC 3161 section 2.4): made and read. No transport and no clock
here; tokens are in timestamps.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from signing import der
from signing.digest import sm3
from signing.errors import SigningError
from signing.issuing import Identity
from signing.provider import Provider
from signing.timestamps import TOKEN_BYTES_MAX, parse_token, stamp_digest

REQUEST_TYPE = "application/timestamp-query"
RESPONSE_TYPE = "application/timestamp-reply"
REQUEST_BYTES_MAX = 4 * 1024

_STANDARD = "RFC 3161"
_OID_SM3 = "1.2.156.10197.1.401"
_GRANTED = frozenset({0, 1})  # granted, grantedWithMods
_REJECTION = 2


@dataclass(frozen=True, slots=True)
class Request:
    """`imprint`: the digest to be stamped, made by the algorithm `imprint_oid`. `nonce`: to be given back."""

    imprint_oid: str
    imprint: bytes
    nonce: int | None


def make_request(stamped: bytes, nonce: int) -> bytes:
    """A TimeStampReq over SM3(stamped) that asks for the service's certificate."""
    imprint = der.make_sequence(der.make_sequence(der.make_oid(_OID_SM3)), der.make_octets(sm3(stamped)))
    return der.make_sequence(der.make_integer(1), imprint, der.make_integer(nonce), der.make_boolean(True))


def read_request(data: bytes) -> Request:
    """Raises SigningError."""
    if len(data) > REQUEST_BYTES_MAX:
        raise SigningError("TimeStampReq", f"longer than {REQUEST_BYTES_MAX} bytes", _STANDARD)
    parts = der.children(der.expect(der.parse(data, "TimeStampReq"), der.SEQUENCE), "version", "imprint")
    if len(parts) < 2 or der.integer(parts[0]) != 1:
        raise SigningError("TimeStampReq", "must be of version 1 and complete", _STANDARD)
    algorithm, hashed = der.sequence(parts[1], "hashAlgorithm", "hashedMessage")
    oid = der.oid(der.sequence(algorithm, "algorithm", "parameters", least=1)[0])
    nonce = next((der.integer(node) for node in parts[2:] if node.tag == der.INTEGER), None)
    return Request(oid, der.octets(hashed), nonce)


def answer(
    provider: Provider, service: Identity, request: bytes, *, at: datetime, serial: int, policy: str
) -> bytes:
    """The TimeStampResp of a service: granted, or rejected for a request that cannot be read."""
    try:
        asked = read_request(request)
    except SigningError:
        return der.make_sequence(der.make_sequence(der.make_integer(_REJECTION)))
    token = stamp_digest(
        provider,
        service,
        asked.imprint_oid,
        asked.imprint,
        at=at,
        serial=serial,
        policy=policy,
        nonce=asked.nonce,
    )
    return der.make_sequence(der.make_sequence(der.make_integer(0)), token)


def token_of(response: bytes, nonce: int) -> bytes:
    """The token of a TimeStampResp; it must carry our nonce. Raises SigningError."""
    if len(response) > TOKEN_BYTES_MAX + 1024:
        raise SigningError("TimeStampResp", "is too long", _STANDARD)
    parts = der.children(der.expect(der.parse(response, "TimeStampResp"), der.SEQUENCE), "status", "token")
    status = der.children(der.expect(parts[0], der.SEQUENCE), "status") if parts else []
    if not status or der.integer(status[0]) not in _GRANTED or len(parts) < 2:
        raise SigningError("TimeStampResp", "the service did not grant the request", _STANDARD)
    if parse_token(parts[1].raw).nonce != nonce:
        raise SigningError("TimeStampResp", "does not carry the nonce that was sent", _STANDARD)
    return parts[1].raw
