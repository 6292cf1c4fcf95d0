"""A trial set for `govhub seal trial`: root, maker and signer with keys, and a picture.
Never for real seals: no licensed authority stands behind these certificates.
"""

from __future__ import annotations

import io
import math
import secrets
from datetime import datetime, timedelta
from pathlib import Path

from PIL import Image, ImageDraw

from signing.certificates import Certificate
from signing.issuing import Identity, issue, make_authority
from signing.keys import write_key
from signing.pem import certificate_pem
from signing.provider import Provider

_PIXELS, _RED = 480, (214, 24, 24, 255)
TERM_DAYS = 365


def write_trial(folder: Path, provider: Provider, now: datetime) -> list[Path]:
    """root.pem, maker.pem and .key, signer.pem and .key, passphrase (mode 0600), picture.png.
    Raises FileExistsError rather than overwrite a key."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    start, end = now - timedelta(minutes=5), now + timedelta(days=TERM_DAYS)
    root = make_authority(
        provider, provider.generate(), {"C": "CN", "CN": "试用根 trial root"}, not_before=start, not_after=end
    )
    passphrase = folder / "passphrase"
    with passphrase.open("x") as file:
        passphrase.chmod(0o600)
        file.write(secrets.token_urlsafe(24) + "\n")
    secret = passphrase.read_bytes().strip()
    made = [passphrase, _write(folder / "root.pem", certificate_pem(root.certificate))]
    for name, title in (("maker", "试用制章者 trial maker"), ("signer", "试用签章者 trial signer")):
        key = provider.generate()
        certificate: Certificate = issue(
            provider, root, key.public, {"C": "CN", "CN": title}, not_before=start, not_after=end
        )
        identity = Identity(certificate, key)
        write_key(folder / f"{name}.key", identity.key, secret)
        made += [_write(folder / f"{name}.pem", certificate_pem(certificate)), folder / f"{name}.key"]
    return [*made, _write(folder / "picture.png", trial_picture())]


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def trial_picture() -> bytes:
    """A red ring with a star, no text: it cannot be taken for anybody's seal. PNG, 480 × 480, transparent."""
    image = Image.new("RGBA", (_PIXELS, _PIXELS), (0, 0, 0, 0))
    draw, middle = ImageDraw.Draw(image), _PIXELS / 2
    draw.ellipse((8, 8, _PIXELS - 8, _PIXELS - 8), outline=_RED, width=16)
    radii = (90.0, 34.4)
    star = [
        (
            middle + radii[corner % 2] * math.sin(corner * math.pi / 5),
            middle - radii[corner % 2] * math.cos(corner * math.pi / 5),
        )
        for corner in range(10)
    ]
    draw.polygon(star, fill=_RED)
    held = io.BytesIO()
    image.save(held, "PNG")
    return held.getvalue()
