"""Which font a notice is written in: found on this machine or named by the setting, measured, cut to size.
Without any Chinese font the notice names one and leaves showing it to the reader; nothing fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

import uharfbuzz as hb

from hub.notices.truetype import Glyph, Metrics, Pen, build

NAMED: Final = "宋体"
_FOLDERS: Final = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/Library/Fonts",
    "/System/Library/Fonts",
)
# File names in the order of preference: Song (宋体) faces before Hei (黑体) ones.
_REGULAR: Final = (
    "NotoSerifCJK-Regular.ttc",
    "NotoSerifCJKsc-Regular.otf",
    "NotoSerifSC-Regular.otf",
    "SourceHanSerifSC-Regular.otf",
    "simsun.ttc",
    "uming.ttc",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
)
_BOLD: Final = (
    "NotoSerifCJK-Bold.ttc",
    "NotoSerifCJKsc-Bold.otf",
    "NotoSerifSC-Bold.otf",
    "SourceHanSerifSC-Bold.otf",
    "simhei.ttf",
    "NotoSansCJK-Bold.ttc",
    "NotoSansCJKsc-Bold.otf",
)
_MUST_HAVE: Final = "政务受理通知书"
_FACES_MAX: Final = 16
_FULL_NAME: Final = 4


class Typeface:
    """One face of a font file. Advances are in em; outlines are kept once drawn."""

    def __init__(self, path: Path, index: int) -> None:
        self.path, self.index = path, index
        face = hb.Face(hb.Blob.from_file_path(str(path)), index)
        self._font = hb.Font(face)
        self._face = face
        extents = self._font.get_font_extents("ltr")
        self.metrics = Metrics(face.upem, round(extents.ascender), round(extents.descender))
        self.name = str(face.get_name(_FULL_NAME) or path.stem)
        self._glyphs: dict[str, Glyph] = {}

    def covers(self, character: str) -> bool:
        """Whether the font has this character."""
        return bool(self._font.get_nominal_glyph(ord(character)))

    def advance(self, character: str) -> float:
        """How far the next character lies, in em."""
        return self._glyph(character).advance / self.metrics.em

    def _glyph(self, character: str) -> Glyph:
        found = self._glyphs.get(character)
        if found is None:
            number = self._font.get_nominal_glyph(ord(character)) or 0
            pen = Pen()
            self._font.draw_glyph_with_pen(number, pen)
            found = self._glyphs[character] = pen.glyph(round(self._font.get_glyph_h_advance(number)))
        return found

    def cut(self, characters: set[str]) -> bytes:
        """A TrueType font of these characters, in order of code: the same set gives the same bytes."""
        wanted = sorted(characters)
        glyphs = [Glyph(self.metrics.em // 2), *(self._glyph(character) for character in wanted)]
        codes = {ord(character): number for number, character in enumerate(wanted, 1)}
        return build(self.name, self.metrics, glyphs, codes)


@lru_cache(maxsize=4)
def typefaces(named: Path | None) -> tuple[Typeface | None, Typeface | None]:
    """(text face, bold face): the file that is named, otherwise the best found; None where there is none.
    Raises ValueError when the named file is no font with Chinese characters."""
    if named is not None:
        face = _face_of(named)
        if face is None:
            raise ValueError(f"{named}: 不是含中文字符的字体 / is not a font with Chinese characters")
        return face, face
    found = {path.name: path for path in _font_files()}
    regular = next(_usable(found, _REGULAR), None)
    return regular, next(_usable(found, _BOLD), regular)


def _font_files() -> Iterator[Path]:
    for folder in _FOLDERS:
        for base, _, names in os.walk(Path(folder).expanduser()):
            yield from (Path(base, name) for name in names if name in _REGULAR or name in _BOLD)


def _usable(found: dict[str, Path], names: tuple[str, ...]) -> Iterator[Typeface]:
    for name in names:
        face = _face_of(found[name]) if name in found else None
        if face is not None:
            yield face


def _face_of(path: Path) -> Typeface | None:
    """The simplified Chinese face of a file; its first face when none says so."""
    if not path.is_file():
        return None
    count = hb.Face(hb.Blob.from_file_path(str(path))).count
    faces = [Typeface(path, index) for index in range(min(count, _FACES_MAX))]
    able = [face for face in faces if all(face.covers(character) for character in _MUST_HAVE)]
    return next((face for face in able if face.name.endswith(" SC")), able[0] if able else None)
