"""Starting operating-system processes that cannot outlive us, and the small things both servers need for it.

Process start, free ports, directory locks and log tails live here; nothing here may know which server it
starts.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from hub.embedded.child import PR_SET_PDEATHSIG

CHILD = Path(__file__).with_name("child.py")
# Below Linux's ephemeral range (32768…), so that no outgoing connection takes the port between two starts.
PORT_MIN, PORT_MAX = 15000, 32000
PORT_TRIES_MAX = 200
LOG_TAIL_BYTES_MAX = 4096
LOG_BYTES_MAX = 8 << 20
LOCK_WAIT_SECONDS_MAX = 20.0
POLL_SECONDS = 0.03

Start = Callable[[], "subprocess.Popen[bytes]"]


class EmbeddedServerError(RuntimeError):
    """An embedded server could not be prepared, started or kept; the text says why, in Chinese and
    English."""


@dataclass(frozen=True)
class Account:
    """The account a server runs as. `reach_everything`: keep the capability to pass directories closed to
    others."""

    uid: int
    gid: int
    reach_everything: bool


class _Spawner:
    """One thread that starts every child and lives as long as the process.

    PR_SET_PDEATHSIG fires when the *thread* that forked ends, not when the process does. A child started from
    a pool thread (`asyncio.to_thread`) would be killed when the pool shrinks; started from here it dies with
    the process only.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._work: queue.SimpleQueue[tuple[Start, Future[subprocess.Popen[bytes]]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="spawner", daemon=True).start()

    def _run(self) -> None:
        while True:
            start, started = self._work.get()
            try:
                started.set_result(start())
            except BaseException as error:  # noqa: BLE001 - handed to the caller, who waits for it
                started.set_exception(error)

    def submit(self, start: Start) -> subprocess.Popen[bytes]:
        started: Future[subprocess.Popen[bytes]] = Future()
        self._work.put((start, started))
        return started.result()


_spawner: _Spawner | None = None
_spawner_guard = threading.Lock()


def spawn(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    account: Account | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Starts argv[0] (a path) as our direct child, in a session of its own, output appended to `log`.

    The kernel kills it when this process ends in any way, SIGKILL included (Linux). A session of its own
    keeps a Ctrl-C at the terminal from reaching it before its clients have stopped. Safe from any thread.
    Raises OSError."""
    global _spawner
    with _spawner_guard:
        if _spawner is None or _spawner.pid != os.getpid():
            _spawner = _Spawner()
    who = "-" if account is None else f"{account.uid}:{account.gid}:{int(account.reach_everything)}"
    command = [sys.executable, "-I", "-S", str(CHILD), str(os.getpid()), who, *map(str, argv)]

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
            )

    return _spawner.submit(start)


def signal_at_parents_end(number: signal.Signals) -> None:
    """Asks the kernel to send us `number` when the process that started us ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def stop_process(process: subprocess.Popen[bytes], first: signal.Signals, wait_seconds_max: float) -> bool:
    """Asks with `first`, waits, then kills. Returns whether it went by itself."""
    if process.poll() is not None:
        return True
    process.send_signal(first)
    try:
        process.wait(wait_seconds_max)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers themselves do; without it a port in TIME_WAIT would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(taken: Sequence[int] = ()) -> int:
    """A loopback port nobody listens on. Another process may still take it: whoever uses it must try again
    then."""
    chance = random.SystemRandom()
    for _ in range(PORT_TRIES_MAX):
        port = chance.randrange(PORT_MIN, PORT_MAX)
        if port not in taken and port_is_free(port):
            return port
    raise EmbeddedServerError(f"找不到空闲端口 / no free port in {PORT_MIN}-{PORT_MAX}")


def remembered_ports(file: Path, names: Sequence[str]) -> dict[str, int]:
    """The ports of the last start where they are still free, new ones otherwise."""
    known: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError, ValueError):  # a file cut short by a kill counts as none
        known = json.loads(file.read_text("utf-8"))
    ports: dict[str, int] = {}
    for name in names:
        last = known.get(name)
        ports[name] = last if isinstance(last, int) and port_is_free(last) else free_port([*ports.values()])
    return ports


def write_ports(file: Path, ports: Mapping[str, int]) -> None:
    write_atomically(file, json.dumps(ports))


def write_atomically(file: Path, text: str, mode: int = 0o644) -> None:
    """Writes beside and renames: a reader or a kill never sees half a file."""
    beside = file.with_name(f"{file.name}.{os.getpid()}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as output:
        output.write(text)
    beside.replace(file)


def lock_directory(directory: Path) -> int:
    """Takes the directory's lock and returns its descriptor, to be passed on to the server and closed at the
    end.

    Because the server inherits it, the lock is held until the last process that uses the directory is gone,
    also after our own SIGKILL: who holds the lock knows that any pid file found inside is stale. Raises
    EmbeddedServerError."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "in_use", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + LOCK_WAIT_SECONDS_MAX
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise EmbeddedServerError(
                    f"数据目录正被另一个进程使用 / data directory is in use by another process: {directory}"
                ) from None
        time.sleep(POLL_SECONDS)


def keep_log_small(log: Path) -> None:
    """One older log is kept beside the current one."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".old.log"))


def log_text(log: Path, since: int) -> str:
    """All that was written after byte `since`."""
    with log.open("rb") as source:
        source.seek(since)
        return source.read().decode("utf-8", "replace")


def log_tail(log: Path, since: int = 0) -> str:
    """The last lines written after byte `since`, at most LOG_TAIL_BYTES_MAX."""
    if not log.exists():
        return ""
    with log.open("rb") as source:
        size = source.seek(0, os.SEEK_END)
        source.seek(max(since, size - LOG_TAIL_BYTES_MAX))
        return source.read().decode("utf-8", "replace")
