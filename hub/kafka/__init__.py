"""Everything the hub does with Kafka goes through here: the only package that imports aiokafka.

Intake producer, transactional producer of a lane, read_committed readers, group membership, topic
administration. No routing, no state, no HTTP.
"""

from hub.errors import BrokerAway
from hub.kafka.admin import Admin
from hub.kafka.membership import Joining, Membership, Share
from hub.kafka.producers import IntakeProducer, LaneProducer, open_producer, write_all, write_records
from hub.kafka.readers import HighWatermarks, Reader, open_reader
from hub.kafka.types import Header, KafkaError, Output, Record, TopicPartition, partition_of

__all__ = [
    "Admin",
    "BrokerAway",
    "Header",
    "HighWatermarks",
    "IntakeProducer",
    "Joining",
    "KafkaError",
    "LaneProducer",
    "Membership",
    "Output",
    "Reader",
    "Record",
    "Share",
    "TopicPartition",
    "open_producer",
    "open_reader",
    "partition_of",
    "write_all",
    "write_records",
]
