"""Files of cases (材料) by the SM3 of their content, on disk. Nothing is visible before it is complete; no
HTTP here.

Layout: <dir>/<first two digits>/<sm3>, beside it an empty <sm3>.by.<member> for each member that uploaded
it; <dir>/.incoming for what
is still arriving.
"""

import mmap
import os
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import Final, cast

from signing.digest import sm3_hex

SM3_FORM: Final = re.compile(r"[0-9a-f]{64}")
INCOMING_AGE_S_MAX: Final = 3_600


class Incoming:
    """A file that is arriving. Call `discard` whatever happened; after `keep` it does nothing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / ".incoming" / secrets.token_hex(16)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("xb")
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append."""
        self._file.write(chunk)
        self.size += len(chunk)

    def content(self) -> bytes:
        """The whole content as a read-only mapping, to be hashed without taking memory. Empty: b""."""
        self._file.flush()
        if self.size == 0:
            return b""
        with self._path.open("rb") as file:
            return cast(bytes, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def keep(self, sm3: str, member: str) -> None:
        """Durable under its digest, and marked as the member's. Blocking: call it from a thread."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        folder = self._directory / sm3[:2]
        folder.mkdir(parents=True, exist_ok=True)
        self._path.replace(folder / sm3)
        (folder / f"{sm3}.by.{member}").touch()
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def discard(self) -> None:
        """Remove what is left."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class FileStore:
    """The files of one directory, which several gateways may share."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def clean(self) -> None:
        """Remove what an earlier process left half received."""
        for path in (self._directory / ".incoming").glob("*"):
            if time.time() - path.stat().st_mtime > INCOMING_AGE_S_MAX:
                path.unlink(missing_ok=True)

    def incoming(self) -> Incoming:
        """Room for a new file."""
        return Incoming(self._directory)

    def free_bytes(self) -> int:
        """Room left on the disk."""
        self._directory.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self._directory).free

    def path(self, sm3: str) -> Path | None:
        """Where a complete file lies, or None."""
        path = self._directory / sm3[:2] / sm3
        return path if SM3_FORM.fullmatch(sm3) and path.is_file() else None

    def uploaders(self, sm3: str) -> list[str]:
        """The members that uploaded this content."""
        prefix = f"{sm3}.by."
        return sorted(p.name.removeprefix(prefix) for p in (self._directory / sm3[:2]).glob(prefix + "*"))


def digest_of(content: bytes) -> str:
    """SM3 in hex of a mapping or of bytes."""
    return sm3_hex(content)
