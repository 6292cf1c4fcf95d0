"""What must be done to bring a cluster to the catalogue: a pure comparison, its text for an operator, and
its execution.

Nothing is ever deleted, no partition count is ever changed: a key's place is its partition, and lanes rely
on it for ever.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from topics.catalogue import Catalogue, Wanted

PARTITIONS_MAX: Final = 1_000
_INTERNAL: Final = "__"


class Creation(msgspec.Struct, frozen=True):
    """A topic the cluster does not have."""

    name: str
    partitions: int
    replication: int
    config: dict[str, str]


class Change(msgspec.Struct, frozen=True):
    """Settings of a topic that differ. different: setting -> (as it is, as it should be); config: all
    settings the catalogue states."""

    name: str
    different: dict[str, tuple[str, str]]
    config: dict[str, str]


class Refused(msgspec.Struct, frozen=True):
    """A difference that is not carried out, and why."""

    name: str
    zh: str
    en: str


class Plan(msgspec.Struct, frozen=True):
    """The steps, the refusals, how many topics are as they should be, and names found that the catalogue
    does not know."""

    create: tuple[Creation, ...] = ()
    change: tuple[Change, ...] = ()
    refused: tuple[Refused, ...] = ()
    unchanged: int = 0
    foreign: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing to do and nothing refused."""
        return not (self.create or self.change or self.refused)


class PlanRefused(Exception):
    """The plan holds a refusal; nothing of it was carried out."""


class TopicAdmin(Protocol):
    """What applying a plan needs of a cluster's administration client."""

    async def list_topics(self) -> dict[str, dict[str, Any]]:
        """{full name: {"partitions": int, "config": {setting: value}}}"""
        ...

    async def create(
        self, name: str, partitions: int, replication_factor: int, config: Mapping[str, str]
    ) -> None:
        """Create a topic; one that exists already is left as it is."""
        ...

    async def alter_config(self, name: str, config: Mapping[str, str]) -> None:
        """Set these settings of a topic."""
        ...


def plan(
    catalogue: Catalogue,
    existing: Mapping[str, Mapping[str, Any]],
    *,
    members: tuple[str, ...],
    partitions: int,
    replication: int = 1,
    min_insync: int = 1,
    prefix: str = "",
) -> Plan:
    """Compare. existing: as TopicAdmin.list_topics gives it. partitions: P. Raises ValueError for parameters
    that cannot work."""
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise ValueError(
            f"partitions 须在 1 与 {PARTITIONS_MAX} 之间 / must be between 1 and {PARTITIONS_MAX}"
        )
    if not 1 <= min_insync <= replication:
        raise ValueError("须 1 ≤ min_insync ≤ replication / must hold: 1 ≤ min_insync ≤ replication")
    wanted = catalogue.wanted(members=members, partitions=partitions, prefix=prefix)
    create, change, refused = [], [], []
    for topic in wanted:
        config = topic.config | {"min.insync.replicas": str(min_insync)}
        found = existing.get(topic.name)
        if found is None:
            create.append(Creation(topic.name, topic.partitions, replication, config))
            continue
        if found["partitions"] != topic.partitions:
            refused.append(_partitions(topic, found["partitions"]))
            continue
        have = found["config"]
        different = {
            name: (have.get(name, ""), value) for name, value in config.items() if have.get(name) != value
        }
        if different:
            change.append(Change(topic.name, different, config))
    known = {topic.name for topic in wanted}
    foreign = tuple(
        sorted(
            name
            for name in existing
            if name.startswith(prefix) and name not in known and not name.startswith(_INTERNAL)
        )
    )
    unchanged = len(wanted) - len(create) - len(change) - len(refused)
    return Plan(tuple(create), tuple(change), tuple(refused), unchanged, foreign)


def _partitions(topic: Wanted, found: int) -> Refused:
    rule = "键主题的分区数在创建时固定" if topic.keyed else "该主题只能有一个分区"
    reason = (
        "the partition count of a keyed topic is fixed at creation" if topic.keyed else "it has one partition"
    )
    return Refused(
        topic.name,
        f"现有 {found} 个分区，目录要求 {topic.partitions} 个；{rule}",
        f"it has {found} partitions, the catalogue wants {topic.partitions}; {reason}",
    )


def render(plan: Plan) -> str:
    """The plan as an operator reads it, one line a step, ending with the totals."""
    lines = [
        f"+ {c.name}  partitions={c.partitions} replication={c.replication} {_settings(c.config)}"
        for c in plan.create
    ]
    for change in plan.change:
        lines += [
            f"~ {change.name}  {name}: {old or '(default)'} -> {new}"
            for name, (old, new) in change.different.items()
        ]
    for refusal in plan.refused:
        lines += [f"! {refusal.name}  {refusal.zh}", f"  {' ' * len(refusal.name)}  {refusal.en}"]
    lines += [f"? {name}  目录中没有，保持不动 / not in the catalogue, left alone" for name in plan.foreign]
    lines.append(
        f"新建 create={len(plan.create)} 改配置 change={len(plan.change)} "
        f"拒绝 refused={len(plan.refused)} 不变 unchanged={plan.unchanged}"
    )
    return "\n".join(lines)


def _settings(config: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(config.items()))


async def apply(plan: Plan, admin: TopicAdmin) -> None:
    """Carry the plan out, creations first. Raises PlanRefused, before anything is done, when the plan holds
    a refusal.

    Safe to repeat, and safe when two processes do it at once: creating what exists and setting what is set
    change nothing.
    """
    if plan.refused:
        raise PlanRefused(render(Plan(refused=plan.refused)))
    for creation in plan.create:
        await admin.create(creation.name, creation.partitions, creation.replication, creation.config)
    for change in plan.change:
        await admin.alter_config(change.name, change.config)
