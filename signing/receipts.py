"""A receiver's signed receipt for one dispatch: what is signed, how it is written, how it is checked. Who
delivers and who keeps receipts is the caller's affair.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime

from signing.certificates import Certificate, parse_certificate
from signing.errors import SigningError
from signing.issuing import Identity
from signing.provider import Provider
from signing.trust import PathResult, Trust, check_path

RECEIPT_CHARS_MAX = 8_192
_TAG = "GOVHUB-RECEIPT-1"
_FIELD_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class Receipt:
    """`at`: when the receiver took it, as it wrote it (ISO 8601). `signature`: DER (SM2, ECDSA) or raw (RSA)
    over `receipt_text`."""

    at: str
    certificate: Certificate
    signature: bytes


def receipt_text(dispatch_id: str, digest: str, at: str) -> bytes:
    """The signed bytes: lines joined by LF. digest: SM3 of the message's content, in hex. Raises
    SigningError."""
    fields = (dispatch_id, digest, at)
    if any(not field or "\n" in field or len(field) > _FIELD_CHARS_MAX for field in fields):
        raise SigningError("receipt", f"fields must be one line of 1 to {_FIELD_CHARS_MAX} characters")
    return "\n".join((_TAG, *fields)).encode()


def make_receipt(provider: Provider, who: Identity, dispatch_id: str, digest: str, at: str) -> dict[str, str]:
    """The receipt as a member puts it into its answer."""
    signature = provider.sign(who.key, receipt_text(dispatch_id, digest, at))
    return {
        "at": at,
        "certificate": base64.b64encode(who.certificate.raw).decode(),
        "signature": base64.b64encode(signature).decode(),
    }


def parse_receipt(text: str) -> Receipt:
    """A receipt from JSON. Raises SigningError."""
    if len(text) > RECEIPT_CHARS_MAX:
        raise SigningError("receipt", f"longer than {RECEIPT_CHARS_MAX} characters")
    try:
        found = json.loads(text)
        at, certificate, signature = found["at"], found["certificate"], found["signature"]
        raw = base64.b64decode(certificate, validate=True)
        value = base64.b64decode(signature, validate=True)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as bad:
        raise SigningError("receipt", "must be JSON with at, certificate and signature") from bad
    if not isinstance(at, str):
        raise SigningError("receipt.at", "must be text")
    return Receipt(at, parse_certificate(raw), value)


def signature_fits(receipt: Receipt, dispatch_id: str, digest: str, provider: Provider) -> bool:
    """Whether the receipt is over this dispatch and content. Whose certificate it is, is not asked."""
    try:
        text = receipt_text(dispatch_id, digest, receipt.at)
        return provider.verify(receipt.certificate.public_key, text, receipt.signature)
    except SigningError:
        return False


def believed(
    receipt: Receipt, trust: Trust, provider: Provider, *, at: datetime, now: datetime
) -> PathResult:
    """Whether the receipt's certificate leads to an anchor at a time."""
    return check_path(receipt.certificate, trust, provider, at=at, now=now)
