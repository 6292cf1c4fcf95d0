"""What a person may do with a stopped bridge lane: say where it goes on, or that another target is meant. The
only way a cursor is written outside a lane's transactions; it is said in the log, with who and why."""

import getpass
import time
from typing import Final

import msgspec
import structlog

from hub.bridge import check
from hub.bridge.acknowledging import OUTCOMES, ROUTED
from hub.bridge.changelog import CHANGELOG, own_entry
from hub.bridge.lane import Ends
from hub.bridge.model import Cursor, Mark, cursor_key, decode, encode, mark_of
from hub.bridge.target import look, remember
from hub.errors import HubError
from hub.kafka import LaneProducer, Output, Reader, Record, TopicPartition
from hub.kafka.topic_ids import topic_ids

log = structlog.get_logger()

_GONE: Final = ""


async def set_cursor(ends: Ends, input_: str, offset: int, reason: str) -> Mark:
    """Let the lane that reads `<bare topic>-<partition>` go on at this offset of the log as it is now.

    What lies below is not copied any more, what lies above is copied even if it was before. A lane that runs
    is fenced and opens again. Raises HubError for an input no bridge reads or an offset outside the log,
    LaneStopped for a target that is not the recorded one, BrokerAway.
    """
    source, target = ends.source, ends.target
    check.same_target(target.region, ends.recorded, await look(target))
    lane, place = _lane_of(ends, input_)
    producer = LaneProducer(target, f"{target.topic_prefix}bridge.{lane}")
    reader = Reader(source)
    try:
        await producer.start()
        raw = await own_entry(target, lane, cursor_key(lane))
        cursor = Cursor(ends.source_cluster, {}) if raw is None else decode(raw, Cursor)
        await reader.start()
        mark = await _mark(ends, reader, place, offset)
        moved = Cursor(ends.source_cluster, {**cursor.marks, input_: mark})
        now_ms = int(time.time() * 1000)
        written: list[Output] = [(cursor_key(lane), encode(moved), [], now_ms)]
        await producer.commit({(target.topic(CHANGELOG), 0): written}, {}, "")
    finally:
        await producer.close()
        await reader.stop()
    before = cursor.marks.get(input_)
    log.warning(
        "bridge.cursor_set",
        lane=lane,
        input=input_,
        before=msgspec.to_builtins(before) if before else None,
        now=msgspec.to_builtins(mark),
        by=getpass.getuser(),
        reason=reason,
    )
    return mark


async def accept_target(ends: Ends, cluster_id: str, reason: str) -> None:
    """Record the target's cluster as it is now in the place of the one recorded. What was copied to the other
    one is copied again, unless the cursors came along or are set. Raises HubError when the cluster that
    answers is not the one named, BrokerAway."""
    source, region = ends.source, ends.target.region
    found = await look(ends.target)
    if found.cluster_id != cluster_id:
        raise HubError(
            f"{region}: 应答的集群是 {found.cluster_id}，不是 {cluster_id} / "
            f"the cluster that answers is {found.cluster_id}"
        )
    await remember(source, region, found, anew=True)
    log.warning(
        "bridge.target_accepted",
        region=region,
        before=msgspec.to_builtins(ends.recorded),
        now=msgspec.to_builtins(found),
        by=getpass.getuser(),
        reason=reason,
    )


def _lane_of(ends: Ends, input_: str) -> tuple[str, TopicPartition]:
    """The lane that reads an input, and the input's place at the source."""
    topic, _, number = input_.rpartition("-")
    copied = "deliver." + ends.target.region
    if topic not in (copied, ROUTED, OUTCOMES) or not number.isdecimal():
        raise HubError(
            f"{input_}: 桥不读这个分区 / no bridge lane reads this: {copied}-0, {ROUTED}-N, {OUTCOMES}-N"
        )
    lane = topic if topic == copied else OUTCOMES
    return f"{ends.source.region}/{lane}-{number}", TopicPartition(ends.source.topic(topic), int(number))


async def _mark(ends: Ends, reader: Reader, place: TopicPartition, offset: int) -> Mark:
    """The mark of the record just below the offset; of one that is gone, at the log's very start."""
    try:
        topic_id = (await topic_ids(ends.source, [place.topic]))[place.topic]
    except LookupError as error:
        raise HubError(str(error)) from error
    start = (await reader.start_offsets([place]))[place]
    end = (await reader.stable_offsets([place]))[place]
    if not start <= offset <= end:
        raise HubError(f"{offset}: 不在日志 {start}..{end} 内 / outside the log")
    last: Record | None = None
    async for records in reader.read_to({place: start}, {place: offset}):
        last = records[-1]
    if last is None:
        return Mark(topic_id, offset, start - 1, _GONE, 0, _GONE)
    return msgspec.structs.replace(mark_of(last, topic_id), next=offset)
