"""The embedded broker: recovered after a SIGKILL, at home in any path, and clear about why it does not
start."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from hub.embedded.kafka import EmbeddedKafka
from hub.embedded.process import EmbeddedServerError, lock_directory


async def write(broker: EmbeddedKafka, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id="test")
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait("case.inbound", value, partition=0)
    await producer.stop()


async def read_committed(broker: EmbeddedKafka, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    consumer.assign([TopicPartition("case.inbound", 0)])
    values = [(await consumer.getone()).value for _ in range(count)]
    await consumer.stop()
    return values


async def test_a_data_directory_survives_sigkill_a_stop_and_a_stolen_port(tmp_path: Path) -> None:
    # A comma and a colon's look-alike would break a list of directories, a backslash a property file.
    broker = EmbeddedKafka(tmp_path / "一网通办, demo\\1")
    broker.start()
    try:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("case.inbound", 1, 1)])
        await admin.close()
        await write(broker, b"before the kill")
        first_port = broker.bootstrap
        broker.kill()

        broker.start()
        assert broker.bootstrap == first_port
        await write(broker, b"before the stop")
        broker.stop()

        with socket.create_server(("127.0.0.1", int(first_port.partition(":")[2]))):
            broker.start()
            assert broker.bootstrap != first_port
            await write(broker, b"on another port")
            assert await read_committed(broker, 3) == [
                b"before the kill",
                b"before the stop",
                b"on another port",
            ]
    finally:
        broker.stop()


def test_a_broker_that_cannot_start_says_why_in_its_own_words(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path, settings={"log.retention.ms": "soon"})
    with pytest.raises(EmbeddedServerError, match=r"log\.retention\.ms"):
        broker.start()
    # The failed start left neither process nor lock behind.
    assert not broker.running
    lock_directory(tmp_path)


def test_an_ordered_port_that_is_taken_is_an_error_not_another_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        broker = EmbeddedKafka(tmp_path, port=stranger.getsockname()[1])
        with pytest.raises(EmbeddedServerError, match="Address already in use"):
            broker.start()


def test_a_data_directory_in_use_is_refused_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys; from hub.embedded.process import lock_directory; "
         "from pathlib import Path; lock_directory(Path(sys.argv[1])); print('held', flush=True); input()",
         str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    monkeypatch.setattr("hub.embedded.process.LOCK_WAIT_SECONDS_MAX", 0.2)
    with pytest.raises(EmbeddedServerError, match=str(tmp_path)):
        EmbeddedKafka(tmp_path).start()
    holder.communicate("\n")
