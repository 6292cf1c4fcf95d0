"""Topic ids, which aiokafka does not ask for: the only module that imports confluent-kafka. A topic that was
deleted and made again has another id."""

import asyncio
from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from hub.config import Settings
from hub.errors import BrokerAway

_ANSWER_S_MAX: Final = 20.0


async def topic_ids(settings: Settings, topics: Sequence[str]) -> dict[str, str]:
    """Full topic name -> id. Raises BrokerAway when no broker answers, LookupError for a topic that is not
    there."""
    return await asyncio.to_thread(_ask, settings.kafka_bootstrap, list(topics))


def _ask(bootstrap: str, topics: list[str]) -> dict[str, str]:
    # Its own log lines say nothing that the exception does not.
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    found = {}
    asked = admin.describe_topics(TopicCollection(topics), request_timeout=_ANSWER_S_MAX)
    for name, answer in asked.items():
        try:
            found[name] = str(answer.result(_ANSWER_S_MAX).topic_id)
        except KafkaException as error:
            if error.args[0].name() == "UNKNOWN_TOPIC_OR_PART":
                raise LookupError(f"主题不存在 / no such topic: {name}") from error
            raise BrokerAway(f"{name}: {error}") from error
        except TimeoutError as error:
            raise BrokerAway(f"{name}: {error!r}") from error
    return found
