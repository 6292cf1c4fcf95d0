"""A trial seal for notices, with its picture: what demonstrations and a first look need.
Never for real notices: no licensed authority stands behind its certificates, and its picture says so.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

from hub.notices.fonts import typefaces
from hub.notices.picture import seal_picture
from hub.notices.sealing import make_trial_folder

PURPOSE: Final = "办件通知专用章（演示）"


def write_trial(folder: Path, passphrase: bytes, name: str, now: datetime, font: Path | None = None) -> None:
    """The folder that `HUB_NOTICES_DIR` names. Raises FileExistsError, SigningError, ValueError."""
    picture = seal_picture(name, PURPOSE, typefaces(font)[1])
    make_trial_folder(folder, passphrase, name, picture, now)
