"""Runs the hub's roles as child processes: starts them in stages, restarts what dies, stops them in order.

Processes, their logs and their readiness live here; nothing here knows what a role does. The kernel kills
every child when this process ends in any way (hub/embedded/process.py), so no path through this file can
leave an orphan.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from hub.embedded import process

RESTART_DELAY_SECONDS_MIN = 0.2
RESTART_DELAY_SECONDS_MAX = 5.0
RESTARTS_WITHOUT_SETTLING_MAX = 8
SETTLED_AFTER_SECONDS = 20.0
STOP_SECONDS_MAX = 15.0
READY_SECONDS_MAX = 90.0
READY_CALL_SECONDS_MAX = 2.0
POLL_SECONDS = 0.05


class SupervisorError(RuntimeError):
    """A process did not become ready or would not stay up; the text ends with the tail of its log."""


@dataclass(frozen=True)
class ProcessSpec:
    """One process. `argv[0]` is a path. `env` goes over our own environment. `ready`: a URL that answers 200
    once the process serves, or None. Stages start in ascending order, each when the one before is ready, and
    stop in descending order; the processes of one stage start and stop together."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: str | None = None
    stage: int = 0


@dataclass(frozen=True)
class ProcessState:
    """What is known of a process now. `pid` is None while it is down; `gave_up` means it is not started
    again."""

    name: str
    pid: int | None
    restarts: int
    last_exit: int | None
    gave_up: bool


@dataclass
class _Entry:
    spec: ProcessSpec
    child: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    last_exit: int | None = None
    failures: int = 0  # deaths in a row without having been up for SETTLED_AFTER_SECONDS
    started_at: float = 0.0
    start_again_at: float | None = None
    gave_up: bool = False


class Supervisor:
    """Thread-safe. One monitor thread restarts what dies, with a growing delay, until
    RESTARTS_WITHOUT_SETTLING_MAX."""

    def __init__(self, specs: Iterable[ProcessSpec], log_dir: Path, *, cwd: Path | None = None) -> None:
        self._entries = {spec.name: _Entry(spec) for spec in specs}
        self._log_dir = log_dir.resolve()
        self._cwd = cwd or Path.cwd()
        self._guard = threading.RLock()
        self._stopping = threading.Event()
        self._monitor: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, ready_seconds_max: float = READY_SECONDS_MAX) -> None:
        """Starts stage after stage, waiting for each. Raises SupervisorError naming the process that did not
        come up."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._stopping.clear()
        self._monitor = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._monitor.start()
        for stage in sorted({entry.spec.stage for entry in self._entries.values()}):
            names = [name for name, entry in self._entries.items() if entry.spec.stage == stage]
            with self._guard:
                for name in names:
                    self._launch(self._entries[name])
            self.wait_ready(names, ready_seconds_max)

    def stop(self) -> None:
        """SIGTERM, wait, SIGKILL; the highest stage first. Nothing is restarted any more."""
        self._stopping.set()
        if self._monitor is not None:
            self._monitor.join()
            self._monitor = None
        for stage in sorted({entry.spec.stage for entry in self._entries.values()}, reverse=True):
            children = [
                entry.child
                for entry in self._entries.values()
                if entry.spec.stage == stage and entry.child is not None and entry.child.poll() is None
            ]
            for child in children:
                child.terminate()
                child.send_signal(signal.SIGCONT)  # a stopped process would never see its SIGTERM
            deadline = time.monotonic() + STOP_SECONDS_MAX
            for child in children:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(max(0.0, deadline - time.monotonic()))
                process.stop_process(child, signal.SIGKILL, STOP_SECONDS_MAX)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Sends a signal and returns the pid it went to. Raises SupervisorError when the process is down."""
        with self._guard:
            child = self._entries[name].child
            if child is None or child.poll() is not None:
                raise SupervisorError(f"进程未在运行 / process is not running: {name}")
            child.send_signal(number)
            return child.pid

    def states(self) -> list[ProcessState]:
        with self._guard:
            return [_state(entry) for entry in self._entries.values()]

    def state(self, name: str) -> ProcessState:
        with self._guard:
            return _state(self._entries[name])

    @property
    def pids(self) -> dict[str, int]:
        """The processes that are up, by name."""
        return {state.name: state.pid for state in self.states() if state.pid is not None}

    def log(self, name: str) -> Path:
        return self._log_dir / f"{name}.log"

    def wait_ready(self, names: Iterable[str] | None = None, seconds_max: float = READY_SECONDS_MAX) -> None:
        """Returns when each process answers its ready URL, or is up when it has none. Raises
        SupervisorError."""
        deadline = time.monotonic() + seconds_max
        for name in list(self._entries if names is None else names):
            while not self._is_ready(name):
                if self.state(name).gave_up or time.monotonic() > deadline:
                    raise SupervisorError(
                        f"进程未就绪 / process did not become ready: {self.state(name)}, {self.log(name)}:\n"
                        f"{process.log_tail(self.log(name))}"
                    )
                time.sleep(POLL_SECONDS)

    def _is_ready(self, name: str) -> bool:
        if self.state(name).pid is None:
            return False
        ready = self._entries[name].spec.ready
        return ready is None or _answers(ready)

    def _launch(self, entry: _Entry) -> None:
        entry.start_again_at = None
        entry.started_at = time.monotonic()
        log = self.log(entry.spec.name)
        process.keep_log_small(log)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **entry.spec.env}
        entry.child = process.spawn(entry.spec.argv, env=environment, cwd=self._cwd, log=log)

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            with self._guard:
                for entry in self._entries.values():
                    self._look_at(entry)

    def _look_at(self, entry: _Entry) -> None:
        now = time.monotonic()
        if entry.start_again_at is not None:
            if now >= entry.start_again_at:
                entry.restarts += 1
                try:
                    self._launch(entry)
                except OSError:  # no memory or process left just now: as if it had died at once
                    self._failed(entry, now)
            return
        if entry.child is None or entry.gave_up:
            return
        code = entry.child.poll()
        if code is None:
            return
        entry.last_exit = code
        self._failed(entry, now)

    def _failed(self, entry: _Entry, now: float) -> None:
        entry.failures = 1 if now - entry.started_at > SETTLED_AFTER_SECONDS else entry.failures + 1
        if entry.failures > RESTARTS_WITHOUT_SETTLING_MAX:
            entry.gave_up = True
            return
        delay = RESTART_DELAY_SECONDS_MIN * 2 ** (entry.failures - 1)
        entry.start_again_at = now + min(delay, RESTART_DELAY_SECONDS_MAX)


def _state(entry: _Entry) -> ProcessState:
    up = entry.child is not None and entry.child.poll() is None
    pid = entry.child.pid if up and entry.child is not None else None
    return ProcessState(entry.spec.name, pid, entry.restarts, entry.last_exit, entry.gave_up)


# No proxy from the environment: what is asked for is our own process on this machine.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _answers(url: str) -> bool:
    try:
        with _direct.open(url, timeout=READY_CALL_SECONDS_MAX) as reply:
            return bool(reply.status == 200)
    except OSError:  # refused, reset, timed out, or an HTTP error: not ready yet
        return False


@contextlib.contextmanager
def orderly_termination() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP unwind the main thread like Ctrl-C does, so that `with` blocks stop their
    servers.

    Raises SystemExit(128 + signal). Main thread only."""

    def unwind(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, unwind)}
    # A shell starts background jobs with Ctrl-C ignored, which would leave us behind when its script is
    # interrupted.
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # ignored on purpose: nohup
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, unwind)
    # Taken out of the environment: our own children already die with us, by a signal they cannot miss.
    if os.environ.pop("HUB_STOP_WITH_PARENT", "") == "1":
        process.signal_at_parents_end(signal.SIGTERM)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
