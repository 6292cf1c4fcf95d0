"""librdkafka by confluent-kafka: every record copied by an idempotent producer, acks=all, no transaction. The
yardstick of what the broker and this machine can do from Python, without exactly-once."""

import signal

from confluent_kafka import Consumer, Producer

from bench.peers.work import given


def main() -> None:
    job = given()
    consumer = Consumer(
        {
            "bootstrap.servers": job.bootstrap,
            "group.id": job.name,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": job.bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 500_000,
        }
    )
    consumer.subscribe([job.topic])
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    target = job.outputs["copy"]
    while not stopping:
        for record in consumer.consume(5_000, 0.1):
            if record.error():
                raise RuntimeError(str(record.error()))
            partition = record.partition()
            assert partition is not None, "a record that was consumed has its partition"
            while True:
                try:
                    producer.produce(
                        target, record.value(), record.key(), partition, headers=record.headers()
                    )
                    break
                except BufferError:
                    producer.poll(0.01)
        producer.poll(0)
    producer.flush(10)
    consumer.close()


if __name__ == "__main__":
    main()
