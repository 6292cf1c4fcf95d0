"""Opening a PDF that nobody vouches for: bounds, and one error for whatever its parser makes of it.
Nothing is judged and nothing is changed here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader

from signing.errors import SigningError

PDF_BYTES_MAX = 32 * 1024 * 1024
STANDARD = "ISO 32000 / ETSI EN 319 142"
# What pyHanko and asn1crypto raise for damaged input, besides their own errors: neither promises less.
_FOREIGN = (
    PdfError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RecursionError,
    NotImplementedError,
    OSError,
    SyntaxError,
    EOFError,
    zlib.error,
    struct.error,
)


@contextmanager
def foreign_errors(field: str) -> Iterator[None]:
    """Whatever a parser raises for the bytes it was given becomes a SigningError of `field`."""
    try:
        yield
    except SigningError:
        raise
    except _FOREIGN as refused:
        rule = f"cannot be read: {type(refused).__name__}: {str(refused)[:200]}"
        raise SigningError(field, rule, STANDARD) from refused


def open_pdf(data: bytes) -> PdfFileReader:
    """A reader over the bytes. Raises SigningError."""
    if len(data) > PDF_BYTES_MAX:
        raise SigningError("PDF", f"longer than {PDF_BYTES_MAX} bytes", STANDARD)
    with foreign_errors("PDF"):
        reader = PdfFileReader(io.BytesIO(data))
        if reader.encrypted:
            raise SigningError("PDF", "must not be encrypted", STANDARD)
        return reader
