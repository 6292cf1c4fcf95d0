"""What is on a page, as data: text with its advances, lines, filled boxes, pictures, in millimetres from the
upper left corner.
Nothing is laid out or measured here; writing.py makes an OFD of it, and others may make other formats.
"""

from __future__ import annotations

from dataclasses import dataclass

A4_MM = (210.0, 297.0)
Colour = tuple[int, int, int]
BLACK: Colour = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Font:
    """A font by name. `data` is a TrueType font program to embed, or empty: then the reader's own font of
    this name (or its substitute) shows the text."""

    name: str
    bold: bool = False
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text. `y` is its baseline; `advances` has for each character how far the next one lies."""

    x: float
    y: float
    size: float
    font: int
    text: str
    advances: tuple[float, ...]
    colour: Colour = BLACK


@dataclass(frozen=True, slots=True)
class Line:
    """A straight stroke."""

    x1: float
    y1: float
    x2: float
    y2: float
    width: float = 0.25
    colour: Colour = BLACK


@dataclass(frozen=True, slots=True)
class Boxes:
    """Filled rectangles (x, y, width, height) of one colour: the modules of a QR code."""

    boxes: tuple[tuple[float, float, float, float], ...]
    colour: Colour = BLACK


@dataclass(frozen=True, slots=True)
class Image:
    """A PNG at a place."""

    x: float
    y: float
    width: float
    height: float
    png: bytes


Mark = Text | Line | Boxes | Image


@dataclass(frozen=True, slots=True)
class Drawing:
    """A document: marks by page, the fonts that texts refer to by index, and how it is called."""

    title: str
    document_id: str
    fonts: tuple[Font, ...]
    pages: tuple[tuple[Mark, ...], ...]
    size_mm: tuple[float, float] = A4_MM
