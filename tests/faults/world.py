"""One installation under test: brokers, the hub's roles as processes of the command line, their
settings. No fault is made here."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub.config import Settings
from hub.embedded.cluster import EmbeddedCluster
from hub.embedded.kafka import EmbeddedKafka
from hub.embedded.postgres import EmbeddedPostgres
from hub.embedded.process import free_port
from hub.provision import provision
from hub.supervisor import ProcessSpec, Supervisor
from tests.faults.load import DIRECTORY
from tests.faults.proxy import Proxy
from tests.servers import POSTGRES_FOR_TESTS

PARTITIONS = 3
TRANSACTION_TIMEOUT_MS = 15_000


@dataclass(frozen=True)
class Shape:
    """What an installation is made of. brokers: 1 or 3. own_broker: not shared with other cells, because
    the cell harms it. proxied: the hub reaches its broker through a proxy. broker: settings of the
    broker."""

    routers: int = 2
    deliveries: int = 1
    gateways: int = 0
    projectors: int = 0
    brokers: int = 1
    own_broker: bool = False
    proxied: bool = False
    database: bool = False
    broker: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    tmpfs: Mapping[str, int] = field(default_factory=dict)

    @property
    def shares(self) -> bool:
        """Whether the session's broker will do."""
        return self.brokers == 1 and not self.own_broker and not self.proxied and not self.broker


class Servers:
    """Brokers and databases of one run of the matrix: the shared ones are started when first asked for."""

    def __init__(self, base: Path, shared_bootstrap: str = "") -> None:
        self._base = base
        self._stack = ExitStack()
        self._shared: EmbeddedKafka | None = None
        self._shared_bootstrap = shared_bootstrap
        self._postgres: EmbeddedPostgres | None = None

    def shared(self) -> str:
        """The session's broker."""
        if self._shared_bootstrap:
            return self._shared_bootstrap
        if self._shared is None:
            self._shared = self._stack.enter_context(EmbeddedKafka(self._base / "shared-kafka"))
        return self._shared.bootstrap

    def close(self) -> None:
        """Stop them."""
        self._stack.close()


class World:
    """An installation while a cell runs. `supervisor` holds the hub's processes by name: router-1,
    delivery-1…"""

    def __init__(
        self, base: Path, name: str, shape: Shape, servers: Servers, town_env: Mapping[str, str]
    ) -> None:
        self.base = base / name
        self.name = name
        self.shape = shape
        self._servers = servers
        self._town_env = dict(town_env)
        self._stack = ExitStack()
        self.kafka: EmbeddedKafka | None = None
        self.cluster: EmbeddedCluster | None = None
        self.postgres: EmbeddedPostgres | None = None
        self.proxy: Proxy | None = None
        self.supervisor: Supervisor
        self._processes: list[ProcessSpec] = []
        self.env: dict[str, str] = {}
        self.witness_bootstrap = ""
        self.gateway_urls: list[str] = []

    async def start(self) -> None:
        """Servers, topics, processes; returns when every role is ready."""
        shutil.rmtree(self.base, ignore_errors=True)
        self.base.mkdir(parents=True)
        for path, mib in self.shape.tmpfs.items():
            self._mount(self.base / path, mib)
        bootstrap = await self._brokers()
        self.env = {
            "HUB_KAFKA_BOOTSTRAP": bootstrap,
            "HUB_TOPIC_PREFIX": f"{self.name}.",
            "HUB_DATA_DIR": str(self.base / "data"),
            "HUB_DIRECTORY_DIR": str(DIRECTORY),
            "HUB_PARTITIONS": str(PARTITIONS),
            "HUB_REPLICATION_FACTOR": str(self.shape.brokers),
            "HUB_MIN_INSYNC_REPLICAS": str(max(1, self.shape.brokers - 1)),
            "HUB_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef",
            "HUB_TOKEN_KEY": "0123456789abcdef0123456789abcdef",
            "HUB_TRANSACTION_TIMEOUT_MS": str(TRANSACTION_TIMEOUT_MS),
            "HUB_BATCH_RECORDS_MAX": "50",
            **self._town_env,
            **{name: value.replace("{base}", str(self.base)) for name, value in self.shape.env.items()},
        }
        if self.shape.database:
            self.postgres = EmbeddedPostgres(self.base / "postgres", settings=POSTGRES_FOR_TESTS)
            self._stack.callback(self.postgres.stop)
            await asyncio.to_thread(self.postgres.start)
            self.env["HUB_DATABASE_URL"] = await asyncio.to_thread(self.postgres.create_database, "hub")
        await provision(self.settings)
        self._processes = self._specs()
        self._stack.callback(self.stop_roles)
        await asyncio.to_thread(self.start_roles)

    def start_roles(self) -> None:
        """Every process of the hub, ready."""
        self.supervisor = Supervisor(self._processes, self.base / "logs")
        self.supervisor.start()

    def stop_roles(self) -> None:
        """Every process of the hub, in order."""
        self.supervisor.stop()

    def _mount(self, path: Path, mib: int) -> None:
        """A disk of this size."""
        path.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "tmpfs", str(path)]
        subprocess.run(mount, check=True, capture_output=True)
        self._stack.callback(subprocess.run, ["umount", "-l", str(path)], check=False)

    async def _brokers(self) -> str:
        shape = self.shape
        if shape.shares:
            self.witness_bootstrap = await asyncio.to_thread(self._servers.shared)
            return self.witness_bootstrap
        if shape.brokers > 1:
            self.cluster = EmbeddedCluster(self.base / "kafka", nodes=shape.brokers, settings=shape.broker)
            self._stack.callback(self.cluster.stop)
            await asyncio.to_thread(self.cluster.start)
            self.witness_bootstrap = self.cluster.bootstrap
            return self.cluster.bootstrap
        port = free_port() if shape.proxied else None
        self.kafka = EmbeddedKafka(self.base / "kafka", settings=shape.broker, proxy_port=port)
        self._stack.callback(self.kafka.stop)
        await asyncio.to_thread(self.kafka.start)
        self.witness_bootstrap = self.kafka.bootstrap
        if port is None:
            return self.kafka.bootstrap
        self.proxy = Proxy(port, self.kafka.proxied_port)
        await self.proxy.start()
        return f"127.0.0.1:{port}"

    async def stop(self) -> None:
        """Processes, then servers."""
        await asyncio.to_thread(self._stack.close)
        if self.proxy is not None:
            await self.proxy.stop()

    @property
    def settings(self) -> Settings:
        """As the roles have them."""
        return Settings.from_env(self.env)

    @property
    def outside(self) -> Settings:
        """The same installation for whoever watches: never through the proxy."""
        return Settings.from_env({**self.env, "HUB_KAFKA_BOOTSTRAP": self.witness_bootstrap})

    def _specs(self) -> list[ProcessSpec]:
        shape = self.shape
        counts = {
            "gateway": shape.gateways,
            "router": shape.routers,
            "delivery": shape.deliveries,
            "projector": shape.projectors,
        }
        taken: list[int] = []
        specs = []
        for role, count in counts.items():
            for number in range(1, count + 1):
                taken.append(free_port(taken))
                specs.append(self._spec(role, f"{role}-{number}", f"127.0.0.1:{taken[-1]}"))
        return specs

    def _spec(self, role: str, name: str, listen: str) -> ProcessSpec:
        # A worker has a machine of its own: stores are not shared.
        env = {**self.env, "HUB_WORKER_ID": name, "HUB_DATA_DIR": str(self.base / "data" / name)}
        env["HUB_GATEWAY_LISTEN" if role == "gateway" else "HUB_METRICS_LISTEN"] = listen
        if role == "gateway":
            self.gateway_urls.append(f"http://{listen}")
        return ProcessSpec(name, serve(role), env, f"http://{listen}/readyz", stage=1)

    def names(self, role: str) -> list[str]:
        """The processes of a role."""
        return [state.name for state in self.supervisor.states() if state.name.startswith(role + "-")]

    def spawn_env(self, name: str) -> dict[str, str]:
        """The environment of one more process."""
        return {
            **os.environ,
            **self.env,
            "HUB_WORKER_ID": name,
            "HUB_DATA_DIR": str(self.base / "data" / name),
        }


def can_mount() -> bool:
    """Whether this process may mount a small disk."""
    with tempfile.TemporaryDirectory() as path:
        tried = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], capture_output=True, check=False
        )
        if tried.returncode == 0:
            subprocess.run(["umount", path], check=False)
        return tried.returncode == 0


def serve(role: str) -> Sequence[str]:
    """The command line of a role."""
    return [sys.executable, "-m", "hub", "serve", role]


def restarts(world: World) -> dict[str, Any]:
    """How often each process was started again."""
    return {state.name: state.restarts for state in world.supervisor.states() if state.restarts}
