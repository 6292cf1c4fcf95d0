"""The partition of a key is the one that Java's clients and aiokafka choose: lanes share a number only as
long as everybody agrees."""

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import example, given
from hypothesis import strategies as st

from hub.kafka import partition_of
from hub.kafka.types import by_key


@example(b"", 3)
@example("46办件".encode(), 12)
@given(st.binary(max_size=40), st.integers(1, 300))
def test_every_key_goes_where_the_reference_puts_it(key: bytes, partitions: int) -> None:
    everything = list(range(partitions))
    reference = DefaultPartitioner()(key, everything, everything)
    assert partition_of(key, partitions) == reference
    assert by_key(key, everything, []) == reference
