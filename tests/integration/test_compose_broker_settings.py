"""Every KAFKA_* variable of docker-compose.yml names a setting the real broker knows: a misspelt one is
ignored there."""

from pathlib import Path

import yaml
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.servers import Kafka

# Not among a broker's described settings although documented: the image and the process read them before.
STATIC_ONLY = {"process.roles", "node.id", "controller.quorum.voters", "controller.listener.names"}


async def test_every_broker_setting_of_docker_compose_is_known(kafka: Kafka) -> None:
    compose = yaml.safe_load(Path("docker-compose.yml").read_text("utf-8"))
    asked = {
        variable.removeprefix("KAFKA_").lower().replace("_", ".")
        for variable in compose["services"]["kafka-1"]["environment"]
        if variable.startswith("KAFKA_")
    }
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1")])
    await admin.close()
    known = {setting[0] for answer in answers for resource in answer.resources for setting in resource[4]}
    assert len(known) > 100
    assert asked - known - STATIC_ONLY == set()
