"""What may be taken off the topics (R23, G1): nothing that is unfinished, that a reader has not committed,
that is not under a signed root, or that is younger than the closing it is measured by.

`plan` is pure; `bounds` gathers what it needs; `carry_out` deletes. Nothing here decides by a record's age.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import asyncpg
import msgspec

from hub.books.checkpoint import Checkpoint
from hub.books.closing import Closing, last_closed, read_chain, read_statement, trust_of
from hub.books.lanes import LaneWatch
from hub.books.model import Positions
from hub.config import Settings
from hub.errors import HubError
from hub.kafka import Admin, TopicPartition, open_reader
from signing.provider import SoftwareProvider

INBOUND: Final = "case.inbound"
LEDGERS: Final = ("case.routed", "case.outcomes")
DELIVER: Final = "deliver."
_DAY_MS: Final = 86_400_000

Place = tuple[str, int]
"""(bare topic, partition)."""


class CannotTrim(HubError):
    """Nothing may be trimmed now; the text says why."""


class Bound(NamedTuple):
    """Everything from `offset` on must stay, because of `why` (Chinese / English)."""

    offset: int
    why: str


class Cut(msgspec.Struct, frozen=True):
    """One partition: records below `before` may go; `held_by` says what keeps the rest."""

    topic: str
    partition: int
    start: int
    before: int
    held_by: str

    @property
    def records(self) -> int:
        """How many offsets would go (markers and aborted records among them)."""
        return max(0, self.before - self.start)


def plan(starts: Mapping[Place, int], bounds: Mapping[Place, Iterable[Bound]]) -> list[Cut]:
    """What may go per partition. A partition without any bound is not touched."""
    cuts = []
    for (topic, partition), start in sorted(starts.items()):
        lowest = min(bounds.get((topic, partition), ()), default=Bound(start, "没有依据 / nothing covers it"))
        cuts.append(Cut(topic, partition, start, max(start, lowest.offset), lowest.why))
    return cuts


def of_closing(closing: Closing) -> dict[Place, Bound]:
    """Up to where a closed book covers the topics."""
    found = {}
    for name, offset in closing.offsets.items():
        topic, _, partition = name.rpartition("-")
        found[topic, int(partition)] = Bound(offset, f"第 {closing.number} 次结账 / closing {closing.number}")
    return found


def of_open_ids(checkpoint: Checkpoint) -> dict[Place, Bound]:
    """The oldest record of anything unfinished, per partition."""
    found: dict[Place, Bound] = {}

    def keep(topic: str, at: tuple[int, int] | None, id_: str) -> None:
        if at is None or at[1] < 0:
            return
        bound = Bound(at[1], f"未办结 / unfinished {id_}")
        place = (topic, at[0])
        found[place] = min(found.get(place, bound), bound)

    for id_, message in checkpoint.open_messages.items():
        keep(INBOUND, message.accepted, id_)
        keep("case.routed", message.verdict_at, id_)
    for id_, dispatch in checkpoint.open_dispatches.items():
        keep("case.routed", dispatch.listed, id_)
        keep(DELIVER + dispatch.member, dispatch.sent, id_)
        keep("case.outcomes", dispatch.outcome_at, id_)
    return found


def of_lanes(positions: Positions) -> dict[Place, Bound]:
    """What lanes have not taken in, or keep only by its place in the log (beyond `parked_max`)."""
    found = {
        (INBOUND, partition): Bound(offset, "路由通道 / router lane")
        for partition, offset in positions.router.items()
    }
    for (member, partition), lane in positions.delivery.items():
        lowest = min([lane.taken_in, *lane.queue])
        found[DELIVER + member, partition] = Bound(lowest, "投递通道 / delivery lane")
    return found


def measured_by(chain: Iterable[Closing], keep_days: int, now_ms: int) -> Closing | None:
    """The newest closing that is old enough."""
    return max(
        (one for one in chain if one.at_ms <= now_ms - keep_days * _DAY_MS),
        key=lambda one: one.number,
        default=None,
    )


async def prepare(settings: Settings, keep_days: int, now_ms: int) -> list[Cut]:
    """What may go now. Raises CannotTrim, BooksTampered, BrokerAway."""
    closed = await last_closed(settings, SoftwareProvider(), trust_of(settings))
    chain = [read_statement(signed) for signed in await read_chain(settings)]
    measure = measured_by(chain, keep_days, now_ms)
    if closed is None or measure is None:
        raise CannotTrim(
            f"没有 {keep_days} 天前的结账：先结账（govhub books close），或减小 --keep-days / "
            f"the books were not closed {keep_days} days ago or earlier: close them (govhub books close), or "
            f"lower --keep-days"
        )
    members = tuple(
        sorted(topic[len(DELIVER) :] for topic, _ in of_closing(measure) if topic.startswith(DELIVER))
    )
    async with open_reader(settings) as reader, open_reader(settings) as lanes:
        places = await reader.partitions(
            settings.topic(topic) for topic in {t for t, _ in of_closing(measure)}
        )
        starts = await reader.start_offsets(places)
        positions = await LaneWatch(settings, lanes).refresh(members)
    read = await _read_side(settings)
    bounds: dict[Place, list[Bound]] = {}
    for known in (of_closing(measure), of_open_ids(closed[1]), of_lanes(positions), *read):
        for place, bound in known.items():
            bounds.setdefault(place, []).append(bound)
    for topic, partition in list(bounds):
        _require(bounds, (topic, partition), positions, read)
    return plan({(settings.bare(p.topic), p.partition): start for p, start in starts.items()}, bounds)


def _require(
    bounds: dict[Place, list[Bound]],
    place: Place,
    positions: Positions,
    read: tuple[dict[Place, Bound], dict[Place, Bound]],
) -> None:
    """A reader that has said nothing has read nothing."""
    topic, partition = place
    projected, signed = read
    silent = []
    if topic == INBOUND and partition not in positions.router:
        silent.append("路由通道 / router lane")
    if topic.startswith(DELIVER) and (topic[len(DELIVER) :], partition) not in positions.delivery:
        silent.append("投递通道 / delivery lane")
    if not topic.startswith(DELIVER) and place not in projected:
        silent.append("查询库 / projector")
    if topic in LEDGERS and place not in signed:
        silent.append("证据 / evidence")
    bounds[place] += [Bound(0, who) for who in silent]


async def _read_side(settings: Settings) -> tuple[dict[Place, Bound], dict[Place, Bound]]:
    """How far the projector is, and how far signed roots reach (as the projector knows them)."""
    if not settings.database_url:
        raise CannotTrim("缺少环境变量 / missing environment variable: HUB_DATABASE_URL")
    try:
        connection = await asyncpg.connect(settings.database_url)
        try:
            offsets = await connection.fetch("SELECT topic, partition, next_offset FROM projector_offsets")
            roots = await connection.fetch(
                "SELECT lane, max(last_offset) AS last FROM evidence_roots GROUP BY lane"
            )
        finally:
            await connection.close()
    except asyncpg.UndefinedTableError as error:
        raise CannotTrim(
            "查询库还没有表，先启动 / the database has no tables yet, first start: govhub serve projector"
        ) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CannotTrim(f"查询库不可用 / the records cannot be read: {error!r}") from error
    projected = {
        (row["topic"], row["partition"]): Bound(row["next_offset"], "查询库 / projector") for row in offsets
    }
    signed = {}
    for row in roots:
        topic, _, partition = row["lane"].rpartition("-")
        signed[topic, int(partition)] = Bound(row["last"] + 1, "已签名的证据 / signed evidence")
    return projected, signed


async def carry_out(settings: Settings, cuts: Iterable[Cut]) -> None:
    """Delete what the plan lets go. Raises BrokerAway."""
    below = {
        TopicPartition(settings.topic(cut.topic), cut.partition): cut.before for cut in cuts if cut.records
    }
    if below:
        async with Admin(settings) as admin:
            await admin.delete_records(below)
