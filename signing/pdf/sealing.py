"""Signing PDF bytes: PAdES B-B, B-T with a time stamp, a visible stamp on a page when one is given.
Keys stay with the provider (software, signature server); SM2 seals belong to OFD, not here.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from asn1crypto import cms, x509
from PIL import Image
from pyhanko.pdf_utils import layout
from pyhanko.pdf_utils.images import PdfImage
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.sign.timestamps import TimeStamper
from pyhanko.stamp import StaticStampStyle
from pyhanko_certvalidator.registry import SimpleCertificateStore

from signing.certificates import Certificate
from signing.errors import SigningError
from signing.issuing import Identity
from signing.pdf.reading import PDF_BYTES_MAX, STANDARD, foreign_errors, open_pdf
from signing.provider import PrivateKey, Provider, Scheme

STAMP_PIXELS_MAX = 4_000_000
STAMP_BYTES_MAX = 2 * 1024 * 1024
CHAIN_CERTIFICATES_MAX = 8
TIME_STAMP_BYTES_MAX = 16 * 1024
_POINTS_PER_MM = 72 / 25.4
_SIGNATURE_BYTES_MAX = 1024
_SCHEMES: dict[str, Scheme] = {"RSA": "RSA-SHA256", "EC": "ECDSA-SHA256"}

TimeStampService = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where the seal is seen: `page` from 0, lower left corner and size in mm from the page's lower left
    corner; `picture` a PNG of at most STAMP_PIXELS_MAX pixels, drawn to fill the size."""

    picture: bytes
    page: int
    left_mm: float
    bottom_mm: float
    width_mm: float
    height_mm: float


class _ProviderSigner(signers.Signer):
    """pyHanko's signer over our provider: only the bytes to sign cross over, never a key."""

    def __init__(self, signer: Identity, chain: Sequence[Certificate], provider: Provider) -> None:
        store = SimpleCertificateStore()
        for certificate in chain:
            store.register(x509.Certificate.load(certificate.raw))
        super().__init__(signing_cert=x509.Certificate.load(signer.certificate.raw), cert_registry=store)
        self._key: PrivateKey = signer.key
        self._provider = provider

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        if dry_run:
            return bytes(_SIGNATURE_BYTES_MAX)
        scheme = _SCHEMES[self._key.public.kind]
        value = self._provider.sign(self._key, data, scheme)
        # A signature server may answer anything: what does not verify never enters a document.
        if not self._provider.verify(self._key.public, data, value, scheme):
            raise SigningError("signature", "the provider's answer does not verify", STANDARD)
        return value


class _Stamper(TimeStamper):
    def __init__(self, service: TimeStampService) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._service = service

    async def async_timestamp(self, message_digest: bytes, md_algorithm: str) -> cms.ContentInfo:
        try:
            token = self._service(message_digest)
        except Exception as failed:  # of any make: its failure is told as ours, with its cause
            raise SigningError("time stamp", f"the service failed: {failed}", "RFC 3161") from failed
        if len(token) > TIME_STAMP_BYTES_MAX:
            raise SigningError("time stamp", f"longer than {TIME_STAMP_BYTES_MAX} bytes", "RFC 3161")
        return cms.ContentInfo.load(token)


def sign_pdf(
    data: bytes,
    signer: Identity,
    provider: Provider,
    *,
    at: datetime,
    chain: Sequence[Certificate] = (),
    field: str = "Seal",
    reason: str = "",
    stamp: Stamp | None = None,
    time_stamp: TimeStampService | None = None,
    final: bool = False,
) -> bytes:
    """The PDF with one more signature, appended: what was there stays byte for byte (PAdES, SHA-256).

    `signer` holds an RSA or EC certificate and its key (a handle with a remote provider); `chain` are the
    certificates between it and the anchor; `field` names the signature and must be new in the document;
    `time_stamp` takes the SHA-256 of the signature value and gives a token in DER. `final` forbids every
    later change (the first signature of a document only). Blocks while it works and must not be called on a
    running event loop. Raises SigningError, and only it, also when the time-stamp service fails.
    """
    _check_identity(signer, chain)
    if len(data) > PDF_BYTES_MAX:
        raise SigningError("PDF", f"longer than {PDF_BYTES_MAX} bytes", STANDARD)
    with foreign_errors("PDF"):
        open_pdf(data)
        writer = IncrementalPdfFileWriter(io.BytesIO(data))
        meta = signers.PdfSignatureMetadata(
            field_name=field,
            md_algorithm="sha256",
            reason=reason or None,
            subfilter=fields.SigSeedSubFilter.PADES,
            certify=final,
            docmdp_permissions=fields.MDPPerm.NO_CHANGES if final else fields.MDPPerm.FILL_FORMS,
        )
        pdf_signer = signers.PdfSigner(
            meta,
            _ProviderSigner(signer, chain, provider),
            timestamper=_Stamper(time_stamp) if time_stamp else None,
            stamp_style=_style(stamp) if stamp else None,
            new_field_spec=_field(field, stamp),
        )
        reserved = _reserved_bytes(signer, chain, time_stamp is not None)
        return asyncio.run(_sign(pdf_signer, writer, at, 2 * reserved))


async def _sign(
    pdf_signer: signers.PdfSigner, writer: IncrementalPdfFileWriter, at: datetime, hex_digits: int
) -> bytes:
    """pyHanko's own sequence, with our time in place of the machine's."""
    session = pdf_signer.init_signing_session(writer)
    session.system_time = at
    waiting = session.prepare_tbs_document(
        validation_info=None, bytes_reserved=hex_digits, appearance_text_params=None
    )
    output = io.BytesIO()
    prepared, _ = waiting.digest_tbs_document(output=output)
    attributes = signers.pdf_cms.PdfCMSSignedAttributes(signing_time=at)
    signed = await waiting.perform_signature(
        document_digest=prepared.document_digest, pdf_cms_signed_attrs=attributes
    )
    await signed.post_signature_processing(output)
    return output.getvalue()


def _reserved_bytes(signer: Identity, chain: Sequence[Certificate], stamped: bool) -> int:
    certificates = sum(len(c.raw) for c in (signer.certificate, *chain))
    return 2048 + _SIGNATURE_BYTES_MAX + certificates + (TIME_STAMP_BYTES_MAX if stamped else 0)


def _check_identity(signer: Identity, chain: Sequence[Certificate]) -> None:
    kind = signer.certificate.public_key.kind
    if kind not in _SCHEMES:
        raise SigningError(
            "PDF signer",
            "must have an RSA or EC key",
            STANDARD,
            zh="PDF 签名须用 RSA 或 ECDSA 密钥；SM2 印章请用 OFD",
            en="a PDF is signed with an RSA or EC key; SM2 seals go into OFD",
        )
    if signer.key.public.spki != signer.certificate.spki:
        raise SigningError("key", "is not the key of the certificate", STANDARD)
    if len(chain) > CHAIN_CERTIFICATES_MAX:
        raise SigningError("chain", f"more than {CHAIN_CERTIFICATES_MAX} certificates", STANDARD)


def _field(name: str, stamp: Stamp | None) -> fields.SigFieldSpec:
    if stamp is None:
        return fields.SigFieldSpec(name)
    left, bottom = stamp.left_mm * _POINTS_PER_MM, stamp.bottom_mm * _POINTS_PER_MM
    right, top = left + stamp.width_mm * _POINTS_PER_MM, bottom + stamp.height_mm * _POINTS_PER_MM
    box = (round(left), round(bottom), round(right), round(top))
    return fields.SigFieldSpec(name, on_page=stamp.page, box=box)


def _style(stamp: Stamp) -> StaticStampStyle:
    if not stamp.width_mm > 0 or not stamp.height_mm > 0:
        raise SigningError("stamp", "must have a width and a height above 0 mm", STANDARD)
    fill = layout.SimpleBoxLayoutRule(
        x_align=layout.AxisAlignment.ALIGN_MID,
        y_align=layout.AxisAlignment.ALIGN_MID,
        margins=layout.Margins.uniform(0),
    )
    return StaticStampStyle(
        border_width=0, background=PdfImage(_picture(stamp.picture)), background_layout=fill
    )


def _picture(data: bytes) -> Image.Image:
    """A PNG within bounds: its size is read before its pixels are."""
    if len(data) > STAMP_BYTES_MAX:
        raise SigningError("stamp picture", f"longer than {STAMP_BYTES_MAX} bytes", STANDARD)
    image = Image.open(io.BytesIO(data), formats=["PNG"])
    if image.width * image.height > STAMP_PIXELS_MAX:
        raise SigningError("stamp picture", f"more than {STAMP_PIXELS_MAX} pixels", STANDARD)
    return image.convert("RGBA")
