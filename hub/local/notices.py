"""The notices of a demonstration: a trial seal made once per data directory, and how many there are."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hub.config import Settings
from hub.notices.store import notices_folder
from hub.notices.trial import write_trial
from signing.digest import sm3_hex

SEAL_NAME: Final = "示例省政务服务管理局"
ISSUER: Final = "示例省一体化政务服务平台（演示）"


def notices_env(data: Path, secret: str, console_url: str) -> dict[str, str]:
    """What the role notices alone is told; the QR codes lead to this console."""
    folder = data / "notices-keys"
    passphrase = sm3_hex(b"notices " + secret.encode())
    # The seal is written last: a folder without it is what a killed start left.
    if not (folder / "seal.esl").exists():
        shutil.rmtree(folder, ignore_errors=True)
        write_trial(folder, passphrase.encode(), SEAL_NAME, datetime.now(UTC).replace(microsecond=0))
    return {
        "HUB_NOTICES_DIR": str(folder),
        "HUB_NOTICES_PASSPHRASE": passphrase,
        "HUB_NOTICES_QUERY_URL": console_url + "/cases",
        "HUB_NOTICES_ISSUER": ISSUER,
    }


def notices_made(settings: Settings) -> int:
    """How many notices lie in their folder, in both forms."""
    return sum(1 for _ in notices_folder(settings).glob("*/*.pdf"))
