"""Certificates that run out: looked for in the hub's folders, told once each 30, 7, 1 days ahead and after.
No key is read here and nothing is renewed: a person must act in time, and hears of it here.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from hub.config import Settings
from signing.certificates import CERTIFICATE_BYTES_MAX, Certificate, parse_certificate, parse_pem
from signing.errors import SigningError
from signing.trust import expiry_warning_days

FILES_MAX: Final = 500
LOOK_EVERY_S: Final = 3600.0
_SUFFIXES: Final = (".crt", ".pem", ".cer")
_TOLD_ENTRIES_MAX: Final = 10_000

log = structlog.get_logger("expiry")


@dataclass(frozen=True, slots=True)
class Expiring:
    """A certificate within 30 days of its end. `due` is the warning reached: 30, 7, 1, or 0 when past."""

    file: str
    subject: str
    not_after: datetime
    due: int
    fingerprint: str

    def text(self, chinese: bool) -> str:
        day = self.not_after.date().isoformat()
        if self.due == 0:
            return (
                f"证书已过期（{day}）：{self.subject}"
                if chinese
                else f"certificate expired {day}: {self.subject}"
            )
        if chinese:
            return f"证书将于 {day} 到期：{self.subject}"
        return f"certificate expires on {day}: {self.subject}"


def folders_of(settings: Settings) -> tuple[Path, ...]:
    """Where this hub's certificates lie, as far as set."""
    named = (settings.certificates_dir, settings.evidence_dir, settings.notices_dir)
    return tuple(folder for folder in named if folder)


def look(folders: tuple[Path, ...], now: datetime) -> list[Expiring]:
    """Every certificate of the folders that is due, the most urgent first. An unreadable file is logged."""
    found: dict[str, Expiring] = {}
    for path in _files(folders):
        try:
            for certificate in _read(path):
                due = expiry_warning_days(certificate, now)
                if due is not None:
                    found[certificate.fingerprint] = Expiring(
                        str(path),
                        certificate.subject_text,
                        certificate.not_after,
                        due,
                        certificate.fingerprint,
                    )
        except (OSError, SigningError) as bad:
            log.warning("certificate.unreadable", file=str(path), reason=str(bad)[:300])
    return sorted(found.values(), key=lambda one: one.not_after)


def _files(folders: tuple[Path, ...]) -> Iterator[Path]:
    count = 0
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in _SUFFIXES and path.is_file():
                count += 1
                if count > FILES_MAX:
                    log.warning("certificate.too_many_files", folder=str(folder), looked_at=FILES_MAX)
                    return
                yield path


def _read(path: Path) -> list[Certificate]:
    with path.open("rb") as file:
        data = file.read(CERTIFICATE_BYTES_MAX + 1)
    return [parse_certificate(data, path.name)] if data[:1] == b"\x30" else parse_pem(data)


class ExpiryWatch:
    """Looks every hour. `due` is what the console's banner shows; a log event is written once for each
    certificate and warning, also across restarts (`told` in the data directory remembers)."""

    def __init__(self, folders: tuple[Path, ...], told: Path) -> None:
        self._folders, self._told_file = folders, told
        self.due: list[Expiring] = []

    async def run(self) -> None:
        while True:
            await asyncio.to_thread(self.look, datetime.now(UTC))
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self, now: datetime) -> list[Expiring]:
        """Look once; returns what was told now for the first time."""
        self.due = look(self._folders, now)
        told = self._read_told()
        fresh = [one for one in self.due if f"{one.fingerprint}:{one.due}" not in told]
        for one in fresh:
            log.warning(
                "certificate.expiring",
                days=one.due,
                subject=one.subject,
                not_after=one.not_after.isoformat(),
                file=one.file,
                fingerprint=one.fingerprint,
            )
        if fresh:
            self._write_told([*told, *(f"{one.fingerprint}:{one.due}" for one in fresh)])
        return fresh

    def _read_told(self) -> list[str]:
        try:
            said = json.loads(self._told_file.read_text("utf-8"))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as bad:
            log.warning("certificate.told_unreadable", file=str(self._told_file), reason=str(bad)[:300])
            return []
        return [str(one) for one in said] if isinstance(said, list) else []

    def _write_told(self, told: list[str]) -> None:
        draft = self._told_file.with_name(f".{self._told_file.name}.{os.getpid()}")
        try:
            self._told_file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(told[-_TOLD_ENTRIES_MAX:]), "utf-8")
            draft.replace(self._told_file)
        except OSError as bad:
            log.warning("certificate.told_unwritable", file=str(self._told_file), reason=str(bad)[:300])
