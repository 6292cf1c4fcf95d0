"""The broker's jars: found by coordinate, checked against SHA-256 digests in kafka.lock, kept in a per-user
cache.

Download and cache live here; how a broker is run does not. No address is written anywhere: the resolver's own
setting names the repository, so a mirror configured for it (jgo's configuration file) is used without a word
from us.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hub.embedded.process import EmbeddedServerError

if TYPE_CHECKING:
    from jgo.maven import Dependency, MavenContext

LOCK_FILE = Path(__file__).with_name("kafka.lock")
ROOTS = ("org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36")
DOWNLOADS_AT_ONCE_MAX = 6
DOWNLOAD_TRIES_MAX = 4
DOWNLOAD_TIMEOUT_SECONDS = 60
RETRY_DELAY_SECONDS = 1.0


@dataclass(frozen=True)
class Jar:
    """One pinned artifact: Maven coordinate and the lower-case hex SHA-256 of its file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def locked_jars(lock: Path = LOCK_FILE) -> list[Jar]:
    """Reads lines `group:artifact:version sha256`. Raises EmbeddedServerError naming the line."""
    jars: list[Jar] = []
    for number, line in enumerate(lock.read_text("utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        coordinate, _, digest = line.partition(" ")
        parts = coordinate.split(":")
        if len(parts) != 3 or len(digest) != 64:
            raise EmbeddedServerError(
                f"{lock.name}:{number}: 锁文件行格式错误 / malformed lock line: {line!r}"
            )
        jars.append(Jar(parts[0], parts[1], parts[2], digest))
    return jars


def cache_directory() -> Path:
    """HUB_CACHE_DIR, otherwise this user's cache directory (XDG_CACHE_HOME, ~/.cache)."""
    given = os.environ.get("HUB_CACHE_DIR")
    if given:
        return Path(given).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "govhub"


def kafka_jars(cache: Path | None = None, lock: Path = LOCK_FILE) -> Path:
    """The directory that holds exactly the locked jars; downloads them the first time.

    The directory's name is a digest of the lock's lines and it appears by rename, complete or not at all:
    what exists needs neither network nor further checks. Raises EmbeddedServerError when a download fails or
    a digest differs."""
    cache = cache or cache_directory()
    jars = locked_jars(lock)
    ready = cache / f"kafka-{hashlib.sha256(repr(jars).encode()).hexdigest()[:16]}"
    if ready.is_dir():
        return ready
    cache.mkdir(parents=True, exist_ok=True)
    with _cache_lock(cache):
        if ready.is_dir():  # another process finished while we waited
            return ready
        staging = (
            cache / f"{ready.name}.part"
        )  # what an interrupted download left is used again, once verified
        staging.mkdir(exist_ok=True)
        _download(jars, staging)
        staging.rename(ready)
    return ready


@contextlib.contextmanager
def _cache_lock(cache: Path) -> Iterator[None]:
    descriptor = os.open(cache / "kafka.flock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _download(jars: list[Jar], staging: Path) -> None:
    wanted = {jar.file_name for jar in jars}
    for stray in staging.iterdir():
        if stray.name not in wanted:
            stray.unlink()
    missing = [jar for jar in jars if not _verified(staging / jar.file_name, jar.sha256)]
    if not missing:
        return
    print(f"下载 Kafka 组件 / downloading Kafka: {len(missing)} jars …", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=staging.parent, prefix="download-") as scratch:
        context = _context(Path(scratch))
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE_MAX) as pool:
            for _ in pool.map(lambda jar: _fetch(context, jar, staging), missing):
                pass


def _context(repository: Path) -> "MavenContext":
    # Imported only when something must be fetched: half a second that every later start saves.
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext, PythonResolver

    remote = GlobalSettings.load().repositories
    context = MavenContext(resolver=PythonResolver(), repo_cache=repository, timeout=DOWNLOAD_TIMEOUT_SECONDS)
    if remote:  # a configured mirror is asked first
        context.remote_repos = {**remote, **context.remote_repos}
    return context


def _fetch(context: "MavenContext", jar: Jar, staging: Path) -> None:
    """Downloads one jar, checks it, moves it into place. A cut connection shows as a wrong digest: tried
    again."""
    problem = ""
    for attempt in range(1, DOWNLOAD_TRIES_MAX + 1):
        artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
        try:
            fetched = Path(artifact.resolve())
            if _verified(fetched, jar.sha256):
                fetched.replace(staging / jar.file_name)
                return
            fetched.unlink()
            problem = f"{jar.file_name} 的 SHA-256 与 {LOCK_FILE.name} 不符 / its SHA-256 differs"
        except (OSError, RuntimeError, AssertionError) as error:
            # requests' errors are OSErrors; jgo raises RuntimeError for "not found"
            problem = f"{jar.file_name}: {error}"
            if artifact.cached_path is not None:
                artifact.cached_path.unlink(missing_ok=True)
        time.sleep(RETRY_DELAY_SECONDS * attempt)
    raise EmbeddedServerError(
        f"无法下载 Kafka，首次启动需要软件包仓库 / cannot download Kafka, the first start needs the package "
        f"repository: {problem}"
    )


def _verified(file: Path, sha256: str) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest() == sha256


def write_lock(lock: Path = LOCK_FILE) -> None:
    """Resolves ROOTS afresh and pins what was found: for maintainers, when the broker's version changes."""
    with tempfile.TemporaryDirectory() as scratch:
        context = _context(Path(scratch))
        roots = [_dependency(context, root) for root in ROOTS]
        _, transitive = context.resolver.resolve(roots)
        lines = []
        for dependency in [*roots, *transitive]:
            artifact = dependency.artifact
            digest = hashlib.sha256(Path(artifact.resolve()).read_bytes()).hexdigest()
            lines.append(f"{artifact.groupId}:{artifact.artifactId}:{artifact.version} {digest}")
    head = "# Apache Kafka and what it needs: group:artifact:version sha256 (python -m hub.embedded.jars)\n"
    lock.write_text(head + "\n".join(sorted(lines)) + "\n", "utf-8")


def _dependency(context: "MavenContext", coordinate: str) -> "Dependency":
    from jgo.maven import Dependency

    group, artifact, version = coordinate.split(":")
    return Dependency(context.project(group, artifact).at_version(version).artifact(), scope="compile")


def forget(cache: Path | None = None) -> None:
    """Removes the cached jars of every version."""
    for directory in (cache or cache_directory()).glob("kafka-*"):
        shutil.rmtree(directory)


if __name__ == "__main__":
    write_lock()
