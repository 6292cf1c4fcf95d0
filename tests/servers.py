"""The real servers of a test session: one Kafka broker and one PostgreSQL, started when first asked for.

With HUB_KAFKA_BOOTSTRAP, HUB_FAR_KAFKA_BOOTSTRAP or HUB_DATABASE_URL set, tests run against those servers
instead and start none.
"""

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import asyncpg
import pytest

from hub.embedded.kafka import EmbeddedKafka
from hub.embedded.postgres import EmbeddedPostgres

# Nothing of a test session must survive a power cut, so it need not wait for the disk.
POSTGRES_FOR_TESTS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

# By the variable that names another broker instead. The other region's may refuse: everything is allowed
# until a test denies it.
SETTINGS_FOR_TESTS = {
    "HUB_FAR_KAFKA_BOOTSTRAP": {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
}


@dataclass(frozen=True)
class Kafka:
    """A broker to test against. `bootstrap`: host:port."""

    bootstrap: str


@dataclass(frozen=True)
class Postgres:
    """A server to test against. `url`: its maintenance database."""

    url: str

    def create_database(self, name: str) -> str:
        """Creates a database and returns its URL. Not from inside an event loop."""
        asyncio.run(self.execute(f'CREATE DATABASE "{name}"'))
        return re.sub(r"/[^/]*$", f"/{name}", self.url)

    def drop_database(self, name: str) -> None:
        asyncio.run(self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    async def execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextlib.contextmanager
def kafka_server(data_dir: Path, variable: str = "HUB_KAFKA_BOOTSTRAP") -> Iterator[Kafka]:
    given = os.environ.get(variable)
    if given:
        yield Kafka(given)
        return
    with EmbeddedKafka(data_dir, settings=SETTINGS_FOR_TESTS.get(variable)) as broker:
        yield Kafka(broker.bootstrap)


@contextlib.contextmanager
def postgres_server(data_dir: Path) -> Iterator[Postgres]:
    given = os.environ.get("HUB_DATABASE_URL")
    if given:
        yield Postgres(given)
        return
    with EmbeddedPostgres(data_dir, settings=POSTGRES_FOR_TESTS) as server:
        yield Postgres(server.url)


def unique_name(test_name: str, separator: str = "-") -> str:
    """A short name no other test uses, still telling which test it was; fits topics, groups and databases."""
    plain = re.sub(r"[^a-z0-9]+", separator, test_name.lower()).strip(separator)[:32].strip(separator)
    return f"t{separator}{plain}{separator}{secrets.token_hex(4)}"


def missing(reason: str) -> NoReturn:
    """Something this machine lacks: a skip for a newcomer, a failure where CI=true."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"CI=true: {reason}", pytrace=False)
    pytest.skip(reason)
