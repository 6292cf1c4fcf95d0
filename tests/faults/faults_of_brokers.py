"""What happens to brokers, the network and the database: nodes of three ended or killed, one broker
away, cables cut."""

import asyncio
import signal

from confluent_kafka.admin import AdminClient

from hub.embedded.kafka import EmbeddedKafka
from tests.faults.run import Cell, Fault, Run
from tests.faults.witness import Seen
from tests.faults.world import Shape

OUTAGE_S = 30.0
CUT_S = 12.0
DATABASE_AWAY_S = 5.0
_THREE = Shape(brokers=3, routers=2, deliveries=1)


async def _leader(run: Run) -> int:
    """The node that leads the first partition of case.inbound."""
    client = AdminClient({"bootstrap.servers": run.world.witness_bootstrap})
    topic = run.world.settings.topic("case.inbound")
    known = await asyncio.to_thread(client.list_topics, topic, 10)
    return int(known.topics[topic].partitions[0].leader)


async def _controller(run: Run) -> int:
    """The node that is the active controller: the quorum's leader, by the word of its own log."""
    client = AdminClient({"bootstrap.servers": run.world.witness_bootstrap})
    described = await asyncio.to_thread(lambda: client.describe_cluster(request_timeout=10).result())
    return int(described.controller.id)


def node_ended(which: str, number: signal.Signals) -> Fault:
    """End the leader's or the controller's node under load, let it stay away a while, start it again."""

    async def fault(run: Run) -> None:
        assert run.world.cluster is not None
        number_of = await (_leader(run) if which == "leader" else _controller(run))
        node = run.world.cluster.nodes[number_of]
        run.facts["node"] = number_of
        await asyncio.to_thread(node.kill if number == signal.SIGKILL else node.stop)
        await run.more(80)
        await asyncio.to_thread(EmbeddedKafka.start, node)
        await run.more(40)

    return fault


async def outage(run: Run) -> None:
    """The only broker is killed and stays away."""
    assert run.world.kafka is not None
    await asyncio.to_thread(run.world.kafka.kill)
    await asyncio.sleep(OUTAGE_S)
    await asyncio.to_thread(run.world.kafka.start)
    await run.more(80)


async def cut(run: Run) -> None:
    """Nothing passes between the hub and its broker for longer than session and transaction allow, then
    all of it."""
    assert run.world.proxy is not None
    run.world.proxy.cut()
    await asyncio.sleep(CUT_S)
    run.world.proxy.mend()
    await run.more(60)
    run.world.proxy.drop()
    await run.more(60)


async def database_killed(run: Run) -> None:
    """PostgreSQL is killed and started again; routing and delivery must not notice."""
    postgres = run.world.postgres
    assert postgres is not None
    await asyncio.to_thread(postgres.kill)
    await run.more(60)
    await asyncio.sleep(DATABASE_AWAY_S)
    await asyncio.to_thread(postgres.start)
    await run.more(60)


async def projected(run: Run, seen: list[Seen]) -> list[str]:
    """The database has each accepted message once, with its final disposition."""
    import asyncpg

    wanted = {one.headers["ce_id"].decode() for one in seen if one.topic == "case.inbound"}
    got: set[str] = set()
    for _ in range(120):
        connection = await asyncpg.connect(run.world.env["HUB_DATABASE_URL"])
        try:
            rows = await connection.fetch(
                "SELECT id FROM messages WHERE disposition = 'routed' AND received_at IS NOT NULL"
            )
        finally:
            await connection.close()
        got = {row["id"] for row in rows}
        if wanted <= got:
            return []
        await asyncio.sleep(0.25)
    return [f"projected {len(wanted & got)} of {len(wanted)} messages"]


CELLS = (
    *(
        Cell(
            f"{word}-{which}",
            f"{word.upper()} to the {what}, restarted later",
            node_ended(which, number),
            _THREE,
        )
        for which, what in (("leader", "leader of 3 brokers"), ("controller", "controller of 3 brokers"))
        for word, number in (("sigterm", signal.SIGTERM), ("sigkill", signal.SIGKILL))
    ),
    Cell(
        "broker-outage",
        f"the only broker SIGKILLed, back after {OUTAGE_S:.0f} s",
        outage,
        Shape(own_broker=True, gateways=1),
        through_gateway=True,
        imposed_s=OUTAGE_S,
    ),
    Cell(
        "network-cut",
        f"hub and broker cut apart for {CUT_S:.0f} s, later all connections reset",
        cut,
        Shape(proxied=True),
        imposed_s=CUT_S,
    ),
    Cell(
        "postgres-killed",
        f"PostgreSQL SIGKILLed, back after {DATABASE_AWAY_S:.0f} s and 60 messages",
        database_killed,
        Shape(routers=1, projectors=1, database=True, gateways=1),
        through_gateway=True,
        allowed=frozenset(),
        check=projected,
    ),
)
