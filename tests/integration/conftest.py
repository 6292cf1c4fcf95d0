"""Two regions for the tests of the bridge between them: two shared brokers, topics of each test's own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.bridge.contracts import TargetContracts
from hub.bridge.lane import Ends
from hub.bridge.role import find_ends
from tests.integration.bridge_harness import Regions, Registry
from tests.servers import Kafka


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with Registry().serving() as serving:
        yield serving


@pytest.fixture
async def regions(
    kafka: Kafka, far_kafka: Kafka, topic_prefix: str, tmp_path: Path, registry: Registry
) -> Regions:
    made = Regions(kafka, far_kafka, topic_prefix, tmp_path, registry.url)
    await made.make_topics()
    return made


@pytest.fixture
async def known(registry: Registry) -> AsyncIterator[TargetContracts]:
    async with TargetContracts(registry.url) as asked:
        yield asked


@pytest.fixture
async def ends(regions: Regions) -> Ends:
    return await find_ends(regions.near)
