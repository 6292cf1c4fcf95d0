"""The picture of a round seal (公章图像): ring, star, the organisation's name on an arc, its purpose below.
A picture proves nothing; the seal around it does.
"""

from __future__ import annotations

import io
import math
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from hub.notices.fonts import Typeface

RED: Final = (214, 24, 24, 255)
SIDE_MM: Final = 42
_PIXELS, _OVER = 420, 3  # drawn three times as large and made small: smooth edges
# The arc that the name may fill, in degrees on both sides of the top.
_ARC_DEGREES: Final = 132.0
_CHARACTERS_MAX: Final = 30


def seal_picture(name: str, purpose: str, face: Typeface | None) -> bytes:
    """A transparent PNG. Without a font the ring and the star stand alone: never boxes for characters."""
    side = _PIXELS * _OVER
    image = Image.new("RGBA", (side, side), (255, 255, 255, 0))
    draw, middle = ImageDraw.Draw(image), side / 2
    edge, width = 4 * _OVER, 10 * _OVER
    draw.ellipse((edge, edge, side - edge, side - edge), outline=RED, width=width)
    draw.polygon(_star(middle, middle, side * 0.145), fill=RED)
    if face is not None:
        _on_arc(image, name[:_CHARACTERS_MAX], face, middle, side * 0.375)
        _below(image, purpose[:_CHARACTERS_MAX], face, middle)
    held = io.BytesIO()
    image.resize((_PIXELS, _PIXELS), Image.Resampling.LANCZOS).quantize(16).save(held, "PNG", optimize=True)
    return held.getvalue()


def _star(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    radii = (radius, radius * 0.382)
    return [
        (x + radii[n % 2] * math.sin(n * math.pi / 5), y - radii[n % 2] * math.cos(n * math.pi / 5))
        for n in range(10)
    ]


def _on_arc(image: Image.Image, name: str, face: Typeface, middle: float, radius: float) -> None:
    count = len(name)
    if not count:
        return
    step = 2 * _ARC_DEGREES / max(count, 8)
    size = round(min(image.width * 0.105, 2 * math.pi * radius * step / 360 * 0.92))
    font = ImageFont.truetype(str(face.path), size, index=face.index)
    for number, character in enumerate(name):
        angle = (number - (count - 1) / 2) * step
        tile = Image.new("RGBA", (2 * size, 2 * size), (255, 255, 255, 0))
        ImageDraw.Draw(tile).text((size, size), character, font=font, fill=RED, anchor="mm")
        tile = tile.rotate(-angle, Image.Resampling.BICUBIC)
        x = middle + radius * math.sin(math.radians(angle)) - size
        y = middle - radius * math.cos(math.radians(angle)) - size
        image.alpha_composite(tile, (max(0, round(x)), max(0, round(y))))


def _below(image: Image.Image, purpose: str, face: Typeface, middle: float) -> None:
    if not purpose:
        return
    size = round(min(image.width * 0.07, image.width * 0.52 / len(purpose)))
    font = ImageFont.truetype(str(face.path), size, index=face.index)
    place = (middle, middle + image.height * 0.25)
    ImageDraw.Draw(image).text(place, purpose, font=font, fill=RED, anchor="mm")
