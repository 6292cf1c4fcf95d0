"""No process outlives its parent, whatever ends the parent, down to the servers a supervised role started
itself."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.embedded import process

GONE_SECONDS_MAX = 10.0

# A role that runs its own servers, as a process of its own below a supervisor, below a parent: three
# generations.
ROLE = """
import json, os, signal, sys
from pathlib import Path
from hub.embedded.kafka import EmbeddedKafka
from hub.embedded.postgres import EmbeddedPostgres
from hub.supervisor import orderly_termination
here = Path(sys.argv[1])
kafka, postgres = EmbeddedKafka(here / "kafka"), EmbeddedPostgres(here / "postgres")
with orderly_termination(), kafka, postgres:
    pids = {"role": os.getpid(), "java": kafka.pid, "postgres": postgres.pid}
    (here / "pids.new").write_text(json.dumps(pids))
    (here / "pids.new").rename(here / "pids")
    signal.pause()
"""
PARENT = """
import signal, sys
from pathlib import Path
from hub.supervisor import ProcessSpec, Supervisor, orderly_termination
here = Path(sys.argv[1])
spec = ProcessSpec("role", [sys.executable, "-c", (here / "role.py").read_text(), str(here)])
with orderly_termination(), Supervisor([spec], here / "log") as supervisor:
    supervisor.start()
    signal.pause()
"""


def alive(pid: int) -> bool:
    """Whether the process still runs; one that ended and was not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(holds: Callable[[], bool], seconds_max: float) -> bool:
    deadline = time.monotonic() + seconds_max
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_orphan_in_three_generations(tmp_path: Path, number: signal.Signals) -> None:
    here = tmp_path / "演示 1"
    here.mkdir()
    (here / "role.py").write_text(ROLE)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(here)],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert eventually((here / "pids").exists, 60.0), (here / "log" / "role.log").read_text()
        pids: dict[str, int] = json.loads((here / "pids").read_text())
        assert all(alive(pid) for pid in pids.values())
    finally:
        parent.send_signal(number)
        parent.wait(30)
    assert eventually(lambda: not any(alive(pid) for pid in pids.values()), GONE_SECONDS_MAX), pids
    # Asked politely, the servers stopped in order: PostgreSQL leaves its pid file only when it was killed.
    assert (here / "postgres" / "cluster" / "postmaster.pid").exists() == (number == signal.SIGKILL)


def test_a_child_started_from_a_short_lived_thread_stays(tmp_path: Path) -> None:
    """The kernel's parent-death signal watches the thread that forked; asyncio.to_thread's threads come and
    go."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        child = process.spawn(["/bin/sleep", "60"], env={}, cwd=Path("/"), log=tmp_path / "log")
        started.append(child)
        # The thread must end after the child has asked for the signal.
        assert eventually(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "sleep\n", 5.0)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    time.sleep(0.5)
    assert started[0].poll() is None
    started[0].kill()
    started[0].wait()


def test_a_child_takes_sigterm_although_its_parent_ignores_it(tmp_path: Path) -> None:
    """Started from a shell's background or under nohup, ignored signals are inherited across exec."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        child = process.spawn(["/bin/sleep", "60"], env={}, cwd=Path("/"), log=tmp_path / "log")
        assert eventually(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "sleep\n", 5.0)
    finally:
        signal.signal(signal.SIGTERM, before)
    child.terminate()
    assert child.wait(5) == -signal.SIGTERM


def test_the_end_of_make_stops_what_it_started(tmp_path: Path) -> None:
    """SIGKILL of the process above us: with HUB_STOP_WITH_PARENT we stop in order, and our children never see
    it."""
    program = (
        "import os, signal, sys; from pathlib import Path; from hub.supervisor import orderly_termination\n"
        "here = Path(sys.argv[1])\n"
        "try:\n"
        "    with orderly_termination():\n"
        "        (here / 'up').write_text(f\"{os.getpid()} {'HUB_STOP_WITH_PARENT' in os.environ}\")\n"
        "        signal.pause()\n"
        "finally:\n"
        "    (here / 'stopped in order').touch()\n"
    )
    maker = subprocess.Popen(
        ["/bin/sh", "-c", '"$@" & wait', "sh", sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.getcwd(), "HUB_STOP_WITH_PARENT": "1"},
    )
    up = tmp_path / "up"
    assert eventually(lambda: up.exists() and up.read_text() != "", 20.0)
    pid, inherited = up.read_text().split()
    assert inherited == "False"
    maker.kill()
    maker.wait()
    assert eventually(lambda: (tmp_path / "stopped in order").exists() and not alive(int(pid)), 5.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_ignored_by_the_starting_shell(tmp_path: Path, number: signal.Signals) -> None:
    """A script's background job has Ctrl-C ignored and must still end with it; nohup's ignored hang-up stays
    ignored."""
    program = (
        "import signal, sys; from pathlib import Path; from hub.supervisor import orderly_termination\n"
        "with orderly_termination():\n"
        "    Path(sys.argv[1], 'up').touch(); signal.sigtimedwait([], 20)\n"
    )
    before = signal.signal(number, signal.SIG_IGN)
    try:
        job = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            stderr=subprocess.DEVNULL,
        )
    finally:
        signal.signal(number, before)
    assert eventually((tmp_path / "up").exists, 20.0)
    job.send_signal(number)
    time.sleep(0.3)
    if number == signal.SIGHUP:
        assert job.poll() is None
        job.terminate()
    assert job.wait(10) != 0
