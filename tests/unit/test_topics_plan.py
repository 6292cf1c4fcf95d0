"""Bringing a cluster to the catalogue: only what is missing or differs, never a partition count, all or
nothing on refusal."""

from collections.abc import Mapping
from typing import Any

import pytest

from topics.catalogue import load
from topics.plan import Plan, PlanRefused, apply, plan, render

MEMBERS = ("dept-a", "nation")


class Cluster:
    """A cluster's topics as its administration client shows them, broker defaults included."""

    def __init__(self) -> None:
        self.topics: dict[str, dict[str, Any]] = {"__consumer_offsets": {"partitions": 50, "config": {}}}
        self.calls: list[tuple[str, str]] = []

    async def list_topics(self) -> dict[str, dict[str, Any]]:
        return {name: dict(topic) for name, topic in self.topics.items()}

    async def create(
        self, name: str, partitions: int, replication_factor: int, config: Mapping[str, str]
    ) -> None:
        self.calls.append(("create", name))
        self.topics[name] = {
            "partitions": partitions,
            "config": {"compression.type": "producer"} | dict(config),
        }

    async def alter_config(self, name: str, config: Mapping[str, str]) -> None:
        self.calls.append(("alter", name))
        self.topics[name]["config"] |= config


async def planned(cluster: Cluster, **changes: Any) -> Plan:
    parameters: dict[str, Any] = {"members": MEMBERS, "partitions": 3} | changes
    return plan(load(), await cluster.list_topics(), **parameters)


async def test_an_empty_cluster_gets_everything_and_a_second_run_nothing() -> None:
    cluster = Cluster()
    first = await planned(cluster)
    assert len(first.create) == len(load().wanted(members=MEMBERS, partitions=3))
    await apply(first, cluster)
    second = await planned(cluster)
    assert second.empty
    assert second.unchanged == len(first.create)
    assert second.foreign == ()


async def test_a_new_member_adds_its_topics_only() -> None:
    cluster = Cluster()
    await apply(await planned(cluster), cluster)
    added = await planned(cluster, members=(*MEMBERS, "dept-b"))
    assert [creation.name for creation in added.create] == [
        "deliver.dept-b",
        "commands.delivery.dept-b",
        "delivery.dept-b.changelog",
    ]
    assert not added.change
    assert not added.refused


async def test_a_setting_that_differs_is_changed_and_others_are_left() -> None:
    cluster = Cluster()
    await apply(await planned(cluster), cluster)
    cluster.topics["case.inbound"]["config"]["retention.ms"] = "604800000"
    again = await planned(cluster)
    assert [change.name for change in again.change] == ["case.inbound"]
    assert again.change[0].different == {"retention.ms": ("604800000", "-1")}
    cluster.calls.clear()
    await apply(again, cluster)
    assert cluster.calls == [("alter", "case.inbound")]
    assert (await planned(cluster)).empty


async def test_another_partition_count_is_refused_and_then_nothing_is_done() -> None:
    cluster = Cluster()
    await apply(await planned(cluster), cluster)
    del cluster.topics["deliver.nation"]
    cluster.calls.clear()
    wider = await planned(cluster, partitions=12)
    keyed = {topic.name for topic in load().topics if topic.keyed}
    assert {"case.inbound", "case.routed", "router.changelog"} <= keyed
    assert {refusal.name for refusal in wider.refused} == keyed
    assert [creation.name for creation in wider.create] == ["deliver.nation"]
    with pytest.raises(PlanRefused, match=r"case\.inbound.*\n.*fixed at creation"):
        await apply(wider, cluster)
    assert cluster.calls == []


async def test_topics_of_others_are_left_alone_and_shown() -> None:
    cluster = Cluster()
    cluster.topics["t1.deliver.gone"] = {"partitions": 1, "config": {}}
    cluster.topics["elsewhere"] = {"partitions": 1, "config": {}}
    made = await planned(cluster, prefix="t1.")
    assert made.foreign == ("t1.deliver.gone",)
    await apply(made, cluster)
    assert {"elsewhere", "t1.deliver.gone"} <= cluster.topics.keys()
    assert (await planned(cluster, prefix="t1.")).empty


async def test_replication_and_min_insync_come_from_the_installation() -> None:
    made = await planned(Cluster(), replication=3, min_insync=2)
    assert {creation.replication for creation in made.create} == {3}
    assert {creation.config["min.insync.replicas"] for creation in made.create} == {"2"}


@pytest.mark.parametrize(
    "wrong", [{"partitions": 0}, {"partitions": 1_001}, {"min_insync": 2}, {"min_insync": 0}]
)
async def test_parameters_that_cannot_work_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=" / "):
        await planned(Cluster(), **wrong)


async def test_an_operator_reads_what_will_be_done() -> None:
    cluster = Cluster()
    await apply(await planned(cluster), cluster)
    del cluster.topics["deliver.nation"]
    cluster.topics["case.events"]["config"]["retention.ms"] = "1"
    cluster.topics["case.inbound"]["partitions"] = 5
    cluster.topics["old.topic"] = {"partitions": 1, "config": {}}
    lines = render(await planned(cluster)).splitlines()
    assert lines[0].startswith("+ deliver.nation  partitions=1 replication=1 cleanup.policy=delete")
    assert lines[1] == "~ case.events  retention.ms: 1 -> -1"
    assert lines[2].startswith("! case.inbound  现有 5 个分区，目录要求 3 个")
    assert "fixed at creation" in lines[3]
    assert lines[4].startswith("? old.topic ")
    rest = len(load().wanted(members=MEMBERS, partitions=3)) - 3
    assert lines[5] == f"新建 create=1 改配置 change=1 拒绝 refused=1 不变 unchanged={rest}"
