"""Evidence in a hub on this machine: keys made into its data directory, and one case proven at the end of a
demonstration."""

import asyncio
import itertools
import shutil
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from hub.config import Settings
from hub.evidence.document import Document, to_bytes
from hub.evidence.export import NoEvidence, export
from hub.evidence.identity import ANCHORS, SIGNER, make_directory, read_anchors
from hub.evidence.leaves import line_of
from hub.evidence.verify import Report, verify
from signing.digest import hmac_sm3
from signing.provider import SoftwareProvider

INTERVAL_MS: Final = 2_000
EXCHANGE_MS: Final = 4_000
# Members of the demonstration that sign: a department its receipts, the nation the roots it keeps.
SIGNING_MEMBERS: Final = ("dept-a", "nation")
_WAIT_S_MAX: Final = 30.0
_LOOKED_AT_MAX: Final = 8
_LOOK_S: Final = 0.5


class Keys(msgspec.Struct, frozen=True):
    """Variables by who needs them: the passphrase of the hub's key is the evidence role's alone."""

    everybody: dict[str, str]
    evidence_role: dict[str, str]
    members: dict[str, str]


def make_keys(data: Path, token_key: str, nation_url: str) -> Keys:
    """Keys of the evidence role and of members that sign, made when the data directory is new."""
    directory = data / "evidence"
    passphrase = hmac_sm3(token_key.encode(), b"GOVHUB-EVIDENCE-PASSPHRASE-1").hex()
    if not (directory / f"{SIGNER}.key").exists():
        shutil.rmtree(directory, ignore_errors=True)
        make_directory(directory, passphrase.encode(), "演示交换枢纽", SIGNING_MEMBERS)
    return Keys(
        {"HUB_EVIDENCE_DIR": str(directory), "HUB_EVIDENCE_INTERVAL_MS": str(INTERVAL_MS)},
        {
            "HUB_EVIDENCE_PASSPHRASE": passphrase,
            "HUB_EVIDENCE_EXCHANGE_MS": str(EXCHANGE_MS),
            "HUB_MEMBER_NATION_EVIDENCE_URL": nation_url,
        },
        {"HUB_STUB_KEYS_DIR": str(directory), "HUB_STUB_KEYS_PASSPHRASE": passphrase},
    )


class Shown(msgspec.Struct, frozen=True):
    """A case that was proven: its file, the anchors beside it, and what it proves."""

    file: Path
    anchors: Path
    report: Report


async def prove_one(settings: Settings, cases: Iterable[str], directory: Path) -> Shown | None:
    """Export and judge one of these cases, rather one whose receiver signed; waits until it is under signed
    roots. None when there is evidence of none."""
    until = time.monotonic() + _WAIT_S_MAX
    chosen: Document | None = None
    for case in itertools.islice(cases, _LOOKED_AT_MAX):
        document = await _complete(settings, case, until)
        if document is not None and (chosen is None or _signed_for(document)):
            chosen = document
            if _signed_for(document):
                break
    return None if chosen is None else await asyncio.to_thread(_write, settings, chosen, directory)


def _signed_for(document: Document) -> bool:
    return any("receipt" in line_of(one.leaf) for one in document.handovers)


async def _complete(settings: Settings, case: str, until: float) -> Document | None:
    while True:
        try:
            document = await export(settings, case)
        except NoEvidence:
            return None
        if not document.unsigned or time.monotonic() > until:
            return document
        await asyncio.sleep(_LOOK_S)


def _write(settings: Settings, document: Document, directory: Path) -> Shown:
    assert settings.evidence_dir is not None
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    anchors = directory / ANCHORS
    shutil.copytree(settings.evidence_dir / ANCHORS, anchors)
    file = directory / f"{document.case}.json"
    file.write_bytes(to_bytes(document))
    report = verify(document, read_anchors(anchors), SoftwareProvider(), now=datetime.now(UTC))
    return Shown(file, anchors, report)
