"""The notices of a demonstration: a trial seal made once per data directory, and how many there are."""

import asyncio
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg

from hub.config import Settings
from hub.kafka import open_reader
from hub.notices.store import notices_folder
from hub.notices.trial import write_trial
from signing.digest import sm3_hex

SEAL_NAME: Final = "示例省政务服务管理局"
EVENTS: Final = "case.events"
WAIT_S_MAX: Final = 20.0
_LOOK_S: Final = 0.5
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


class Made(NamedTuple):
    """notices: in both forms. unread: events that the role has not come to yet."""

    notices: int
    unread: int


async def notices_made(settings: Settings) -> Made:
    """What the role has made, once it has read every event that there is now, or after WAIT_S_MAX."""
    until = time.monotonic() + WAIT_S_MAX
    while True:
        unread = await _unread(settings)
        if not unread or time.monotonic() > until:
            return Made(sum(1 for _ in notices_folder(settings).glob("*/*.pdf")), unread)
        await asyncio.sleep(_LOOK_S)


async def _unread(settings: Settings) -> int:
    """Events beyond the role's position. Markers of transactions are offsets too: records are counted."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        rows = await connection.fetch("SELECT partition, next_offset FROM notice_offsets")
    finally:
        await connection.close()
    async with open_reader(settings) as reader:
        starts = await reader.start_offsets(await reader.partitions([settings.topic(EVENTS)]))
        known = {row["partition"]: row["next_offset"] for row in rows}
        places = {place: known.get(place.partition, start) for place, start in starts.items()}
        return sum([len(records) async for records in reader.read_to_stable(places)])
