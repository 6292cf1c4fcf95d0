"""The supervisor: restarts what dies, gives up on what cannot live, stops stage after stage, and says what
happened."""

import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.supervisor import ProcessSpec, Supervisor, SupervisorError


def python(name: str, program: str, **more: object) -> ProcessSpec:
    return ProcessSpec(name, [sys.executable, "-u", "-c", program], **more)  # type: ignore[arg-type]


def eventually(holds: Callable[[], bool], seconds_max: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds_max
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


FOREVER = "import signal; signal.pause()"
SERVE = (
    "import http.server, sys; h = http.server.BaseHTTPRequestHandler\n"
    "h.do_GET = lambda self: (self.send_response(200), self.end_headers())\n"
    "http.server.HTTPServer(('127.0.0.1', {port}), h).serve_forever()"
)


def test_a_killed_process_comes_back_and_its_readiness_is_awaited(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    spec = python("gateway", SERVE.format(port=port), ready=f"http://127.0.0.1:{port}/")
    with Supervisor([spec], tmp_path) as supervisor:
        supervisor.start()
        first = supervisor.pids["gateway"]
        assert supervisor.kill("gateway", signal.SIGKILL) == first
        assert eventually(lambda: supervisor.state("gateway").restarts == 1)
        supervisor.wait_ready()
        assert supervisor.pids["gateway"] != first
        assert supervisor.state("gateway").last_exit == -signal.SIGKILL


def test_a_process_that_cannot_live_is_given_up_and_its_last_words_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.supervisor.RESTARTS_WITHOUT_SETTLING_MAX", 2)
    monkeypatch.setattr("hub.supervisor.RESTART_DELAY_SECONDS_MIN", 0.01)
    spec = python("router", "import sys; sys.exit('no such topic')", ready="http://127.0.0.1:1/")
    with Supervisor([spec], tmp_path) as supervisor:
        with pytest.raises(SupervisorError, match=r"router[\s\S]*no such topic"):
            supervisor.start()
        assert supervisor.state("router").gave_up
        assert supervisor.state("router").restarts == 2
        time.sleep(0.3)
        assert supervisor.state("router").restarts == 2


def test_stages_stop_last_first_each_gone_before_the_next_is_asked(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    program = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    open({journal!r}, 'a').write('{name} asked\\n'); time.sleep(0.2)\n"
        "    open({journal!r}, 'a').write('{name} gone\\n'); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); open({journal!r} + '.{name}', 'w').close()\n"
        "while True: time.sleep(9)"
    )
    names = ["broker", "router", "gateway"]
    specs = [
        python(name, program.format(journal=str(journal), name=name), stage=stage)
        for stage, name in enumerate(names)
    ]
    with Supervisor(specs, tmp_path / "log") as supervisor:
        supervisor.start()
        assert eventually(lambda: all(Path(f"{journal}.{name}").exists() for name in names))
    assert journal.read_text().split("\n")[:-1] == [
        f"{name} {step}" for name in reversed(names) for step in ("asked", "gone")
    ]


def test_a_process_that_ignores_sigterm_is_killed_and_a_stopped_one_ends_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.supervisor.STOP_SECONDS_MAX", 1.0)
    up, gone = tmp_path / "up", tmp_path / "gone"
    stubborn = python("stubborn", f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {FOREVER}")
    frozen = python(
        "frozen",
        "import signal, sys; from pathlib import Path\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (Path({str(gone)!r}).touch(), sys.exit()))\n"
        f"Path({str(up)!r}).touch(); {FOREVER}",
    )
    with Supervisor([stubborn, frozen], tmp_path) as supervisor:
        supervisor.start()
        assert eventually(up.exists)
        supervisor.kill("frozen", signal.SIGSTOP)
    assert supervisor.pids == {}
    assert gone.exists()


def test_a_stop_is_not_taken_for_a_death(tmp_path: Path) -> None:
    supervisor = Supervisor([python("router", FOREVER)], tmp_path)
    supervisor.start()
    supervisor.stop()
    time.sleep(0.5)
    assert supervisor.pids == {}
    assert supervisor.state("router").restarts == 0
    with pytest.raises(SupervisorError, match="router"):
        supervisor.kill("router")
