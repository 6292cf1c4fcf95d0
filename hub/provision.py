"""Prepares a cluster for the hub: the topics of the catalogue, then the directory's records. Safe to repeat
and to run twice at once."""

import msgspec

from hub import directory
from hub.config import Settings
from hub.kafka import Admin
from hub.tables import publish_directory
from topics import catalogue
from topics.plan import Plan, apply, plan


class Provisioned(msgspec.Struct, frozen=True):
    """What was done: the plan that was carried out and how many directory records were written."""

    plan: Plan
    directory_records: int


async def plan_topics(settings: Settings, admin: Admin) -> Plan:
    """What `apply` would do now. Raises CatalogueError, DirectoryError, BrokerAway."""
    known = directory.load(settings.directory_dir, region=settings.region)
    return plan(
        catalogue.load(),
        await admin.list_topics(),
        members=tuple(known.served),
        partitions=settings.partitions,
        replication=settings.replication_factor,
        min_insync=settings.min_insync_replicas,
        prefix=settings.topic_prefix,
    )


async def provision(settings: Settings) -> Provisioned:
    """Create missing topics, change differing settings, publish the directory. Raises PlanRefused,
    CatalogueError, DirectoryError."""
    async with Admin(settings) as admin:
        wanted = await plan_topics(settings, admin)
        await apply(wanted, admin)
    return Provisioned(wanted, await publish_directory(settings))
