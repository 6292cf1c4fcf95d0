"""Real servers as our own children: Apache Kafka and PostgreSQL from packages, for a demo, tests and one-machine use.

What starts, finds or stops a server lives here. Nothing here may know about cases, topics or members.
"""

from hub.embedded.kafka import EmbeddedKafka
from hub.embedded.postgres import EmbeddedPostgres
from hub.embedded.process import EmbeddedServerError

__all__ = ["EmbeddedKafka", "EmbeddedPostgres", "EmbeddedServerError"]
