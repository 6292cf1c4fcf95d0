"""Several real brokers on this machine that form one cluster: every node is broker and controller.

Start, stop and kill node by node live here; how one node is run is in kafka.py.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from hub.embedded import process
from hub.embedded.kafka import EmbeddedKafka, Quorum, new_cluster_id

NODES_DEFAULT: Final = 3


class EmbeddedCluster:
    """`nodes` brokers under `data_dir`, replication `nodes` and min.insync `nodes - 1` for the internal
    topics.

    Node ids begin with 1. `settings` go over ours on every node. `start` raises EmbeddedServerError."""

    def __init__(
        self,
        data_dir: Path,
        *,
        nodes: int = NODES_DEFAULT,
        heap_mb: int = 384,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._data_dir = data_dir.resolve()
        self._data_dir.mkdir(parents=True, exist_ok=True)
        cluster, brokers, controllers = self._identity(nodes)
        insync = str(max(1, nodes - 1))
        replicated = {
            "offsets.topic.replication.factor": str(nodes),
            "transaction.state.log.replication.factor": str(nodes),
            "transaction.state.log.min.isr": insync,
            "share.coordinator.state.topic.replication.factor": str(nodes),
            "share.coordinator.state.topic.min.isr": insync,
            "min.insync.replicas": insync,
            "replica.lag.time.max.ms": "6000",
            **(settings or {}),
        }
        self.nodes = {
            node: EmbeddedKafka(
                self._data_dir / f"node-{node}",
                port=brokers[node],
                heap_mb=heap_mb,
                settings=replicated,
                quorum=Quorum(node, cluster, controllers),
            )
            for node in controllers
        }
        self._brokers = brokers

    def _identity(self, nodes: int) -> tuple[str, dict[int, int], dict[int, int]]:
        """Cluster id and ports, drawn once: the nodes must know each other's before the first one
        starts."""
        file = self._data_dir / "cluster.json"
        if file.exists():
            known = json.loads(file.read_text("utf-8"))
        else:
            taken: list[int] = []
            for _ in range(2 * nodes):
                taken.append(process.free_port(taken))
            known = {"id": new_cluster_id(), "brokers": taken[:nodes], "controllers": taken[nodes:]}
            process.write_atomically(file, json.dumps(known))
        return (
            known["id"],
            dict(enumerate(known["brokers"], 1)),
            dict(enumerate(known["controllers"], 1)),
        )

    @property
    def bootstrap(self) -> str:
        """Every node, for clients."""
        return ",".join(f"127.0.0.1:{port}" for port in self._brokers.values())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """All nodes at once: none is ready before a majority is up."""
        try:
            with ThreadPoolExecutor(len(self.nodes)) as pool:
                list(pool.map(EmbeddedKafka.start, self.nodes.values()))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """All nodes at once; the last one could not hand its leadership to anybody anyway."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(EmbeddedKafka.stop, self.nodes.values()))
