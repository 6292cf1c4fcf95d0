"""One hub on this machine: data directory, secrets, ports, embedded servers and the processes of all roles.

`demo` and `up` differ only in whether simulated members run beside it.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import msgspec

from hub.config import Settings
from hub.embedded.kafka import EmbeddedKafka
from hub.embedded.postgres import EmbeddedPostgres
from hub.embedded.process import free_port
from hub.local.evidence import make_keys
from hub.local.notices import notices_env
from hub.provision import provision
from hub.supervisor import ProcessSpec, Supervisor

ROLES: Final = ("gateway", "router", "delivery", "evidence", "projector", "views", "console", "sync")
# What a person looks at beside the exchange itself; the books do not need it.
SHOWN_ROLES: Final = (*ROLES, "notices")
STUBS: Final = ("platform", "dept-a", "dept-b", "s08", "credit", "nation", "supervision")
# Member -> the stub process that plays it.
PLAYED_BY: Final = {
    "platform": "platform",
    "dept-a": "dept-a",
    "dept-b": "dept-b",
    "window-haikou": "s08",
    "window-sanya": "s08",
    "credit": "credit",
    "nation": "nation",
    "supervision": "supervision",
}
PARTITIONS: Final = 3
_DIRECTORIES_MAX: Final = 50


class Secrets(msgspec.Struct, frozen=True):
    """Drawn once per data directory, kept in it readable by the owner only."""

    pseudonym_key: str
    token_key: str
    admin_password: str
    members: dict[str, dict[str, str]]

    @classmethod
    def draw(cls) -> "Secrets":
        """Fresh secrets for a demonstration."""
        members = {
            member: {
                name: secrets.token_hex(16) for name in ("INBOUND_KEY", "OUTBOUND_KEY", "SP_KEY", "SP_SECRET")
            }
            for member in PLAYED_BY
        }
        return cls(secrets.token_hex(32), secrets.token_hex(32), secrets.token_urlsafe(9), members)


class DataDirectory:
    """A data directory held by a lock for as long as this process lives; a second run takes the next one."""

    def __init__(self, base: Path) -> None:
        self.recovered = False
        for number in range(1, _DIRECTORIES_MAX + 1):
            path = base if number == 1 else base.with_name(f"{base.name}-{number}")
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.with_name(path.name + ".lock").open("a")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            self.path, self._lock = path, lock
            break
        else:
            raise SystemExit(f"没有空闲的数据目录 / no free data directory under {base.parent}")
        # Left by a run that was killed: recovered, never wiped.
        self.recovered = (self.path / "secrets.json").exists()
        self.path.mkdir(parents=True, exist_ok=True)

    def secrets(self) -> Secrets:
        """The directory's secrets, drawn when it is new."""
        file = self.path / "secrets.json"
        if file.exists():
            return msgspec.json.decode(file.read_bytes(), type=Secrets)
        drawn = Secrets.draw()
        part = file.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_bytes(msgspec.json.encode(drawn))
        part.rename(file)
        return drawn

    def remove(self) -> None:
        """After a clean end nothing needs to stay."""
        shutil.rmtree(self.path, ignore_errors=True)


class LocalHub:
    """Embedded servers plus a supervisor over every role (and stub). Use as a context manager."""

    def __init__(
        self,
        data: DataDirectory,
        *,
        roles: Sequence[str] = ROLES,
        stubs: Sequence[str] = STUBS,
        members: Sequence[str] = tuple(PLAYED_BY),
        extra_env: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self._roles = roles
        self.stubs = stubs
        self._members = members
        self._extra = dict(extra_env or {})
        self._stack = contextlib.ExitStack()
        self.secrets = data.secrets()
        self.env: dict[str, str] = {}
        self._own_env: dict[str, dict[str, str]] = {}
        self.supervisor: Supervisor | None = None
        self.urls: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self._start_servers()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start_servers(self) -> None:
        given = {name: os.environ.get(name, "") for name in ("HUB_KAFKA_BOOTSTRAP", "HUB_DATABASE_URL")}
        path = self.data.path
        if given["HUB_KAFKA_BOOTSTRAP"]:
            bootstrap = given["HUB_KAFKA_BOOTSTRAP"]
        else:
            bootstrap = self._stack.enter_context(EmbeddedKafka(path / "kafka")).bootstrap
        if given["HUB_DATABASE_URL"]:
            database, nation = given["HUB_DATABASE_URL"], os.environ.get("HUB_NATION_DATABASE_URL", "")
        else:
            postgres = self._stack.enter_context(EmbeddedPostgres(path / "postgres"))
            database, nation = postgres.create_database("hub"), postgres.create_database("nation")
        ports = iter(free_ports(len(self._roles) + len(STUBS) + 3))
        self.urls = {
            name: f"http://127.0.0.1:{next(ports)}" for name in ("gateway", "console", "views", *STUBS)
        }
        self.env = {
            "HUB_KAFKA_BOOTSTRAP": bootstrap,
            "HUB_DATABASE_URL": database,
            "HUB_NATION_DATABASE_URL": nation,
            "HUB_DATA_DIR": str(path),
            "HUB_PARTITIONS": str(PARTITIONS),
            "HUB_PSEUDONYM_KEY": self.secrets.pseudonym_key,
            "HUB_TOKEN_KEY": self.secrets.token_key,
            "HUB_CONSOLE_ADMIN_PASSWORD": self.secrets.admin_password,
            "HUB_GATEWAY_LISTEN": _listen(self.urls["gateway"]),
            "HUB_CONSOLE_LISTEN": _listen(self.urls["console"]),
            "HUB_VIEWS_LISTEN": _listen(self.urls["views"]),
            "HUB_GATEWAY_URL": self.urls["gateway"],
            "HUB_VIEWS_URL": self.urls["views"],
            "HUB_CREDIT_TIMEOUT_MS": "8000",
            # The example cases bear fixed dates: they must not age out of a demonstration (G8).
            "HUB_CLOSED_CASE_KEEP_DAYS": "36500",
            "HUB_LOG_LEVEL": "INFO",
            "HUB_STUB_MEMBERS": ",".join(self._members),
            **self._extra,
        }
        keys = make_keys(path, self.secrets.token_key, self.urls["nation"])
        self.env |= keys.everybody
        self._own_env = {"evidence": keys.evidence_role} | dict.fromkeys(STUBS, keys.members)
        if "notices" in self._roles:
            self._own_env["notices"] = notices_env(path, self.secrets.token_key, self.urls["console"])
        for member, stub in PLAYED_BY.items():
            prefix = f"HUB_MEMBER_{member.upper().replace('-', '_')}_"
            self.env[prefix + "URL"] = self.urls[stub]
            for name, value in self.secrets.members[member].items():
                self.env[prefix + name] = value
        self._metrics = {role: f"127.0.0.1:{next(ports)}" for role in self._roles}

    @property
    def books(self) -> dict[str, str]:
        """Member -> URL of its own book, of the members connected here."""
        return {member: self.urls[PLAYED_BY[member]] for member in self._members}

    @property
    def settings(self) -> Settings:
        """Settings as the roles have them."""
        return Settings.from_env(self.env)

    def provision(self) -> None:
        """Topics and directory; the members' URLs are taken from the environment by whoever calls them."""
        asyncio.run(provision(self.settings))

    def start(self) -> Supervisor:
        """Start every process and wait until each is ready. Raises SupervisorError."""
        specs = [self._role(role) for role in self._roles] + [self._stub(stub) for stub in self.stubs]
        self.supervisor = self._stack.enter_context(Supervisor(specs, self.data.path / "logs"))
        self.supervisor.start()
        return self.supervisor

    def _role(self, role: str) -> ProcessSpec:
        own = self._own_env.get(role, {})
        env = {**self.env, **own, "HUB_METRICS_LISTEN": self._metrics[role], "HUB_WORKER_ID": role}
        base = self.urls.get(role, f"http://{self._metrics[role]}")
        return ProcessSpec(role, _python("serve", role), env, base + "/readyz", stage=1)

    def _stub(self, stub: str) -> ProcessSpec:
        own = self._own_env[stub]
        env = {**self.env, **own, "HUB_STUB_LISTEN": _listen(self.urls[stub]), "HUB_LOG_LEVEL": "WARNING"}
        return ProcessSpec(stub, _python("stub", stub), env, self.urls[stub] + "/healthz", stage=1)


def _python(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "hub", *arguments]


def _listen(url: str) -> str:
    return url.removeprefix("http://")


def free_ports(count: int) -> list[int]:
    """Free loopback ports, all different, below the range that outgoing connections take theirs from."""
    taken: list[int] = []
    for _ in range(count):
        taken.append(free_port(taken))
    return taken


def pages(hub: LocalHub) -> Iterator[tuple[str, str]]:
    """What a person opens first: (name, address)."""
    yield "控制台 / console", hub.urls["console"]
    yield "网关 / gateway", hub.urls["gateway"] + "/docs"
