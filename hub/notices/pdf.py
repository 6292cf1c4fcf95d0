"""A drawing as PDF pages: the same marks at the same places as in the OFD. Signing is not here.
Fonts are embedded as TrueType; text without a font program names Adobe's Song face, which readers have.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import pydyf
import uharfbuzz as hb

from signing.ofd.drawing import Boxes, Colour, Drawing, Font, Image, Line, Mark, Text

_POINTS: Final = 72 / 25.4
_NAMED_FONT: Final = "STSong-Light"


class NoPicture(ValueError):
    """A drawing with a picture: the seal of a PDF is set by its signature."""


def write_pdf(drawing: Drawing) -> bytes:
    """The pages, unsigned; the same drawing gives the same bytes. Raises NoPicture."""
    document = pydyf.PDF()
    fonts = [
        (_embedded(document, font, _characters(drawing, number)) if font.data else _named(document, font))
        for number, font in enumerate(drawing.fonts)
    ]
    listed = pydyf.Dictionary({f"F{number}": font.reference for number, font in enumerate(fonts)})
    codes = [_codes(font) for font in drawing.fonts]
    width, height = (side * _POINTS for side in drawing.size_mm)
    for marks in drawing.pages:
        stream = pydyf.Stream(_operators(marks, drawing, codes), compress=True)
        document.add_object(stream)
        page = pydyf.Dictionary(
            {
                "Type": "/Page",
                "Parent": document.pages.reference,
                "MediaBox": pydyf.Array([0, 0, round(width, 2), round(height, 2)]),
                "Contents": stream.reference,
                "Resources": pydyf.Dictionary({"Font": listed}),
            }
        )
        document.add_page(page)
    document.info["Title"] = pydyf.String(drawing.title)
    document.info["Producer"] = pydyf.String("govhub")
    output = io.BytesIO()
    document.write(output, version=b"1.7")
    return output.getvalue()


def _characters(drawing: Drawing, font: int) -> list[str]:
    marks = (mark for page in drawing.pages for mark in page if isinstance(mark, Text) and mark.font == font)
    return sorted({character for mark in marks for character in mark.text})


def _codes(font: Font) -> hb.Font | None:
    return hb.Font(hb.Face(font.data)) if font.data else None


def _embedded(document: pydyf.PDF, font: Font, characters: Sequence[str]) -> pydyf.Dictionary:
    """A Type0 font whose codes are the glyph numbers of the font program, with its way back to text."""
    face = hb.Face(font.data)
    shape = hb.Font(face)
    scale = 1000 / face.upem
    program = pydyf.Stream([font.data], pydyf.Dictionary({"Length1": len(font.data)}), compress=True)
    document.add_object(program)
    extents = shape.get_font_extents("ltr")
    name = "/GOVHUB+" + "".join(c for c in font.name if c.isascii() and c.isalnum())
    descriptor = pydyf.Dictionary(
        {
            "Type": "/FontDescriptor",
            "FontName": name,
            "Flags": 4,
            "FontBBox": pydyf.Array([-1000, -300, 3000, 1200]),
            "ItalicAngle": 0,
            "Ascent": round(extents.ascender * scale),
            "Descent": round(extents.descender * scale),
            "CapHeight": 700,
            "StemV": 120 if font.bold else 80,
            "FontFile2": program.reference,
        }
    )
    document.add_object(descriptor)
    glyphs = {shape.get_nominal_glyph(ord(character)) or 0: character for character in characters}
    widths: list[object] = []
    for glyph in sorted(glyphs):
        widths += [glyph, pydyf.Array([round(shape.get_glyph_h_advance(glyph) * scale)])]
    descendant = pydyf.Dictionary(
        {
            "Type": "/Font",
            "Subtype": "/CIDFontType2",
            "BaseFont": name,
            "CIDSystemInfo": _system("Identity", 0),
            "FontDescriptor": descriptor.reference,
            "DW": 1000,
            "W": pydyf.Array(widths),
            "CIDToGIDMap": "/Identity",
        }
    )
    document.add_object(descendant)
    text = pydyf.Stream([_to_unicode(glyphs)], compress=True)
    document.add_object(text)
    return _type0(document, name, "/Identity-H", descendant, text)


def _named(document: pydyf.PDF, font: Font) -> pydyf.Dictionary:
    """Song of the reader: codes are UTF-16, so that any reader with a Chinese font shows it."""
    name = f"/{_NAMED_FONT}" + (",Bold" if font.bold else "")
    descriptor = pydyf.Dictionary(
        {
            "Type": "/FontDescriptor",
            "FontName": name,
            "Flags": 6,
            "FontBBox": pydyf.Array([-25, -254, 1000, 880]),
            "ItalicAngle": 0,
            "Ascent": 880,
            "Descent": -120,
            "CapHeight": 880,
            "StemV": 93,
        }
    )
    document.add_object(descriptor)
    descendant = pydyf.Dictionary(
        {
            "Type": "/Font",
            "Subtype": "/CIDFontType0",
            "BaseFont": name,
            "CIDSystemInfo": _system("GB1", 4),
            "FontDescriptor": descriptor.reference,
            "DW": 1000,
        }
    )
    document.add_object(descendant)
    return _type0(document, name, "/UniGB-UTF16-H", descendant, None)


def _system(ordering: str, supplement: int) -> pydyf.Dictionary:
    return pydyf.Dictionary(
        {"Registry": pydyf.String("Adobe"), "Ordering": pydyf.String(ordering), "Supplement": supplement}
    )


def _type0(
    document: pydyf.PDF, name: str, encoding: str, descendant: pydyf.Dictionary, text: pydyf.Stream | None
) -> pydyf.Dictionary:
    font = pydyf.Dictionary(
        {
            "Type": "/Font",
            "Subtype": "/Type0",
            "BaseFont": name,
            "Encoding": encoding,
            "DescendantFonts": pydyf.Array([descendant.reference]),
        }
    )
    if text is not None:
        font["ToUnicode"] = text.reference
    document.add_object(font)
    return font


def _to_unicode(glyphs: dict[int, str]) -> bytes:
    """Text can be searched and copied: glyph number -> UTF-16."""
    lines = [f"<{glyph:04x}> <{glyphs[glyph].encode('utf-16-be').hex()}>" for glyph in sorted(glyphs)]
    blocks = [lines[at : at + 100] for at in range(0, len(lines), 100)]
    body = "".join(f"{len(b)} beginbfchar\n" + "\n".join(b) + "\nendbfchar\n" for b in blocks)
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n"
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n"
        "/CMapName /Adobe-Identity-UCS def /CMapType 2 def\n"
        "1 begincodespacerange <0000> <ffff> endcodespacerange\n"
        f"{body}endcmap CMapName currentdict /CMap defineresource pop end end"
    ).encode("ascii")


def _operators(marks: Sequence[Mark], drawing: Drawing, codes: Sequence[hb.Font | None]) -> list[bytes]:
    height = drawing.size_mm[1]
    found: list[str] = []
    for mark in marks:
        match mark:
            case Text():
                found.append(_text(mark, height, codes[mark.font]))
            case Line():
                start, end = _at(mark.x1, height - mark.y1), _at(mark.x2, height - mark.y2)
                found.append(f"{_colour(mark.colour, 'RG')} {mark.width * _POINTS:.3f} w {start} m {end} l S")
            case Boxes():
                found.append(_colour(mark.colour, "rg"))
                for x, y, wide, high in mark.boxes:
                    size = f"{wide * _POINTS:.3f} {high * _POINTS:.3f}"
                    found.append(f"{_at(x, height - y - high)} {size} re")
                found.append("f")
            case Image():
                raise NoPicture("图片由签名加盖 / pictures are set by the signature")
    return [line.encode("ascii") for line in found]


def _text(mark: Text, height: float, font: hb.Font | None) -> str:
    """Each character at its own place, as the OFD has it."""
    size = mark.size * _POINTS
    parts, x = [], mark.x
    for character, advance in zip(mark.text, mark.advances, strict=True):
        if font is None:
            code = character.encode("utf-16-be").hex()
        else:
            code = f"{font.get_nominal_glyph(ord(character)) or 0:04x}"
        parts.append(f"1 0 0 1 {_at(x, height - mark.y)} Tm <{code}> Tj")
        x += advance
    return f"BT {_colour(mark.colour, 'rg')} /F{mark.font} {size:.3f} Tf {' '.join(parts)} ET"


def _at(x_mm: float, y_mm: float) -> str:
    return f"{x_mm * _POINTS:.3f} {y_mm * _POINTS:.3f}"


def _colour(colour: Colour, operator: str) -> str:
    return " ".join(f"{part / 255:.3f}" for part in colour) + f" {operator}"
