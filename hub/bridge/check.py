"""Whether a cursor still belongs to the log it was taken from, and the target is the one it lies in. Pure:
what was kept and what is found come in; where to go on, or why not, comes out."""

import msgspec

from hub.bridge.model import Cursor, Mark, Target, digest_of, id_of
from hub.errors import LaneStopped
from hub.kafka import Record


class Found(msgspec.Struct, frozen=True):
    """One source partition as it is now. start: first retained offset; end: last stable offset. last: the
    record at the mark's offset, read again; None when the log no longer has it."""

    name: str
    topic_id: str
    start: int
    end: int
    last: Record | None = None


def same_cluster(cursor: Cursor, cluster_id: str) -> None:
    """Raises LaneStopped when the cursor was taken from another source cluster."""
    if cursor.cluster_id != cluster_id:
        raise LaneStopped(
            f"源集群已不是原来的 / the source is another cluster: {cursor.cluster_id} → {cluster_id}"
        )


def same_target(region: str, known: Target, found: Target) -> None:
    """Raises LaneStopped when a region's cluster is not the one recorded: in another one there are no
    cursors, and everything would be sent again from the start of the log."""
    if found == known:
        return
    if found.cluster_id != known.cluster_id:
        what = (
            f"目标集群已不是记录的那个 / the target is another cluster than the one recorded: "
            f"{known.cluster_id} → {found.cluster_id}"
        )
    else:
        what = (
            "目标集群的 bridge.changelog 被重建，游标已失 / "
            "bridge.changelog was made anew in the target, the cursors are lost: "
            f"id {known.changelog_id} → {found.changelog_id}"
        )
    raise LaneStopped(
        f"{region}: {what}. 检查 HUB_BRIDGE_TARGET_BOOTSTRAP；确认要换时 / look at "
        f"HUB_BRIDGE_TARGET_BOOTSTRAP; if it is meant: govhub bridge accept {found.cluster_id}"
    )


def beginning(found: Found, *, from_start: bool) -> int:
    """Where a partition that was never read begins. Raises LaneStopped when from_start and the log's first
    records are gone: they may never have been copied."""
    if from_start and found.start > 0:
        raise LaneStopped(
            f"{found.name}: 无游标而日志始于 {found.start} / no cursor, and the log begins at {found.start}"
        )
    return found.start


def same_log(mark: Mark, found: Found) -> int:
    """The offset to go on from. Raises LaneStopped, naming the difference: nothing is skipped or
    repeated."""
    where = f"{found.name}@{mark.next}"
    if mark.topic_id != found.topic_id:
        raise LaneStopped(
            f"{where}: 源主题被重建 / the source topic was made anew: id {mark.topic_id} → {found.topic_id}"
        )
    if found.start > mark.next:
        raise LaneStopped(
            f"{where}: 日志始于 {found.start}，其间的记录未复制 / the log begins at {found.start}, "
            "beyond the cursor: what lay between was never copied"
        )
    if mark.next > found.end:
        raise LaneStopped(f"{where}: 日志止于 {found.end} / the log ends at {found.end}, before the cursor")
    if found.last is None:
        if found.start <= mark.offset:
            raise LaneStopped(
                f"{where}: 最后复制的记录 {mark.id} 已不在 / the record copied last, {mark.id}, is gone"
            )
        return mark.next  # trimmed up to what was copied: the topic's id vouches for the rest
    now = (id_of(found.last), found.last.timestamp, digest_of(found.last))
    if now != (mark.id, mark.timestamp_ms, mark.digest):
        raise LaneStopped(
            f"{where}: 最后复制的记录与游标不符 / the record copied last differs from the cursor: "
            f"{mark.id} {mark.timestamp_ms} {mark.digest[:16]} → {now[0]} {now[1]} {now[2][:16]}"
        )
    return mark.next
