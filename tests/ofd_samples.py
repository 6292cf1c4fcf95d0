"""Seals and documents for the OFD tests: one authority, a maker, a signer, a drawing, a sealed document."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

from PIL import Image

from hub.seals.trial import trial_picture
from signing.issuing import Identity, issue, make_authority
from signing.ofd import drawing
from signing.ofd.drawing import Boxes, Drawing, Font, Line, Text
from signing.ofd.sealing import Place, seal_ofd, sign_with
from signing.ofd.writing import write_ofd
from signing.provider import SoftwareProvider
from signing.seals.checking import Circumstances
from signing.seals.making import SealPlan, make_seal
from signing.seals.model import Picture
from signing.trust import Trust

PROVIDER = SoftwareProvider()
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = make_authority(
    PROVIDER, PROVIDER.generate(), {"C": "CN", "CN": "测试根"}, not_before=START, not_after=END
)
GIVEN = Circumstances(Trust((ROOT.certificate,)), PROVIDER, NOW, withdrawn={})


def identity(name: str) -> Identity:
    key = PROVIDER.generate()
    name_parts = {"C": "CN", "CN": name}
    return Identity(issue(PROVIDER, ROOT, key.public, name_parts, not_before=START, not_after=END), key)


MAKER, SIGNER, STRANGER = identity("制章中心"), identity("海口市市场监督管理局"), identity("另一单位")


def small_picture() -> bytes:
    """The trial picture small: every byte of a document is tried."""
    held = io.BytesIO()
    with Image.open(io.BytesIO(trial_picture())) as whole:
        whole.resize((24, 24)).save(held, "PNG")
    return held.getvalue()


PICTURE = Picture("PNG", small_picture(), 42, 42)
PLAN = SealPlan(
    es_id="46010000000001",
    type=1,
    name="海口市市场监督管理局行政审批专用章",
    vendor="govhub",
    signers=(SIGNER.certificate,),
    picture=PICTURE,
    created_at=START,
    valid_from=START,
    valid_until=END - timedelta(days=365),
)
SEAL = make_seal(PLAN, MAKER, GIVEN)
OLD_SEAL = make_seal(replace(PLAN, version=1, es_id="46010000000002"), MAKER, GIVEN)


def text(words: str, y: float) -> Text:
    return Text(30, y, 5, 0, words, tuple(5.0 if c > "\xff" else 2.5 for c in words))


MARKS = (
    text("受理通知书 No.1", 40),
    Line(20, 50, 190, 50),
    Boxes(((30, 60, 5, 5),)),
    drawing.Image(30, 70, 9, 9, PICTURE.data),
)
DRAWING = Drawing("受理通知书", "notice-1", (Font("宋体"),), (MARKS,))


def plain() -> bytes:
    return write_ofd(DRAWING, NOW.date())


@cache
def sealed() -> bytes:
    return seal_ofd(plain(), SEAL, (Place(1, 150, 240),), sign_with(SEAL, SIGNER, GIVEN), GIVEN)


@cache
def sealed_twice() -> bytes:
    sign = sign_with(OLD_SEAL, SIGNER, GIVEN)
    return seal_ofd(sealed(), OLD_SEAL, (Place(1, 60, 240),), sign, GIVEN)


def contents(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def changed(data: bytes, change: Callable[[dict[str, bytes]], object]) -> bytes:
    """The document packed anew after a change to its files."""
    files = contents(data)
    change(files)
    return packed(files)
