"""faust-streaming with its own exactly_once and a table: copy, or case routing. The table is in memory with a
changelog topic, its fastest store."""

import sys

import faust

from bench.peers import work

COMMIT_S = 0.5

job = work.given()
app = faust.App(
    job.name,
    broker="kafka://" + job.bootstrap,
    processing_guarantee="exactly_once",
    store="memory://",
    datadir=job.scratch + "/faust",
    topic_partitions=job.partitions,
    topic_replication_factor=1,
    topic_disable_leader=True,
    broker_commit_interval=COMMIT_S,
    broker_max_poll_records=5_000,
    stream_buffer_maxsize=16_384,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
)


def _topic(name: str) -> faust.types.TopicT:
    return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


source = _topic(job.topic)
targets = {name: _topic(topic) for name, topic in job.outputs.items()}
if not job.copies:
    table = app.Table("seen", default=bytes, key_type=bytes, value_type=bytes, partitions=job.partitions)


@app.agent(source)
async def route(stream):  # type: ignore[no-untyped-def]
    """One record after the other, sends joined to the partition's transaction by faust."""
    async for event in stream.events():
        message = event.message
        headers = list(message.headers.items() if isinstance(message.headers, dict) else message.headers)
        key, value = event.key, event.value
        if job.copies:
            await targets["copy"].send(key=key, value=value, headers=headers)
            continue
        new, state = work.entry(headers), table[key]
        if work.seen(state, new):
            continue
        table[key] = state + new
        await targets["routed"].send(key=key, value=work.line(key, headers))
        await targets["events"].send(key=key, value=value, headers=work.event_headers(headers))
        await targets["deliver"].send(key=key, value=value, headers=work.dispatch_headers(headers))


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--without-web", "-l", "warn"]
    app.main()
