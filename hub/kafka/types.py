"""The words every part of this package uses: records, headers, outputs, partitions by key."""

import logging
from typing import Any, Final, TypeAlias

import aiokafka.errors
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

__all__ = ["Header", "KafkaError", "Output", "Record", "TopicPartition", "partition_of"]

# What aiokafka itself logs while it recovers by itself is of no use to an operator.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

Record: TypeAlias = ConsumerRecord[Any, Any]
KafkaError = aiokafka.errors.KafkaError
Header = tuple[str, bytes]
Output = tuple[bytes | None, bytes | None, list[Header], int]
"""key, value, headers, timestamp in ms."""

_partition_of_key: Final = DefaultPartitioner()


def partition_of(key: bytes, partitions: int) -> int:
    """The partition Java's default partitioner (murmur2) gives this key."""
    everything = range(partitions)
    chosen: int = _partition_of_key(key, everything, everything)
    return chosen
