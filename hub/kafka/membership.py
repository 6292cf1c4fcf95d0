"""Membership in a consumer group: who tries to own which partition. Every partition stays paused; no data
moves here.

What the members tell each other, and how the partitions are shared out, is the caller's
(hub/lanes/assignment.py).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import aiokafka.errors
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.protocol.group import LeaveGroupRequest

from hub.config import Settings
from hub.errors import BrokerAway

log = structlog.get_logger()

_LEAVE_FOR_S: Final = 5.0


class Joining(NamedTuple):
    """A member that joins: the topics it asks for and what it says of itself."""

    topics: frozenset[str]
    note: bytes


class Share(NamedTuple):
    """What one member gets: partitions, and a note for it alone."""

    places: list[TopicPartition]
    note: bytes


class Sharing(Protocol):
    """How a group shares its partitions out. `plan` runs at one member, the leader; it must not depend on
    anything but its arguments."""

    def note(self) -> bytes:
        """What this member says of itself when it joins."""
        ...

    def plan(self, members: Mapping[str, Joining], places: Sequence[TopicPartition]) -> dict[str, Share]:
        """One share for every member."""
        ...


Changed = Callable[[set[TopicPartition], bytes, int], Awaitable[None]]
"""Called with the whole assignment, the leader's note and the group's generation; must return quickly: no
heartbeat is sent meanwhile."""


class _Assignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """The group protocol's side of Sharing. Used as an object, where aiokafka's own are used as classes."""

    name = "govhub"
    version = 0

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self.told = b""

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        return ConsumerProtocolMemberMetadata(self.version, list(topics), self._sharing.note())

    def assign(
        self, cluster: aiokafka.cluster.ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        joining = {id_: Joining(frozenset(m.subscription), m.user_data or b"") for id_, m in members.items()}
        topics = sorted({topic for member in joining.values() for topic in member.topics})
        places = [
            TopicPartition(topic, p)
            for topic in topics
            for p in sorted(cluster.partitions_for_topic(topic) or ())
        ]
        shares = self._sharing.plan(joining, places)
        return {id_: self._assignment(shares[id_]) for id_ in members}

    def _assignment(self, share: Share) -> ConsumerProtocolMemberAssignment:
        topics: dict[str, list[int]] = {}
        for place in share.places:
            topics.setdefault(place.topic, []).append(place.partition)
        return ConsumerProtocolMemberAssignment(self.version, sorted(topics.items()), share.note)

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        self.told = assignment.user_data or b""


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(
        self,
        changed: Callable[[set[TopicPartition]], Awaitable[None]],
        revoking: Callable[[], Awaitable[None]],
    ) -> None:
        self._changed = changed
        self._revoking = revoking

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        # No lane is closed here: fencing protects, and a lane that stays ours must not pay a restore. But a
        # call cannot be fenced: what is under way may end before another process gets the lane.
        await self._revoking()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._changed(assigned)


class Membership:
    """Membership in a consumer group, for the assignment only: every partition stays paused, data is read by
    each lane's own Reader.

    Why: aiokafka's fetcher stops fetching from a broker while one partition of it has unread records, so one
    slow lane would hold up the others; and a group consumer's positions would be reset to the group's offsets
    by every rebalance.
    """

    def __init__(self, settings: Settings, group: str, sharing: Sharing) -> None:
        self._assignor = _Assignor(sharing)
        self._bootstrap = settings.kafka_bootstrap
        self._group = group
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            max_poll_interval_ms=86_400_000,
            rebalance_timeout_ms=settings.session_timeout_ms,
            metadata_max_age_ms=5_000,
            # One only: with several, aiokafka 0.14 sends a join request for each of them.
            partition_assignment_strategy=(self._assignor,),
        )

    @property
    def id(self) -> str:
        """Under which id the group knows this member."""
        member: str = self._consumer._coordinator.member_id
        return member

    async def leave_for(self, member: str) -> None:
        """Leave in the name of a member that is known to be dead, so that nobody waits for its session to
        end. Best effort: the session ends anyway."""
        client = AIOKafkaClient(bootstrap_servers=self._bootstrap)
        try:
            async with asyncio.timeout(_LEAVE_FOR_S):
                await client.bootstrap()
                node = await client.coordinator_lookup(CoordinationType.GROUP, self._group)
                if await client.ready(node, group=ConnectionGroup.COORDINATION):
                    request = LeaveGroupRequest(self._group, member)
                    await client.send(node, request, group=ConnectionGroup.COORDINATION)
        except (aiokafka.errors.KafkaError, TimeoutError) as error:
            log.info("group.predecessor_stays", member=member, reason=repr(error))
        finally:
            await client.close()

    async def start(
        self, topics: Sequence[str], changed: Changed, revoking: Callable[[], Awaitable[None]]
    ) -> None:
        """Join. `changed` is awaited after every rebalance, `revoking` before it: for less than a session
        timeout, for no heartbeat is sent meanwhile. Raises BrokerAway."""

        async def on_assigned(assigned: set[TopicPartition]) -> None:
            if assigned:
                self._consumer.pause(*assigned)
            await changed(assigned, self._assignor.told, self._consumer._coordinator.generation)

        self._listener = _Listener(on_assigned, revoking)
        self._consumer.subscribe(topics=list(topics), listener=self._listener)
        try:
            await self._consumer.start()
        except aiokafka.errors.KafkaError as error:
            raise BrokerAway(repr(error)) from error

    def ask_for(self, topics: Sequence[str]) -> None:
        """Other topics from now on; the group shares out again."""
        self._consumer.subscribe(topics=list(topics), listener=self._listener)

    async def confirmed(self) -> bool:
        """Whether the coordinator, asked now, still counts us as a member of its present generation: True
        only for an answer to a heartbeat sent after this call, with no rebalance under way."""
        coordinator = self._consumer._coordinator
        generation = coordinator.generation

        def settled() -> bool:
            # The heartbeat task runs from the end of one join to the beginning of the next.
            return (
                coordinator.coordinator_id is not None
                and coordinator._heartbeat_task is not None
                and not coordinator._rejoin_needed_fut.done()
                and coordinator.generation == generation
            )

        if not settled():
            return False
        try:
            answered: bool = await coordinator._do_heartbeat()
        except aiokafka.errors.KafkaError:
            return False
        return answered and settled()

    def rejoin(self) -> None:
        """Ask for another assignment; every member joins again, and lanes that stay are not touched."""
        self._consumer._coordinator.request_rejoin()

    async def watch(self) -> None:
        """Surface errors of the group (authorisation, broker gone) as exceptions; runs until cancelled."""
        while True:
            await self._consumer.getmany(timeout_ms=1_000)

    async def stop(self) -> None:
        """Leave the group explicitly, so that successors need not wait for the session timeout."""
        await self._consumer.stop()
