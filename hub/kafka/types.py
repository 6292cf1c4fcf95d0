"""The words every part of this package uses: records, headers, outputs, partitions by key."""

import logging
import struct
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import aiokafka.errors
from aiokafka import ConsumerRecord, TopicPartition

__all__ = ["Header", "KafkaError", "Output", "Record", "TopicPartition", "partition_of"]

# What aiokafka itself logs while it recovers by itself is of no use to an operator.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

Record: TypeAlias = ConsumerRecord[Any, Any]
KafkaError = aiokafka.errors.KafkaError
Header = tuple[str, bytes]
Output = tuple[bytes | None, bytes | None, list[Header], int]
"""key, value, headers, timestamp in ms."""

_WORD: Final = struct.Struct("<I")
_SEED: Final = 0x9747B28C
_MIX: Final = 0x5BD1E995
_32: Final = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition Java's default partitioner (murmur2) gives this key. A test holds it to aiokafka's, which
    goes byte by byte."""
    size = len(key)
    whole = size & ~3
    mixed = _SEED ^ size
    for (word,) in _WORD.iter_unpack(key[:whole]):
        word = word * _MIX & _32
        mixed = (mixed * _MIX & _32) ^ ((word ^ word >> 24) * _MIX & _32)
    if whole != size:
        mixed = (mixed ^ int.from_bytes(key[whole:], "little")) * _MIX & _32
    mixed = (mixed ^ mixed >> 13) * _MIX & _32
    return ((mixed ^ mixed >> 15) & 0x7FFFFFFF) % partitions


def by_key(key: bytes | None, everything: Sequence[int], _: Sequence[int]) -> int:
    """partition_of as a producer's partitioner; the first place for a record without a key (none of ours is).
    everything: the topic's partitions, rising."""
    return everything[partition_of(key, len(everything)) if key is not None else 0]
