"""Fixtures every test may ask for. Servers start once a session, lazily; names are unique per test."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import Kafka, Postgres, kafka_server, postgres_server, unique_name

# A busy machine makes no test fail: what is judged is what comes out, not how fast examples were drawn.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """One broker for the whole session: `kafka.bootstrap`. A test that kills brokers starts its own
    EmbeddedKafka."""
    with kafka_server(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def far_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A second, independent cluster: another region's. Started only when a test asks for it."""
    with kafka_server(tmp_path_factory.mktemp("far-kafka"), "HUB_FAR_KAFKA_BOOTSTRAP") as broker:
        yield broker


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One database server for the whole session: `postgres.url`."""
    with postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """Unique per test; put it before every topic, group and transactional id."""
    return unique_name(request.node.name) + "."


@pytest.fixture
def database_url(postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of this test's own, dropped afterwards."""
    name = unique_name(request.node.name, "_")
    yield postgres.create_database(name)
    postgres.drop_database(name)
