"""A seal and a seal signature as data: what the two standards have in common, and the original signed bytes.
Nothing here is judged; reading.py fills these, checking.py judges them, making.py makes new ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from signing.certificates import Certificate

# The header's version number: GM/T 0031-2014 writes 1, GB/T 38540-2020 writes 4.
Version = Literal[1, 4]
STANDARDS: dict[int, str] = {1: "GM/T 0031-2014", 4: "GB/T 38540-2020"}

SEAL_BYTES_MAX = 4 * 1024 * 1024
PICTURE_BYTES_MAX = 2 * 1024 * 1024
PICTURE_SIDE_MM_MAX = 200
SIGNERS_MAX = 256
NAME_CHARS_MAX = 256
ID_CHARS_MAX = 64
PROPERTY_CHARS_MAX = 1024


@dataclass(frozen=True, slots=True)
class Picture:
    """印章图像: `kind` as written (PNG, GIF, BMP, JPG, SVG, OFD), size on paper in millimetres."""

    kind: str
    data: bytes
    width_mm: int
    height_mm: int


@dataclass(frozen=True, slots=True)
class SignerDigest:
    """A permitted signer named by digest (GB/T 38540 certListType 2): algorithm as written, digest of the
    DER."""

    algorithm: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Extension:
    """自定义数据 of a seal or a signature."""

    oid: str
    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """印章. `signers` are DER certificates or digests of those who may sign with it; `maker` (制章者) signed
    `signed`, the original bytes, with `signature`. `raw` is the whole seal as it was received."""

    raw: bytes
    version: Version
    vendor: str
    es_id: str
    type: int
    name: str
    signers: tuple[bytes, ...] | tuple[SignerDigest, ...]
    created_at: datetime
    valid_from: datetime
    valid_until: datetime
    picture: Picture
    extensions: tuple[Extension, ...]
    maker: Certificate
    algorithm_oid: str
    signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SealSignature:
    """签章. `data_hash` is the digest of the protected original, `property_info` names it; `signed_at` is
    what the signer claims (None when a GM/T 0031 signature carries a time-stamp token instead); `timestamp`
    is the token over `signature` when there is one."""

    raw: bytes
    version: Version
    seal: Seal
    signed_at: datetime | None
    data_hash: bytes
    property_info: str
    extensions: tuple[Extension, ...]
    signer: Certificate
    algorithm_oid: str
    signed: bytes
    signature: bytes
    timestamp: bytes | None
