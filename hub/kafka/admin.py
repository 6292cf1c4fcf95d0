"""Topic administration and the cluster's identity."""

from collections.abc import Mapping, Sequence
from typing import Any

import aiokafka.errors
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from hub.config import Settings
from hub.errors import BrokerAway


class Admin:
    """Topic administration (topics.plan.TopicAdmin) and the identities a lane checks before it trusts its
    store."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = AIOKafkaAdminClient(
            bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=20_000
        )

    async def __aenter__(self) -> "Admin":
        try:
            await self._client.start()
        except (aiokafka.errors.KafkaError, TimeoutError) as error:
            await self._client.close()
            raise BrokerAway(repr(error)) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def list_topics(self) -> dict[str, dict[str, Any]]:
        """{full name: {"partitions": n, "config": {name: value}}} of this installation's topics: those with
        its prefix, none internal."""
        prefix = self._settings.topic_prefix
        known = await self._client.list_topics()
        names = [name for name in known if name.startswith(prefix) and not name.startswith("__")]
        if not names:
            return {}
        found = {
            t["topic"]: {"partitions": len(t["partitions"]), "config": {}}
            for t in await self._client.describe_topics(names)
        }
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        for response in await self._client.describe_configs(resources):
            for resource in response.resources:
                name, entries = resource[3], resource[4]
                if name in found:
                    found[name]["config"] = {entry[0]: entry[1] for entry in entries}
        return found

    async def create(
        self, name: str, partitions: int, replication_factor: int, config: Mapping[str, str]
    ) -> None:
        """Create a topic; one that exists already is left as it is (two processes may apply at once)."""
        topic = NewTopic(name, partitions, replication_factor, topic_configs=dict(config))
        response = await self._client.create_topics([topic])
        for entry in response.topic_errors:
            code = entry[1]
            if code not in (0, aiokafka.errors.TopicAlreadyExistsError.errno):
                raise aiokafka.errors.for_code(code)(f"{name}: {entry[2] if len(entry) > 2 else ''}")

    async def alter_config(self, name: str, config: Mapping[str, str]) -> None:
        """Set these configuration values of a topic."""
        await self._client.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, configs=dict(config))]
        )

    async def delete_records(self, below: Mapping[TopicPartition, int]) -> None:
        """Delete every record below these offsets, for good. Raises BrokerAway."""
        wanted = {place: RecordsToDelete(before_offset=offset) for place, offset in below.items()}
        try:
            await self._client.delete_records(wanted)
        except aiokafka.errors.KafkaError as error:
            raise BrokerAway(repr(error)) from error

    async def cluster_id(self) -> str:
        """The cluster's identity. Raises BrokerAway."""
        try:
            described = await self._client.describe_cluster()
        except (aiokafka.errors.KafkaError, TimeoutError) as error:
            raise BrokerAway(repr(error)) from error
        return str(described["cluster_id"])

    async def delete_topics(self, names: Sequence[str]) -> None:
        """Delete topics (tests only)."""
        await self._client.delete_topics(list(names))
