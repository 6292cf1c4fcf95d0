"""Materials (材料) of the example items, and the small files that stand for scans. Files are made once and
named by what they show."""

import struct
import zlib
from pathlib import Path
from typing import Any, Final

from signing.digest import sm3_hex

FILES: Final = Path(__file__).with_name("files")
_MEDIA_TYPES: Final = {".pdf": "application/pdf", ".png": "image/png", ".txt": "text/plain"}
_PAPERS: Final = {
    "2": (
        ("CL01", "申请书"),
        ("CL02", "营业执照"),
        ("CL03", "法定代表人身份证明"),
        ("CL04", "经营场所使用证明"),
    ),
    "1": (("CL01", "申请表"), ("CL02", "居民身份证"), ("CL03", "近期免冠照片")),
}
_SCANS: Final = {"CL01": "application-form", "CL02": "certificate", "CL03": "identity", "CL04": "premises"}
_VARIANTS: Final = 6


def media_type(path: Path) -> str:
    """Media type of an example file."""
    return _MEDIA_TYPES[path.suffix]


def files_by_digest() -> dict[str, Path]:
    """SM3 (hex) -> example file."""
    return {
        sm3_hex(path.read_bytes()): path for path in sorted(FILES.iterdir()) if path.suffix in _MEDIA_TYPES
    }


def of_case(kind: str, *, with_files: bool, online: bool, number: int) -> list[dict[str, Any]]:
    """The materials of one case. kind: applicant's kind (A.4). with_files: the last two are files in the
    store (R12)."""
    papers = _PAPERS["1" if kind == "1" else "2"]
    result = []
    for position, (code, name) in enumerate(papers):
        material: dict[str, Any] = {
            "code": code,
            "name": name,
            "medium": "electronic" if online else "paper",
            "copy": "original" if position == 0 else "copy",
            "count": 1,
            "collect": "2" if online else "1",
        }
        if with_files and position >= len(papers) - 2:
            path = FILES / f"{_SCANS[code]}-{number % _VARIANTS + 1}{_suffix(code)}"
            content = path.read_bytes()
            digest = sm3_hex(content)
            material |= {
                "medium": "electronic",
                "sm3": digest,
                "size": len(content),
                "mediaType": media_type(path),
                "ref": f"sm3:{digest}",
            }
        result.append(material)
    return result


def write_files() -> None:
    """Make the example files (deterministic, a few hundred bytes each)."""
    FILES.mkdir(exist_ok=True)
    for code, stem in _SCANS.items():
        for variant in range(1, _VARIANTS + 1):
            path = FILES / f"{stem}-{variant}{_suffix(code)}"
            path.write_bytes(
                _image(variant, len(stem)) if path.suffix == ".png" else _document(stem, variant)
            )


def _suffix(code: str) -> str:
    return ".png" if code == "CL03" else ".pdf"


def _document(stem: str, variant: int) -> bytes:
    """A one-page PDF with a line of text (ISO 32000-1 §7.5)."""
    text = f"BT /F1 18 Tf 60 760 Td (Example {stem} no. {variant}) Tj ET".encode()
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
    )
    result, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(result))
        result += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return (
        result
        + b"xref\n0 5\n0000000000 65535 f \n%strailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (
            table,
            len(result),
        )
    )


def _image(variant: int, shade: int) -> bytes:
    """A 48 x 64 grey-scale PNG (ISO/IEC 15948)."""
    rows = b"".join(b"\0" + bytes((x * variant * 5 + y * shade) % 256 for x in range(48)) for y in range(64))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 48, 64, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )
