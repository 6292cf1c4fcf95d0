"""The broker's jars come from a repository once, are refused when a byte differs, and need no network
afterwards."""

import http.server
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from hub.embedded.jars import Jar, locked_jars
from hub.embedded.process import EmbeddedServerError

JARS = {f"lib{number}": f"jar {number}".encode() * 1000 for number in range(8)}


@dataclass
class Repository:
    """A Maven repository over real HTTP, and what was asked of it."""

    url: str
    corrupt: set[str] = field(default_factory=set)
    served: Counter[str] = field(default_factory=Counter)


@pytest.fixture
def repository() -> Iterator[Repository]:
    known = Repository("")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rsplit("/", 1)[1]
            artifact = name.partition("-")[0]
            if not name.endswith(".jar"):
                self.send_error(404)
                return
            known.served[artifact] += 1
            body = JARS[artifact] + (b"x" if artifact in known.corrupt else b"")
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield known
        server.shutdown()


@pytest.fixture
def home(tmp_path: Path, repository: Repository) -> Path:
    """A home whose resolver configuration names the repository, with a lock of the eight jars beside it."""
    (tmp_path / ".config").mkdir()
    (tmp_path / ".config" / "jgo.conf").write_text(f"[repositories]\nlocal = {repository.url}\n")
    lines = [f"org.example:{name}:1.0 {sha256(body).hexdigest()}" for name, body in JARS.items()]
    (tmp_path / "kafka.lock").write_text("# comment\n" + "\n".join(lines) + "\n")
    return tmp_path


def start(home: Path, tries_max: int = 4) -> subprocess.Popen[str]:
    program = (
        "import sys; from pathlib import Path; from hub.embedded import jars\n"
        f"jars.DOWNLOAD_TRIES_MAX = {tries_max}; jars.RETRY_DELAY_SECONDS = 0.01\n"
        "print(jars.kafka_jars(Path(sys.argv[1]) / 'cache 缓存', Path(sys.argv[1]) / 'kafka.lock'))"
    )
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": os.getcwd()}
    return subprocess.Popen(
        [sys.executable, "-c", program, str(home)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_first_starts_at_once_download_once_and_later_ones_need_no_network(
    home: Path, repository: Repository
) -> None:
    both = [start(home), start(home)]
    directories = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(directories) == 1
    files = {file.name: file.read_bytes() for file in Path(directories.pop()).iterdir()}
    assert files == {f"{name}-1.0.jar": body for name, body in JARS.items()}
    assert repository.served == Counter(dict.fromkeys(JARS, 1))
    again = start(home)
    again.communicate()
    assert again.returncode == 0
    assert repository.served.total() == len(JARS)


def test_a_jar_with_another_digest_is_refused_and_nothing_counts_as_ready(
    home: Path, repository: Repository
) -> None:
    repository.corrupt.add("lib3")
    refused = start(home, tries_max=2)
    error = refused.communicate()[1]
    assert refused.returncode != 0
    assert "lib3-1.0.jar" in error
    assert "SHA-256" in error
    assert repository.served["lib3"] == 2
    repository.corrupt.clear()
    recovered = start(home)
    assert recovered.communicate()[0].strip()
    # What was good of the first attempt was kept.
    assert {repository.served[name] for name in JARS if name != "lib3"} == {1}


def test_a_malformed_lock_line_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "kafka.lock"
    lock.write_text(f"# head\norg.example:lib:1.0 {'0' * 64}\norg.example:lib 1234\n")
    with pytest.raises(EmbeddedServerError, match=r"kafka\.lock:3"):
        locked_jars(lock)


def test_the_projects_lock_pins_every_jar_by_digest_and_names_no_address() -> None:
    jars = locked_jars()
    assert Jar("org.apache.kafka", "kafka_2.13", "4.3.1", jars[0].sha256).file_name in {
        jar.file_name for jar in jars
    }
    assert len(jars) == 46
    assert len({jar.file_name for jar in jars}) == 46
    assert "//" not in Path("hub/embedded/kafka.lock").read_text()
