"""Quix Streams with its own exactly-once and State in RocksDB: copy, or case routing."""

from quixstreams import Application
from quixstreams.state import State

from bench.peers import work

COMMIT_S = 0.5
_KEY = "seen"


def main() -> None:
    job = work.given()
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.name,
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        auto_create_topics=True,
        commit_interval=COMMIT_S,
        state_dir=job.scratch + "/quix",
        loglevel="WARNING",
        producer_extra_config={"linger.ms": 5, "batch.size": 1_000_000, "acks": "all"},
    )

    def topic(name: str):  # type: ignore[no-untyped-def]
        return app.topic(
            name,
            key_serializer="bytes",
            value_serializer="bytes",
            key_deserializer="bytes",
            value_deserializer="bytes",
        )

    frame = app.dataframe(topic(job.topic))
    if job.copies:
        frame.to_topic(topic(job.outputs["copy"]))
        app.run()
        return

    def fresh(value: bytes, key: bytes, timestamp: int, headers: work.Headers, state: State) -> bool:
        new, known = work.entry(headers), state.get_bytes(_KEY, b"")
        if work.seen(known, new):
            return False
        state.set_bytes(_KEY, known + new)
        return True

    frame = frame.filter(fresh, stateful=True, metadata=True)
    frame.apply(lambda value, key, at, headers: work.line(key, headers), metadata=True).to_topic(
        topic(job.outputs["routed"])
    )
    frame.set_headers(lambda value, key, at, headers: work.event_headers(headers)).to_topic(
        topic(job.outputs["events"])
    )
    frame.set_headers(lambda value, key, at, headers: work.dispatch_headers(headers)).to_topic(
        topic(job.outputs["deliver"])
    )
    app.run()


if __name__ == "__main__":
    main()
