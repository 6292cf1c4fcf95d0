"""What happens to lanes beside signals: storms of rebalances, two owners of one transactional id,
cancelled commits, poison, outputs too large, a directory that knows nothing, a clock that jumps.
"""

import asyncio
import contextlib
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random

from hub import envelope
from hub.config import Settings
from hub.errors import HubError
from hub.kafka import Admin, TopicPartition, open_producer
from hub.router.orders import redrive_case, release_brake
from hub.router.role import RouterRole, _Runner
from hub.tables import follow_tables, publish_directory
from tests.faults.load import DIRECTORY, a_case, message_of
from tests.faults.run import BLIND_DOUBT, Cell, Run
from tests.faults.verdict import FINAL, ledgers_of
from tests.faults.world import PARTITIONS, Shape, serve

STORM_ROUNDS = 6
STORM_S = 3.0
CANCELLED = 40
INTRUSIONS = 5
JUMP_MS = 3_600_000
LARGE_BYTES = 200_000
LIMIT_BYTES = 150_000
POISON = 12


async def storm(run: Run) -> None:
    """Every 3 s one more router joins or one leaves, in order and not."""
    chance = Random(1)
    extra: list[subprocess.Popen[bytes]] = []
    log = (run.world.base / "logs" / "storm.log").open("ab")
    try:
        for turn in range(STORM_ROUNDS):
            if extra and turn % 2:
                extra.pop(0).send_signal(chance.choice((signal.SIGTERM, signal.SIGKILL)))
            extra.append(
                subprocess.Popen(
                    serve("router"), env=run.world.spawn_env(f"extra-{turn}"), stdout=log, stderr=log
                )
            )
            await asyncio.sleep(STORM_S)
        await run.more(20)
    finally:
        for process in extra:
            process.kill()
            await asyncio.to_thread(process.wait)
        log.close()
    await run.more(60)


@contextlib.asynccontextmanager
async def _lanes_here(run: Run) -> AsyncIterator[RouterRole]:
    """Router lanes in this process, outside the group: whoever runs one fences its owner."""
    settings = Settings.from_env(
        {**run.world.env, "HUB_DATA_DIR": str(run.world.base / "data" / "here"), "HUB_WORKER_ID": "here"}
    )
    async with Admin(settings) as admin:
        cluster_id = await admin.cluster_id()
    async with follow_tables(settings) as tables:
        yield RouterRole(settings, tables, cluster_id)


async def two_owners(run: Run) -> None:
    """Lanes that are open elsewhere are opened here too, under the same transactional ids, and work for
    a while."""
    async with _lanes_here(run) as role:
        place = run.world.settings.topic("case.inbound")
        for turn in range(INTRUSIONS):
            lane = asyncio.create_task(
                _Runner(role, TopicPartition(place, turn % PARTITIONS)).run(lambda: None)
            )
            await asyncio.sleep(2.0)
            lane.cancel()
            ended = await asyncio.gather(lane, return_exceptions=True)
            run.facts.setdefault("intruder ended by", []).append(type(ended[0]).__name__)
    await run.more(60)


async def cancelled(run: Run) -> None:
    """The lanes of this cell run here only, and are cancelled wherever they are, commits included, and
    opened again."""
    chance = Random(2)

    async def keep(role: RouterRole, partition: int, until: asyncio.Event) -> None:
        place = TopicPartition(run.world.settings.topic("case.inbound"), partition)
        for turn in range(1 << 30):
            opened = asyncio.Event()
            lane = asyncio.create_task(_Runner(role, place).run(opened.set))
            waiting = asyncio.create_task(opened.wait())
            await asyncio.wait({lane, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if turn < CANCELLED:
                await asyncio.wait({lane}, timeout=chance.uniform(0.05, 0.6))
            else:
                done = asyncio.create_task(until.wait())
                await asyncio.wait({lane, done}, return_when=asyncio.FIRST_COMPLETED)
                done.cancel()
            lane.cancel()
            ended = await asyncio.gather(lane, return_exceptions=True)
            if isinstance(ended[0], Exception) and not isinstance(ended[0], HubError):
                raise ended[0]
            if isinstance(ended[0], HubError):
                await asyncio.sleep(0.2)
            run.facts["cancelled"] = run.facts.get("cancelled", 0) + 1
            if until.is_set():
                return

    role = await run.stack.enter_async_context(_lanes_here(run))
    over = asyncio.Event()
    lanes = [asyncio.create_task(keep(role, partition, over)) for partition in range(PARTITIONS)]

    async def end() -> None:
        over.set()
        await asyncio.gather(*lanes)

    run.stack.push_async_callback(end)
    await run.until(
        "every lane cancelled often enough",
        lambda: run.facts.get("cancelled", 0) >= CANCELLED * PARTITIONS,
        120,
    )
    await run.more(40)


async def poison(run: Run) -> None:
    """Records nobody can read on case.inbound and commands.router: no envelope, half an envelope,
    another key, no value."""
    settings = run.world.outside
    async with open_producer(settings) as producer:
        for number in range(POISON):
            key = f"poison {number}".encode()
            headers = [[], [("ce_id", b"%032x" % number)], [("ce_specversion", b"\xff")]][number % 3]
            await producer.send("case.inbound", key, b"\x00\xff\x00", headers)
            await producer.send("commands.router", key, b"{not json", [])
            await run.more(5)


async def too_large(run: Run) -> None:
    """One output of a message is over its topic's limit: its case parks, with nothing of it anywhere
    else; the others go on."""
    settings = run.world.outside
    async with Admin(settings) as admin:
        await admin.alter_config(settings.topic("deliver.archive"), {"max.message.bytes": str(LIMIT_BYTES)})
    await asyncio.sleep(1.0)
    one = a_case("too large", 1)[0]
    form = {"formId": "f", "version": "1", "mediaType": "text/plain", "content": "QUFB" * (LARGE_BYTES // 4)}
    large = message_of(replace(one, body={**one.body, "form": form}))
    async with open_producer(settings) as producer:
        await producer.send("case.inbound", large.subject.encode(), large.value, envelope.to_headers(large))
    await run.more(150)
    lines = ledgers_of(list(run.witness.seen)).lines.get(one.id, [])
    run.facts["the large one"] = [line["disposition"] for line in lines]


async def knows_nothing(run: Run) -> None:
    """A directory in which no item is known is published. The brake stops the lanes; the right one is
    published, an operator lets the brake off, what was parked before it is redriven."""
    settings = run.world.outside
    wrong = run.world.base / "wrong-directory"
    shutil.copytree(DIRECTORY, wrong)
    items = wrong / "items.yaml"
    items.write_text(items.read_text("utf-8").replace("460131003000", "460131009000"), "utf-8")
    await publish_directory(Settings.from_env({**run.world.env, "HUB_DIRECTORY_DIR": str(wrong)}))
    logs = [run.world.supervisor.log(name) for name in run.world.names("router")]
    braked = [f"case.inbound-{partition}" for partition in range(PARTITIONS)]
    await run.until(
        "every lane braked",
        lambda: sum(log.read_text().count("lane.braked") for log in logs) >= PARTITIONS,
        90,
    )
    known = [log.read_text().count("directory.changed") for log in logs]
    await publish_directory(settings)
    await run.until(
        "every router has the right directory",
        lambda: all(
            log.read_text().count("directory.changed") > before
            for log, before in zip(logs, known, strict=True)
        ),
    )
    for lane in braked:
        await release_brake(settings, lane, "operator", "the directory is mended")
    await run.more(100)
    parked = _parked(run)
    run.facts["parked before the brake"] = len(parked)
    while parked := _parked(run):
        for case in parked:
            await redrive_case(settings, case, "operator", "the directory is mended")
        await run.more(10)
        await asyncio.sleep(2.0)


def _parked(run: Run) -> list[str]:
    lines = ledgers_of(list(run.witness.seen)).lines.values()
    standing = [found for found in lines if not any(line["disposition"] in FINAL for line in found)]
    return sorted(
        {str(line["caseNo"]) for found in standing for line in found if line["disposition"] == "parked"}
    )


async def clock_jumps(run: Run) -> None:
    """The clock of every process jumps an hour ahead while messages wait for their predecessors, and
    comes back: nothing lapses."""
    settings = run.world.outside
    early = [a_case(f"early {number}", 2) for number in range(6)]
    async with open_producer(settings) as producer:

        async def hand_in(step: int) -> None:
            for case in early:
                made = message_of(case[step])
                await producer.send(
                    "case.inbound", made.subject.encode(), made.value, envelope.to_headers(made)
                )
                run.load.acknowledged[case[step].id] = case[step]

        await hand_in(1)
        await run.more(30)
        shift = run.world.base / "clock-shift-ms"
        shift.write_text(str(JUMP_MS))
        await asyncio.sleep(6.0)
        shift.write_text(str(-JUMP_MS))
        await asyncio.sleep(4.0)
        shift.write_text("0")
        await run.more(30)
        await hand_in(0)
    await run.more(30)


CELLS = (
    Cell("rebalance-storm", f"routers join and leave every {STORM_S:.0f} s, {STORM_ROUNDS} times", storm),
    Cell(
        "two-owners",
        f"lanes opened a second time under the same transactional id, {INTRUSIONS} times",
        two_owners,
    ),
    Cell(
        "commit-cancelled",
        f"router lanes cancelled wherever they are, {CANCELLED} times each",
        cancelled,
        Shape(routers=0),
    ),
    Cell(
        "poison",
        f"{POISON} unreadable records on case.inbound and commands.router",
        poison,
        allowed=BLIND_DOUBT | {"router parked"},
    ),
    Cell(
        "output-too-large",
        "one output of a message over its topic's limit",
        too_large,
        allowed=BLIND_DOUBT | {"router parked"},
    ),
    Cell(
        "directory-knows-nothing",
        "a directory without any known item, then the right one and a redrive",
        knows_nothing,
        allowed=frozenset(),
        imposed_s=20.0,
    ),
    Cell(
        "clock-jump",
        "the hub's clock jumps an hour ahead, an hour back, and agrees again",
        clock_jumps,
        Shape(env={"HUB_CLOCK_SHIFT_FILE": "{base}/clock-shift-ms"}),
        allowed=frozenset(),
    ),
)
