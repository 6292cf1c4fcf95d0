"""PEM (RFC 7468) written: base64 in lines of 64 between a label's two lines. Reading is each format's own."""

from __future__ import annotations

import base64

from signing.certificates import Certificate


def certificate_pem(certificate: Certificate) -> bytes:
    """The original DER of a certificate as a PEM block."""
    return pem(b"CERTIFICATE", certificate.raw)


def pem(label: bytes, data: bytes) -> bytes:
    """One block."""
    text = base64.b64encode(data)
    lines = b"\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label, lines, label)
