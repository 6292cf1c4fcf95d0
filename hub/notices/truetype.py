"""A small TrueType font of just the characters of one document, from outlines that a larger font gave.
Every OFD and PDF reader shows TrueType outlines; not every one knows the CFF outlines of Chinese fonts today.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Point = tuple[float, float]
# A cubic curve is split until each quadratic piece is this close to it, in font units.
ERROR_UNITS_MAX: Final = 0.6
_PIECES_MAX: Final = 8
_MAC_EPOCH_S: Final = 3_534_300_000  # some fixed moment of 2016: a font has no time of its own


@dataclass(frozen=True, slots=True)
class Glyph:
    """One outline in font units. `data` is its glyf entry, empty for a blank."""

    advance: int
    data: bytes = b""
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    points: int = 0
    contours: int = 0


@dataclass(frozen=True, slots=True)
class Metrics:
    """Of the whole font: units of an em, and how far it reaches above and below the line (below is < 0)."""

    em: int
    ascent: int
    descent: int


class Pen:
    """Takes an outline stroke by stroke and keeps it as quadratic contours: points (x, y, on the curve)."""

    def __init__(self) -> None:
        self.contours: list[list[tuple[int, int, bool]]] = []
        self._last: Point = (0.0, 0.0)

    def _put(self, point: Point, on: bool) -> None:
        self.contours[-1].append((round(point[0]), round(point[1]), on))
        if on:
            self._last = point

    def moveTo(self, to: Point) -> None:
        self.contours.append([])
        self._put(to, True)

    def lineTo(self, to: Point) -> None:
        self._put(to, True)

    def qCurveTo(self, control: Point, to: Point) -> None:
        self._put(control, False)
        self._put(to, True)

    def curveTo(self, first: Point, second: Point, to: Point) -> None:
        start = self._last
        off = [to[i] - 3 * second[i] + 3 * first[i] - start[i] for i in (0, 1)]
        error = math.hypot(*off) * math.sqrt(3) / 36
        pieces = min(_PIECES_MAX, max(1, math.ceil((error / ERROR_UNITS_MAX) ** (1 / 3))))
        for number in range(pieces):
            low, high = number / pieces, (number + 1) / pieces
            a, b = _cubic(start, first, second, to, low), _cubic(start, first, second, to, high)
            slope_a, slope_b = (_slope(start, first, second, to, t) for t in (low, high))
            step = (high - low) / 3
            # The quadratic whose control point lies between those of the cubic piece.
            control = tuple(
                (3 * (a[i] + slope_a[i] * step + b[i] - slope_b[i] * step) - a[i] - b[i]) / 4 for i in (0, 1)
            )
            self._put((control[0], control[1]), False)
            self._put(b, True)

    def closePath(self) -> None:
        contour = self.contours[-1]
        if len(contour) > 1 and contour[0] == contour[-1]:
            contour.pop()

    def endPath(self) -> None:
        self.closePath()

    def glyph(self, advance: int) -> Glyph:
        """What was drawn."""
        contours = [contour for contour in self.contours if len(contour) > 1]
        points = [point for contour in contours for point in contour]
        if not points:
            return Glyph(advance)
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        box = (min(xs), min(ys), max(xs), max(ys))
        ends, last = [], -1
        for contour in contours:
            last += len(contour)
            ends.append(last)
        head = struct.pack(">h4h", len(contours), *box) + struct.pack(f">{len(ends)}HH", *ends, 0)
        data = head + _coordinates(points)
        return Glyph(advance, data + bytes(-len(data) % 4), box, len(points), len(contours))


def _cubic(a: Point, b: Point, c: Point, d: Point, t: float) -> Point:
    u = 1 - t
    parts = (u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t)
    x, y = (sum(part * p[i] for part, p in zip(parts, (a, b, c, d), strict=True)) for i in (0, 1))
    return x, y


def _slope(a: Point, b: Point, c: Point, d: Point, t: float) -> Point:
    u = 1 - t
    x, y = (3 * (u * u * (b[i] - a[i]) + 2 * u * t * (c[i] - b[i]) + t * t * (d[i] - c[i])) for i in (0, 1))
    return x, y


def _coordinates(points: Sequence[tuple[int, int, bool]]) -> bytes:
    """Flags, then the steps in x, then in y; a step is left out, one byte or two."""
    flags, steps_x, steps_y = bytearray(), bytearray(), bytearray()
    before_x = before_y = 0
    for x, y, on in points:
        flag = 1 if on else 0
        for step, short, same, steps in (
            (x - before_x, 0x02, 0x10, steps_x),
            (y - before_y, 0x04, 0x20, steps_y),
        ):
            if step == 0:
                flag |= same
            elif -256 < step < 256:
                flag |= short | (same if step > 0 else 0)
                steps.append(abs(step))
            else:
                steps += struct.pack(">h", step)
        flags.append(flag)
        before_x, before_y = x, y
    return bytes(flags + steps_x + steps_y)


def build(name: str, metrics: Metrics, glyphs: Sequence[Glyph], codes: Mapping[int, int]) -> bytes:
    """A font program. `glyphs` begins with the one for missing characters; `codes` maps a character to an
    index in it."""
    boxes = [glyph.box for glyph in glyphs if glyph.data] or [(0, 0, 0, 0)]
    box = (*(min(b[i] for b in boxes) for i in (0, 1)), *(max(b[i] for b in boxes) for i in (2, 3)))
    places = [0]
    for glyph in glyphs:
        places.append(places[-1] + len(glyph.data))
    tables = {
        b"OS/2": _os2(metrics, codes, glyphs),
        b"cmap": _cmap(codes),
        b"glyf": b"".join(glyph.data for glyph in glyphs),
        b"head": struct.pack(
            ">4i2H2q4h2H3h",
            *(0x10000, 0x10000, 0, 0x5F0F3CF5, 0x0003, metrics.em, _MAC_EPOCH_S, _MAC_EPOCH_S),
            *(*box, 0, 8, 2, 1, 0),
        ),
        b"hhea": struct.pack(
            ">i3hH11hH",
            *(0x10000, metrics.ascent, metrics.descent, 0, max(g.advance for g in glyphs)),
            *(box[0], 0, box[2], 1, 0, 0, 0, 0, 0, 0, 0, len(glyphs)),
        ),
        b"hmtx": b"".join(struct.pack(">Hh", glyph.advance, glyph.box[0]) for glyph in glyphs),
        b"loca": struct.pack(f">{len(places)}I", *places),
        b"maxp": struct.pack(
            ">i14H",
            *(0x10000, len(glyphs), max(g.points for g in glyphs), max(g.contours for g in glyphs)),
            *(0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0),
        ),
        b"name": _names(name),
        b"post": struct.pack(">i i hh IIIII", 0x30000, 0, -100, 50, 0, 0, 0, 0, 0),
    }
    return _assembled(tables)


def _os2(metrics: Metrics, codes: Mapping[int, int], glyphs: Sequence[Glyph]) -> bytes:
    first, last = (min(codes, default=0), max(codes, default=0)) if codes else (0, 0)
    width = sum(g.advance for g in glyphs) // len(glyphs)
    return struct.pack(
        ">Hh3H11h10s4I4s3H3h2H2I2h3H",
        *(4, width, 400, 5, 0, 650, 700, 0, 140, 650, 700, 0, 480, 50, 250, 0),
        *(bytes(10), 0, 0, 0, 0, b"GOVH", 0x40, min(first, 0xFFFF), min(last, 0xFFFF)),
        *(metrics.ascent, metrics.descent, 0, max(metrics.ascent, 0), max(-metrics.descent, 0)),
        *(1 << 18, 0, 500, 700, 0, 32, 1),
    )


def _cmap(codes: Mapping[int, int]) -> bytes:
    """Format 4 for the basic plane, format 12 for everything (rare characters of names lie beyond it)."""
    low = sorted(code for code in codes if code < 0xFFFF)
    segments = [(code, code, (codes[code] - code) & 0xFFFF) for code in low] + [(0xFFFF, 0xFFFF, 1)]
    count = len(segments)
    power = 1 << (count.bit_length() - 1)
    head = struct.pack(">4H", 2 * count, 2 * power, power.bit_length() - 1, 2 * (count - power))
    body = head + b"".join(struct.pack(">H", end) for _, end, _ in segments) + bytes(2)
    body += b"".join(struct.pack(">H", start) for start, _, _ in segments)
    body += b"".join(struct.pack(">H", delta) for _, _, delta in segments) + bytes(2 * count)
    four = struct.pack(">3H", 4, len(body) + 6, 0) + body
    groups = b"".join(struct.pack(">3I", code, code, codes[code]) for code in sorted(codes))
    twelve = struct.pack(">2H3I", 12, 0, 16 + len(groups), 0, len(codes)) + groups
    records = struct.pack(">2HI", 3, 1, 20) + struct.pack(">2HI", 3, 10, 20 + len(four))
    return struct.pack(">2H", 0, 2) + records + four + twelve


def _names(name: str) -> bytes:
    plain = name.encode("ascii", "ignore").decode().replace(" ", "") or "Notice"
    texts = {1: name, 2: "Regular", 3: plain, 4: name, 5: "Version 1.0", 6: plain}
    records, strings = b"", b""
    for number, text in texts.items():
        raw = text.encode("utf-16-be")
        records += struct.pack(">6H", 3, 1, 0x409, number, len(raw), len(strings))
        strings += raw
    return struct.pack(">3H", 0, len(texts), 6 + len(records)) + records + strings


def _checksum(data: bytes) -> int:
    padded = data + bytes(-len(data) % 4)
    words: tuple[int, ...] = struct.unpack(f">{len(padded) // 4}I", padded)
    return sum(words) & 0xFFFFFFFF


def _assembled(tables: Mapping[bytes, bytes]) -> bytes:
    count = len(tables)
    power = 1 << (count.bit_length() - 1)
    head = struct.pack(">I4H", 0x10000, count, 16 * power, power.bit_length() - 1, 16 * (count - power))
    offset, listing, body, head_at = 12 + 16 * count, b"", b"", 0
    for tag, data in sorted(tables.items()):
        if tag == b"head":
            head_at = offset
        listing += struct.pack(">4s3I", tag, _checksum(data), offset, len(data))
        padded = data + bytes(-len(data) % 4)
        body, offset = body + padded, offset + len(padded)
    font = bytearray(head + listing + body)
    struct.pack_into(">I", font, head_at + 8, (0xB1B0AFBA - _checksum(bytes(font))) & 0xFFFFFFFF)
    return bytes(font)
