"""A notice laid out on A4: title, number, salutation, paragraphs, tables, signature line, QR code, pages.
Pure: notice, typefaces and query address in, drawing out; where the seal goes comes with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import segno

from hub.notices.facts import Notice
from hub.notices.fonts import NAMED, Typeface
from signing.ofd.drawing import BLACK, Boxes, Colour, Drawing, Font, Line, Mark, Text

_LEFT, _RIGHT, _TOP, _BOTTOM = 28.0, 182.0, 37.0, 268.0
_BODY_MM, _TITLE_MM, _TABLE_MM, _SMALL_MM = 5.3, 8.2, 4.6, 3.2
_LEADING: Final = 1.75
_GREY: Colour = (110, 110, 110)
_LABEL_MM: Final = 36.0
_PAD_MM: Final = 2.2
_QR_MM: Final = 30.0
# Never at the start of a line (GB/T 15834: marks that close); never at its end.
_NOT_FIRST: Final = frozenset("，。、；：？！）》」』】〉”’…·％,.;:?!)")
_NOT_LAST: Final = frozenset("（《「『【〈“‘(")
REGULAR, BOLD, BORROWED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Laid:
    """A drawing, and the centre of the seal: page from 1, millimetres from the upper left corner."""

    drawing: Drawing
    seal_page: int
    seal_x_mm: float
    seal_y_mm: float


class _Sheet:
    """The pages as they fill, and the characters that each font must bring."""

    def __init__(self, faces: tuple[Typeface | None, Typeface | None]) -> None:
        self._faces = faces
        self.pages: list[list[Mark]] = [[]]
        self.used: tuple[set[str], set[str], set[str]] = (set(), set(), set())
        self.y = _TOP

    @property
    def marks(self) -> list[Mark]:
        return self.pages[-1]

    def need(self, height: float) -> None:
        """A new page when so much does not fit on this one."""
        if self.y + height > _BOTTOM and self.marks:
            self.pages.append([])
            self.y = _TOP

    def font_of(self, character: str, font: int) -> int:
        """The font itself, or the reader's own for a character it lacks."""
        face = self._faces[font]
        return font if face is not None and face.covers(character) else BORROWED

    def advance(self, character: str, font: int) -> float:
        """In em."""
        face = self._faces[font]
        if face is not None and face.covers(character):
            return face.advance(character)
        if character >= "\u2e80" or character in "“”‘’…—·":
            return 1.0
        return 0.68 if character.isupper() else 0.52

    def width(self, text: str, size: float, font: int = REGULAR) -> float:
        return sum(self.advance(character, font) for character in text) * size

    def write(
        self, text: str, x: float, y: float, size: float, font: int = REGULAR, colour: Colour = BLACK
    ) -> None:
        """One line with its baseline at y, cut where the font changes. A character beyond the basic plane
        stands alone: readers count it as one or as two."""
        run, run_font, at = "", -1, x
        for character in text:
            of = self.font_of(character, font)
            alone = character > "\uffff" or run[-1:] > "\uffff"
            if run and (of != run_font or alone):
                at = self._put(run, at, y, size, run_font, font, colour)
                run = ""
            run, run_font = run + character, of
        if run:
            self._put(run, at, y, size, run_font, font, colour)

    def _put(self, run: str, x: float, y: float, size: float, of: int, font: int, colour: Colour) -> float:
        advances = tuple(self.advance(character, font) * size for character in run)
        if run.strip():
            self.marks.append(Text(x, y, size, of, run, advances, colour))
            self.used[of].update(run)
        return x + sum(advances)

    def lines(self, text: str, width: float, size: float, indent: float = 0.0) -> list[str]:
        """Broken to a width: anywhere between Chinese characters, never before a closing mark, Latin words
        and numbers whole where they fit."""
        found: list[str] = []
        line, room = "", width - indent
        for piece in _pieces(text):
            if line and self.width(line + piece.rstrip(), size) > room:
                carried = ""
                if piece[0] in _NOT_FIRST or line[-1] in _NOT_LAST:
                    line, carried = line[:-1], line[-1]
                found.append(line)
                line, room = carried, width
                piece = piece.lstrip() if not carried else piece
            line += piece
            while self.width(line, size) > room and len(line) > 1:
                kept = len(line)
                while kept > 1 and self.width(line[:kept], size) > room:
                    kept -= 1
                found.append(line[:kept])
                line, room = line[kept:], width
        return [*found, line] if line else found


def _pieces(text: str) -> list[str]:
    """Characters, but runs of Latin letters and digits together."""
    found: list[str] = []
    for character in text:
        if found and character.isascii() and found[-1][-1].isascii() and not found[-1][-1].isspace():
            found[-1] += character
        else:
            found.append(character)
    return found


def lay_out(
    notice: Notice, faces: tuple[Typeface | None, Typeface | None], query_url: str, issuer: str
) -> Laid:
    """The notice on paper. `query_url` is what the QR code leads to (empty: it says the case number);
    `issuer` stands in the foot line."""
    sheet = _Sheet(faces)
    _head(sheet, notice)
    for paragraph in notice.body:
        _paragraph(sheet, paragraph)
    sheet.y += 3
    _table(sheet, [(label, value) for label, value in notice.rows])
    if notice.list and notice.materials:
        _materials(sheet, notice)
    seal = _signed_off(sheet, notice, query_url)
    _feet(sheet, notice, issuer)
    fonts = tuple(_font(sheet, faces, number) for number in (REGULAR, BOLD, BORROWED))
    drawing = Drawing(
        title=f"{notice.title} {notice.case_no}",
        document_id=notice.id,
        fonts=fonts,
        pages=tuple(tuple(page) for page in sheet.pages),
    )
    return Laid(drawing, len(sheet.pages), *seal)


def _font(sheet: _Sheet, faces: tuple[Typeface | None, Typeface | None], number: int) -> Font:
    face = faces[number] if number < len(faces) else None
    if face is None or not sheet.used[number]:
        return Font(NAMED, bold=number == BOLD)
    return Font(face.name, number == BOLD, face.cut(sheet.used[number]))


def _head(sheet: _Sheet, notice: Notice) -> None:
    title = "　".join(notice.title) if len(notice.title) <= 5 else notice.title
    width = sheet.width(title, _TITLE_MM, BOLD)
    sheet.write(title, (_LEFT + _RIGHT - width) / 2, sheet.y, _TITLE_MM, BOLD)
    sheet.y += 10
    if notice.number:
        text = f"编号：{notice.number}"
        sheet.write(text, _RIGHT - sheet.width(text, _TABLE_MM), sheet.y, _TABLE_MM)
    sheet.y += 11
    for line in sheet.lines(f"{notice.to}：", _RIGHT - _LEFT, _BODY_MM):
        sheet.write(line, _LEFT, sheet.y, _BODY_MM)
        sheet.y += _BODY_MM * _LEADING


def _paragraph(sheet: _Sheet, text: str) -> None:
    indent = 2 * _BODY_MM
    for number, line in enumerate(sheet.lines(text, _RIGHT - _LEFT, _BODY_MM, indent)):
        sheet.need(_BODY_MM * _LEADING)
        sheet.write(line, _LEFT + (0 if number else indent), sheet.y, _BODY_MM)
        sheet.y += _BODY_MM * _LEADING


def _table(sheet: _Sheet, rows: list[tuple[str, str]]) -> None:
    for label, value in rows:
        _row(sheet, [(label, _LABEL_MM, BOLD), (value, _RIGHT - _LEFT - _LABEL_MM, REGULAR)])
    sheet.y += 7


def _materials(sheet: _Sheet, notice: Notice) -> None:
    assert notice.list is not None
    widths = (14.0, 60.0, _RIGHT - _LEFT - 74.0)
    sheet.need(30)
    sheet.write(f"{notice.list.title}（共 {len(notice.materials)} 项）", _LEFT, sheet.y, _TABLE_MM, BOLD)
    sheet.y += 3
    _row(sheet, [(head, width, BOLD) for head, width in zip(notice.list.columns, widths, strict=True)])
    for number, (name, requirement) in enumerate(notice.materials, 1):
        cells = zip((str(number), name, requirement or "—"), widths, strict=True)
        _row(sheet, [(text, width, REGULAR) for text, width in cells])
    sheet.y += 5


def _row(sheet: _Sheet, cells: list[tuple[str, float, int]]) -> None:
    """One row with its borders; a row is never cut by the end of a page unless it is longer than one."""
    broken = [sheet.lines(text, width - 2 * _PAD_MM, _TABLE_MM) or [""] for text, width, _ in cells]
    leading = _TABLE_MM * 1.45
    height = max(len(lines) for lines in broken) * leading + 2 * _PAD_MM
    sheet.need(height)
    x, top = _LEFT, sheet.y
    for (_, width, font), lines in zip(cells, broken, strict=True):
        for number, line in enumerate(lines):
            y = top + _PAD_MM + number * leading + _TABLE_MM
            sheet.write(line, x + _PAD_MM, y, _TABLE_MM, font)
        sheet.marks.append(Line(x, top, x, top + height))
        x += width
    sheet.marks.append(Line(x, top, x, top + height))
    for y in (top, top + height):
        sheet.marks.append(Line(_LEFT, y, x, y))
    sheet.y = top + height


def _signed_off(sheet: _Sheet, notice: Notice, query_url: str) -> tuple[float, float]:
    """Organisation and date at the right, the QR code at the left; the centre of the seal over both lines."""
    sheet.need(44)
    top = sheet.y
    if notice.qr:
        _qr(sheet, query_url or notice.case_no, _LEFT, top + 4)
        caption = "扫码查询办理进度" if query_url else "办件编号二维码"
        middle = _LEFT + (_QR_MM - sheet.width(caption, _SMALL_MM)) / 2
        sheet.write(caption, middle, top + _QR_MM + 9, _SMALL_MM, colour=_GREY)
    centre = 142.0
    org = sheet.lines(notice.org, 84.0, _BODY_MM) or [""]
    y = top + 24
    for line in org:
        sheet.write(line, centre - sheet.width(line, _BODY_MM) / 2, y, _BODY_MM)
        y += _BODY_MM * _LEADING
    sheet.write(notice.date, centre - sheet.width(notice.date, _BODY_MM) / 2, y, _BODY_MM)
    sheet.y = y + 6
    # GB/T 9704: the seal lies over name and date, both a little below its centre.
    return centre, top + 18


def _qr(sheet: _Sheet, content: str, x: float, y: float) -> None:
    matrix = segno.make_qr(content, error="m").matrix
    module = _QR_MM / len(matrix)
    boxes: list[tuple[float, float, float, float]] = []
    for row, cells in enumerate(matrix):
        start = None
        for column, dark in enumerate([*cells, 0]):
            if dark and start is None:
                start = column
            elif not dark and start is not None:
                # A hair over its place, so that no seam of light lies between two rows.
                place = (x + start * module, y + row * module)
                boxes.append((*place, (column - start) * module, module * 1.02))
                start = None
    sheet.marks.append(Boxes(tuple(boxes)))


def _feet(sheet: _Sheet, notice: Notice, issuer: str) -> None:
    pages, last = sheet.pages, sheet.y
    for number, page in enumerate(list(pages), 1):
        sheet.pages = [page]
        sheet.marks.append(Line(_LEFT, 274, _RIGHT, 274, 0.15, _GREY))
        sheet.write(f"{issuer}　文书号 {notice.id}", _LEFT, 279, _SMALL_MM, colour=_GREY)
        count = f"第 {number} 页，共 {len(pages)} 页"
        sheet.write(count, _RIGHT - sheet.width(count, _SMALL_MM), 279, _SMALL_MM, colour=_GREY)
    sheet.pages, sheet.y = pages, last
