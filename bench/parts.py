"""The parts of the benchmark by name. A part is a function from Bench to Report; it registers here and
nowhere else."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.harness import Bench, Report


@dataclass(frozen=True)
class Part:
    """module: under bench/, with `def run(bench: Bench) -> Report`, imported only when it is run; alone: a
    program of its own with its own broker, `python -m bench.<module> [quick]`, that keeps its own figures."""

    module: str
    what: str
    alone: bool = False

    def load(self) -> Callable[[Bench], Report]:
        run: Callable[[Bench], Report] = importlib.import_module("bench." + self.module).run
        return run


# In the order in which they are run.
PARTS: Final = {
    "copy": Part("copying", "records copied, 600 bytes: the bare lane beside its peers"),
    "router": Part("router", "case routing: the shipped router beside its peers"),
    "scaling": Part("scaling", "the shipped router with 1, 2 and 4 workers on 3, 6 and 12 partitions"),
    "gateway": Part("gateway", "signed cases a second with acks=all, beside the bare producer"),
    "latency": Part("latency", "gateway accepted → delivery call begins, at half the capacity"),
    "state": Part("state", "millions of live cases, hundreds of lanes in one process", alone=True),
    "signing": Part("signing", "SM2, RSA and ECDSA signatures beside openssl speed", alone=True),
    "evidence": Part("evidence", "the router's hash chain, and the evidence role beside it", alone=True),
    "takeover": Part("takeover", "how long a lane stands still when its worker is killed", alone=True),
}
