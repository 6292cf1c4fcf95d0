"""The container of an OFD: a ZIP archive read so strictly that every reader must see the same files in it.
Only bytes and names here. Duplicate names, gaps between entries, paths that climb, lengths that lie and bombs
are refused.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from signing.errors import SigningError

PACKAGE_BYTES_MAX = 64 * 1024 * 1024
FILES_MAX = 4096
FILE_BYTES_MAX = 64 * 1024 * 1024
CONTENT_BYTES_MAX = 128 * 1024 * 1024
PATH_CHARS_MAX = 255
STANDARD = "GB/T 33190-2016"

_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_FLAG_ENCRYPTED, _FLAG_DESCRIPTOR, _FLAG_UTF8 = 0x0001, 0x0008, 0x0800
# Bits 1 and 2 only tell how hard deflate tried.
_FLAGS_KNOWN = 0x0006 | _FLAG_DESCRIPTOR | _FLAG_UTF8
_DESCRIPTOR_SIGNATURE = b"PK\x07\x08"


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    raw_name: bytes
    flags: int
    method: int
    moment: tuple[int, int]
    crc: int
    packed_bytes: int
    file_bytes: int
    offset: int


def _bad(field: str, rule: str, zh: str) -> NoReturn:
    raise SigningError(
        field, rule, STANDARD, zh=f"{field}：{zh}（{STANDARD}）", en=f"{field}: {rule} ({STANDARD})"
    )


def read_package(data: bytes) -> dict[str, bytes]:
    """The files of a package by absolute name ("/OFD.xml"), in the archive's order. Raises SigningError."""
    if len(data) > PACKAGE_BYTES_MAX:
        _bad("OFD", f"longer than {PACKAGE_BYTES_MAX} bytes", f"超过 {PACKAGE_BYTES_MAX} 字节")
    entries, directory_at = _directory(data)
    if sum(entry.file_bytes for entry in entries) > CONTENT_BYTES_MAX:
        _bad("OFD", f"unpacks to more than {CONTENT_BYTES_MAX} bytes", f"解压后超过 {CONTENT_BYTES_MAX} 字节")
    files: dict[str, bytes] = {}
    seen: set[str] = set()
    following = 0
    for entry in sorted(entries, key=lambda entry: entry.offset):
        # A reader that walks the local headers must meet the same files as one that trusts the directory.
        if entry.offset != following:
            _bad(
                entry.name, "entries overlap or leave a gap in the archive", "压缩包条目之间有重叠或多余内容"
            )
        content, following = _content(data, entry, directory_at)
        if entry.name.endswith("/"):
            if content:
                _bad(entry.name, "a folder has content", "目录条目带有内容")
            continue
        if entry.name.casefold() in seen:
            _bad(entry.name, "is in the archive twice", "文件名重复")
        seen.add(entry.name.casefold())
        files[f"/{entry.name}"] = content
    if following != directory_at:
        _bad("OFD", "bytes before the archive's directory", "压缩包目录之前有多余内容")
    return files


def _directory(data: bytes) -> tuple[list[_Entry], int]:
    if len(data) < _END.size or not data.startswith(b"PK"):
        _bad("OFD", "is not a ZIP archive", "不是 ZIP 压缩包")
    end_at = len(data) - _END.size
    mark, disk, start_disk, here, count, size, start, comment = _END.unpack_from(data, end_at)
    if mark != b"PK\x05\x06" or comment:
        _bad("OFD", "must end with its directory, without a comment", "压缩包须以目录结尾且无注释")
    if disk or start_disk or here != count or start + size != end_at:
        _bad("OFD", "the archive's directory is damaged or split", "压缩包目录损坏或分卷")
    if count > FILES_MAX:
        _bad("OFD", f"more than {FILES_MAX} files", f"文件超过 {FILES_MAX} 个")
    entries, at = [], start
    for _ in range(count):
        entry, at = _central(data, at, end_at)
        entries.append(entry)
    if at != end_at:
        _bad("OFD", "the archive's directory is damaged", "压缩包目录损坏")
    return entries, start


def _central(data: bytes, at: int, end_at: int) -> tuple[_Entry, int]:
    if end_at - at < _CENTRAL.size:
        _bad("OFD", "the archive's directory is truncated", "压缩包目录被截断")
    fields = _CENTRAL.unpack_from(data, at)
    mark, _, _, flags, method, clock, day, crc, packed, size, name, extra, note, disk, _, _, offset = fields
    following = at + _CENTRAL.size + name + extra + note
    if mark != b"PK\x01\x02" or following > end_at or disk or note:
        _bad("OFD", "the archive's directory is damaged", "压缩包目录损坏")
    raw_name = data[at + _CENTRAL.size : at + _CENTRAL.size + name]
    text = _name(raw_name, flags)
    if flags & ~_FLAGS_KNOWN:
        _bad(text, "encrypted or of an unknown kind", "条目已加密或使用未知特性")
    if method not in (_STORED, _DEFLATED):
        _bad(text, "packed by an unknown method", "压缩方法未知")
    if size > FILE_BYTES_MAX:
        _bad(text, f"longer than {FILE_BYTES_MAX} bytes", f"超过 {FILE_BYTES_MAX} 字节")
    return _Entry(text, raw_name, flags, method, (clock, day), crc, packed, size, offset), following


def _name(raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        if flags & _FLAG_UTF8:
            _bad("OFD", "a file name is not UTF-8", "文件名不是 UTF-8")
        # What Chinese packers write without the UTF-8 flag.
        name = raw.decode("gb18030", "replace")
    problem = path_problem(name.removesuffix("/"))
    if problem:
        _bad(name[:80] or "OFD", problem, "文件名不允许")
    return name


def path_problem(path: str) -> str:
    """Why a path inside a package (without leading slash) is refused, or an empty text."""
    if not 1 <= len(path) <= PATH_CHARS_MAX:
        return f"a file name has 1 to {PATH_CHARS_MAX} characters"
    if any(ord(c) < 32 or c in "\\:\x7f\ufffd" for c in path):
        return "a file name holds a forbidden character"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "a file name must not climb or be absolute"
    return ""


def _content(data: bytes, entry: _Entry, directory_at: int) -> tuple[bytes, int]:
    """Content of one entry and where the next begins; the local header must say what the directory says."""
    start = entry.offset + _LOCAL.size
    if start > directory_at:
        _bad(entry.name, "lies outside the archive", "条目超出压缩包")
    mark, _, flags, method, clock, day, crc, packed, size, name, extra = _LOCAL.unpack_from(
        data, entry.offset
    )
    body = start + name + extra
    after = body + entry.packed_bytes
    told = (flags, method, (clock, day), data[start : start + name])
    if mark != b"PK\x03\x04" or told != (entry.flags, entry.method, entry.moment, entry.raw_name):
        _bad(entry.name, "directory and entry differ", "目录与条目不一致")
    if after > directory_at:
        _bad(entry.name, "lies outside the archive", "条目超出压缩包")
    lengths = (entry.crc, entry.packed_bytes, entry.file_bytes)
    if flags & _FLAG_DESCRIPTOR:
        if (crc, packed, size) not in ((0, 0, 0), lengths):
            _bad(entry.name, "directory and entry differ", "目录与条目不一致")
        after = _descriptor_end(data, after, entry, directory_at)
    elif (crc, packed, size) != lengths:
        _bad(entry.name, "directory and entry differ", "目录与条目不一致")
    content = _unpack(data[body : body + entry.packed_bytes], entry)
    if len(content) != entry.file_bytes or zlib.crc32(content) != entry.crc:
        _bad(entry.name, "content does not fit its length or checksum", "内容与长度或校验和不符")
    return content, after


def _descriptor_end(data: bytes, at: int, entry: _Entry, directory_at: int) -> int:
    plain = struct.pack("<3L", entry.crc, entry.packed_bytes, entry.file_bytes)
    for form in (_DESCRIPTOR_SIGNATURE + plain, plain):
        if data[at : min(at + len(form), directory_at)] == form:
            return at + len(form)
    _bad(entry.name, "directory and entry differ", "目录与条目不一致")


def _unpack(packed: bytes, entry: _Entry) -> bytes:
    if entry.method == _STORED:
        return packed
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # Never more than was announced, whatever the stream would like to become.
        content = machine.decompress(packed, entry.file_bytes + 1)
    except zlib.error as broken:
        raise SigningError(entry.name, "cannot be unpacked", STANDARD) from broken
    if (
        machine.unused_data
        or machine.unconsumed_tail
        or (not machine.eof and len(content) <= entry.file_bytes)
    ):
        _bad(entry.name, "content does not fit its length", "内容与长度不符")
    return content


def write_package(files: Mapping[str, bytes]) -> bytes:
    """The archive of these files (absolute names) in this order: the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            problem = path_problem(name[1:]) if name.startswith("/") else "must be absolute"
            if problem:
                _bad(name[:80], problem, "文件名不允许")
            info = zipfile.ZipInfo(name[1:], (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()
