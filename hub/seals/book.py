"""The seal book on disk: one append-only file, a lock for writers, and the pictures and seals it names.
What may be written is decided by `signing.seals.lifecycle`; every opening reads and judges every line.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from signing.digest import sm3_hex
from signing.errors import SigningError
from signing.seals.lifecycle import STANDARD, Act, Book, Entry, SealLife, read_lines, to_line, write
from signing.seals.model import SEAL_BYTES_MAX

BOOK_BYTES_MAX = 256 * 1024 * 1024


class SealBook:
    """A folder: `book.log` (a line per act), `things/<sm3>` (pictures, certificates, seals, by digest)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = folder / "book.log"
        self._known: tuple[tuple[int, int], dict[str, datetime]] | None = None

    def read(self) -> tuple[list[Entry], Book]:
        """All lines, judged. Raises SigningError for a line that does not hold."""
        return read_lines(self._whole_lines().split(b"\n")[:-1])

    def _whole_lines(self) -> bytes:
        """A last line without its end was never answered for (the machine stopped in it): not counted."""
        if not self._log.exists():
            return b""
        if self._log.stat().st_size > BOOK_BYTES_MAX:
            raise SigningError("seal book", f"longer than {BOOK_BYTES_MAX} bytes", STANDARD)
        data = self._log.read_bytes()
        return data[: data.rfind(b"\n") + 1]

    def life(self, es_id: str) -> SealLife:
        """One seal as the book has it. Raises SigningError when there is none."""
        found = self.read()[1].seals.get(es_id)
        if found is None:
            raise SigningError("esID", f"the book has no seal {es_id}", STANDARD, zh=f"簿中没有印章 {es_id}")
        return found

    def withdrawn(self) -> dict[str, datetime]:
        """esID → since when it must not sign any more; read again only when the book has changed."""
        try:
            found = self._log.stat()
        except FileNotFoundError:
            return {}
        stamp = (found.st_size, found.st_mtime_ns)
        if self._known is None or self._known[0] != stamp:
            self._known = (stamp, self.read()[1].withdrawn())
        return self._known[1]

    def add(self, act: Act, es_id: str, by: str, at: datetime, detail: Mapping[str, object]) -> Entry:
        """Write one act down: on disk before this returns, never half a line. Raises SigningError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone():
            whole = self._whole_lines()
            _, book = read_lines(whole.split(b"\n")[:-1])
            entry, _ = write(book, act, es_id, by, at, detail)
            line = to_line(entry) + b"\n"
            descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.ftruncate(descriptor, len(whole))
                if os.write(descriptor, line) != len(line):
                    os.ftruncate(descriptor, len(whole))
                    raise SigningError("seal book", "the disk took only a part of a line", STANDARD)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return entry

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Reading the head and writing after it is one step: two writers would name the same head."""
        descriptor = os.open(self.folder / "book.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def keep(self, data: bytes) -> str:
        """Keep bytes beside the book under their SM3, which is what lines name them by."""
        if not 0 < len(data) <= SEAL_BYTES_MAX:
            raise SigningError("attachment", f"must have 1 to {SEAL_BYTES_MAX} bytes", STANDARD)
        name = sm3_hex(data)
        place = self.folder / "things" / name
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not place.exists():
            draft = place.with_name(f".{name}.{os.getpid()}")
            draft.write_bytes(data)
            draft.replace(place)
        return name

    def kept(self, digest: str) -> bytes:
        """Bytes kept under a digest, checked against it. Raises SigningError when missing or changed."""
        place = self.folder / "things" / digest
        if "/" in digest or not place.is_file() or sm3_hex(place.read_bytes()) != digest:
            raise SigningError("attachment", f"{digest} is missing or was changed", STANDARD)
        return place.read_bytes()
