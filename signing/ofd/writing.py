"""A drawing as an OFD package (GB/T 33190-2016 clauses 7 to 11): one document, its fonts, pictures and pages.
Only what a notice needs; the same drawing gives the same bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import date

from lxml import etree

from signing.digest import sm3
from signing.errors import SigningError
from signing.ofd import xml
from signing.ofd.drawing import Boxes, Colour, Drawing, Font, Image, Line, Mark, Text
from signing.ofd.package import STANDARD, write_package

PAGES_MAX = 100
_FOLDER = "/Doc_0"
_MAP = {"ofd": xml.NAMESPACE}


class _Ids:
    """One sequence of object numbers in a document (ST_ID); the last one given is MaxUnitID."""

    def __init__(self) -> None:
        self.last = 0

    def new(self) -> str:
        self.last += 1
        return str(self.last)


def write_ofd(drawing: Drawing, made_on: date) -> bytes:
    """The package. Raises SigningError when the drawing has no page, too many, or an unknown font."""
    if not 1 <= len(drawing.pages) <= PAGES_MAX:
        raise SigningError("drawing", f"must have 1 to {PAGES_MAX} pages", STANDARD)
    ids = _Ids()
    font_ids = [ids.new() for _ in drawing.fonts]
    pictures = _pictures(drawing, ids)
    page_ids = [ids.new() for _ in drawing.pages]
    contents = [_page(drawing, marks, ids, font_ids, pictures) for marks in drawing.pages]
    files = {
        "/OFD.xml": _main(drawing, made_on),
        f"{_FOLDER}/Document.xml": _document(drawing, page_ids, bool(pictures), ids.last),
        f"{_FOLDER}/PublicRes.xml": _fonts(drawing.fonts, font_ids),
    }
    if pictures:
        files[f"{_FOLDER}/DocumentRes.xml"] = _media(pictures)
    for number, content in enumerate(contents):
        files[f"{_FOLDER}/Pages/Page_{number}/Content.xml"] = content
    for number, font in enumerate(drawing.fonts):
        if font.data:
            files[f"{_FOLDER}/Res/{_font_file(number)}"] = font.data
    for number, png in enumerate(pictures):
        files[f"{_FOLDER}/Res/image_{number}.png"] = png
    return write_package(files)


def _main(drawing: Drawing, made_on: date) -> bytes:
    root = _new("OFD", Version="1.0", DocType="OFD")
    body = _add(root, "DocBody")
    info = _add(body, "DocInfo")
    _put(info, "DocID", uuid.UUID(bytes=sm3(drawing.document_id.encode())[:16]).hex)
    _put(info, "Title", drawing.title)
    _put(info, "CreationDate", made_on.isoformat())
    _put(info, "Creator", "govhub")
    _put(body, "DocRoot", f"{_FOLDER[1:]}/Document.xml")
    return _written(root)


def _document(drawing: Drawing, page_ids: Sequence[str], pictures: bool, last: int) -> bytes:
    root = _new("Document")
    common = _add(root, "CommonData")
    _put(common, "MaxUnitID", str(last))
    _put(_add(common, "PageArea"), "PhysicalBox", _box(0, 0, *drawing.size_mm))
    _put(common, "PublicRes", "PublicRes.xml")
    if pictures:
        _put(common, "DocumentRes", "DocumentRes.xml")
    pages = _add(root, "Pages")
    for number, id_ in enumerate(page_ids):
        _add(pages, "Page", ID=id_, BaseLoc=f"Pages/Page_{number}/Content.xml")
    return _written(root)


def _font_file(number: int) -> str:
    return f"font_{number}.ttf"


def _fonts(fonts: Sequence[Font], font_ids: Sequence[str]) -> bytes:
    root = _new("Res", BaseLoc="Res")
    listed = _add(root, "Fonts")
    for number, (font, id_) in enumerate(zip(fonts, font_ids, strict=True)):
        line = _add(listed, "Font", ID=id_, FontName=font.name, FamilyName=font.name)
        if font.bold:
            line.set("Bold", "true")
        if font.data:
            _put(line, "FontFile", _font_file(number))
    return _written(root)


def _pictures(drawing: Drawing, ids: _Ids) -> dict[bytes, str]:
    """Content → id: one picture shown twice is stored once."""
    found: dict[bytes, str] = {}
    for marks in drawing.pages:
        for mark in marks:
            if isinstance(mark, Image) and mark.png not in found:
                found[mark.png] = ids.new()
    return found


def _media(pictures: dict[bytes, str]) -> bytes:
    root = _new("Res", BaseLoc="Res")
    listed = _add(root, "MultiMedias")
    for number, id_ in enumerate(pictures.values()):
        line = _add(listed, "MultiMedia", ID=id_, Type="Image", Format="PNG")
        _put(line, "MediaFile", f"image_{number}.png")
    return _written(root)


def _page(
    drawing: Drawing, marks: Sequence[Mark], ids: _Ids, font_ids: Sequence[str], pictures: dict[bytes, str]
) -> bytes:
    root = _new("Page")
    _put(_add(root, "Area"), "PhysicalBox", _box(0, 0, *drawing.size_mm))
    layer = _add(_add(root, "Content"), "Layer", ID=ids.new())
    for mark in marks:
        match mark:
            case Text():
                if not 0 <= mark.font < len(font_ids):
                    raise SigningError("drawing", "a text names no font of the drawing", STANDARD)
                _text(layer, mark, ids.new(), font_ids[mark.font])
            case Line():
                _line(layer, mark, ids.new())
            case Boxes():
                _boxes(layer, mark, ids.new(), drawing)
            case Image():
                box = _box(mark.x, mark.y, mark.width, mark.height)
                matrix = f"{mark.width:g} 0 0 {mark.height:g} 0 0"
                _add(
                    layer,
                    "ImageObject",
                    ID=ids.new(),
                    Boundary=box,
                    CTM=matrix,
                    ResourceID=pictures[mark.png],
                )
    return _written(root)


def _text(layer: xml.Element, mark: Text, id_: str, font_id: str) -> None:
    if not mark.text or len(mark.advances) != len(mark.text):
        raise SigningError("drawing", "a text needs one advance for each character", STANDARD)
    ascent, height = mark.size, mark.size * 1.4
    box = _box(mark.x, mark.y - ascent, sum(mark.advances), height)
    line = _add(layer, "TextObject", ID=id_, Boundary=box, Font=font_id, Size=f"{mark.size:g}")
    _colour(line, "FillColor", mark.colour)
    code = _add(line, "TextCode", X="0", Y=f"{ascent:g}")
    if len(mark.text) > 1:
        code.set("DeltaX", " ".join(f"{round(step, 3):g}" for step in mark.advances[:-1]))
    code.text = mark.text


def _line(layer: xml.Element, mark: Line, id_: str) -> None:
    left, top = min(mark.x1, mark.x2), min(mark.y1, mark.y2)
    # A path exactly as wide as its boundary would be cut in half.
    margin = mark.width
    box = _box(
        left - margin,
        top - margin,
        abs(mark.x2 - mark.x1) + 2 * margin,
        abs(mark.y2 - mark.y1) + 2 * margin,
    )
    line = _add(layer, "PathObject", ID=id_, Boundary=box, LineWidth=f"{mark.width:g}")
    _colour(line, "StrokeColor", mark.colour)
    x, y = left - margin, top - margin
    start, end = (mark.x1 - x, mark.y1 - y), (mark.x2 - x, mark.y2 - y)
    _put(line, "AbbreviatedData", f"M {start[0]:g} {start[1]:g} L {end[0]:g} {end[1]:g}")


def _boxes(layer: xml.Element, mark: Boxes, id_: str, drawing: Drawing) -> None:
    whole = _box(0, 0, *drawing.size_mm)
    line = _add(layer, "PathObject", ID=id_, Boundary=whole, Stroke="false", Fill="true")
    _colour(line, "FillColor", mark.colour)
    path = []
    for x, y, width, height in mark.boxes:
        right, bottom = round(x + width, 4), round(y + height, 4)
        path.append(
            f"M {x:.6g} {y:.6g} L {right:.6g} {y:.6g} L {right:.6g} {bottom:.6g} L {x:.6g} {bottom:.6g} C"
        )
    _put(line, "AbbreviatedData", " ".join(path))


def _colour(line: xml.Element, name: str, colour: Colour) -> None:
    _add(line, name, Value=" ".join(str(part) for part in colour))


def _box(x: float, y: float, width: float, height: float) -> str:
    return " ".join(f"{round(value, 3):g}" for value in (x, y, width, height))


def _new(name: str, **attributes: str) -> xml.Element:
    return etree.Element(f"{{{xml.NAMESPACE}}}{name}", attributes, nsmap=_MAP)


def _add(parent: xml.Element, name: str, **attributes: str) -> xml.Element:
    return etree.SubElement(parent, f"{{{xml.NAMESPACE}}}{name}", attributes)


def _put(parent: xml.Element, name: str, text: str) -> None:
    _add(parent, name).text = text


def _written(root: xml.Element) -> bytes:
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)
