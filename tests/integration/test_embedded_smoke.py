"""The shared servers of a test session are real: a transaction commits, a row comes back."""

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.servers import Kafka


async def test_shared_broker_commits_a_transaction(kafka: Kafka, topic_prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic_prefix + "a", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topic_prefix + "tx")
    await producer.start()
    async with producer.transaction():
        written = await producer.send_and_wait(topic_prefix + "a", "办件".encode())
    await producer.stop()
    assert written.offset == 0


async def test_each_test_gets_an_empty_database(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert await connection.fetchval("SELECT '办件'") == "办件"
    await connection.close()
