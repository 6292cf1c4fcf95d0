"""The chart of the report: bars as SVG, written by hand so that nothing has to be installed for it."""

from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

_WIDTH, _LEFT, _BAR, _GAP, _HEAD = 860, 250, 22, 10, 40
_PLOT = _WIDTH - _LEFT - 140
_OURS, _OTHERS = "#1f6f8b", "#b9c2c9"


def write_chart(parts: dict[str, Any], file: Path) -> None:
    """One group of bars for each part that compares rates; whiskers from the lowest to the highest run."""
    pieces: list[str] = []
    top = 10
    for name in ("copy", "router"):
        if name in parts and parts[name]["rows"]:
            pieces.append(_group(parts[name]["title"], parts[name]["rows"], top))
            top += _HEAD + len(parts[name]["rows"]) * (_BAR + _GAP) + 20
    if pieces:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" '
            'font-family="sans-serif" font-size="13">'
            f'<rect width="{_WIDTH}" height="{top}" fill="#ffffff"/>'
        )
        file.write_text(head + "".join(pieces) + "</svg>\n", "utf-8")


def _group(title: str, rows: list[dict[str, Any]], top: int) -> str:
    most = max(line["highest"] for line in rows)
    pieces = [f'<text x="10" y="{top + 18}" font-weight="bold">{escape(title)}</text>']
    for number, line in enumerate(sorted(rows, key=lambda line: -line["per second"])):
        y = top + _HEAD + number * (_BAR + _GAP)
        middle = y + _BAR / 2
        wide = _PLOT * line["per second"] / most
        low, high = (_LEFT + _PLOT * line[key] / most for key in ("lowest", "highest"))
        fill = _OURS if line[""].startswith("govhub") else _OTHERS
        pieces.append(
            f'<text x="{_LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(line[""])}</text>'
            f'<rect x="{_LEFT}" y="{y}" width="{wide:.0f}" height="{_BAR}" fill="{fill}"/>'
            f'<path d="M{low:.0f} {middle}H{high:.0f}" stroke="#333" stroke-width="1.5"/>'
            f'<text x="{_LEFT + _PLOT + 12}" y="{middle + 4}">{line["per second"]:,}/s</text>'
        )
    return "".join(pieces)
