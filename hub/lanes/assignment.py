"""Who owns which lane, and who stands by for it: pure, from what the members of a group say of themselves.

No Kafka, no store, no clock: every member would come to the same shares; the group's leader is the one that
does.
"""

from collections.abc import Mapping, Sequence

import msgspec

from hub.kafka import Joining, Share, TopicPartition


class About(msgspec.Struct, frozen=True, array_like=True):
    """What a member says of itself. home: its data directory's id, "" when it cannot stand by. generation: of
    the assignment that gave it `open`. open: lanes it works on. tails: lanes it stands by for. stores: lanes
    whose store it has on disk. replicas: how many are to stand by for each lane. Lanes are written `<full
    topic>-<partition>`."""

    home: str = ""
    generation: int = -1
    open: frozenset[str] = frozenset()
    tails: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()
    replicas: int = 0


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """The leader's note: the lanes this member is to stand by for."""

    tails: list[tuple[str, int]] = []


def name_of(place: TopicPartition) -> str:
    """A lane's name in About."""
    return f"{place.topic}-{place.partition}"


def plan(members: Mapping[str, Joining], lanes: Sequence[TopicPartition]) -> dict[str, Share]:
    """Shares that differ by one lane at most. A lane stays where it is open; one without an owner goes where
    its store is; standbys are never in the owner's data directory."""
    abouts = {id_: _about(joining.note) for id_, joining in sorted(members.items())}
    owners = _owners(members, abouts, lanes)
    tails = _standbys(members, abouts, lanes, owners)
    return {
        id_: Share(
            [lane for lane in lanes if owners.get(lane) == id_],
            msgspec.msgpack.encode(Standing([(lane.topic, lane.partition) for lane in tails[id_]])),
        )
        for id_ in members
    }


def standing(note: bytes) -> set[TopicPartition]:
    """The lanes to stand by for, of the leader's note; none when it cannot be read."""
    try:
        told = msgspec.msgpack.decode(note, type=Standing)
    except msgspec.DecodeError:
        return set()
    return {TopicPartition(topic, partition) for topic, partition in told.tails}


def _about(note: bytes) -> About:
    try:
        return msgspec.msgpack.decode(note, type=About)
    except msgspec.DecodeError:
        # A member of another release: it works lanes and stands by for none.
        return About()


def _owners(
    members: Mapping[str, Joining], abouts: Mapping[str, About], lanes: Sequence[TopicPartition]
) -> dict[TopicPartition, str]:
    low, extra = divmod(len(lanes), len(abouts))
    owners: dict[TopicPartition, str] = {}
    load = dict.fromkeys(abouts, 0)

    def full(id_: str) -> bool:
        taken = sum(count > low for count in load.values())
        return load[id_] > low or (load[id_] == low and taken >= extra)

    def give(lane: TopicPartition, id_: str) -> None:
        owners[lane] = id_
        load[id_] += 1

    for lane in lanes:
        # Of two that say it is open with them, one is a zombie: the later assignment is the true one.
        claims = [i for i, about in abouts.items() if name_of(lane) in about.open and _may(members[i], lane)]
        claims.sort(key=lambda i: -abouts[i].generation)
        if claims and not full(claims[0]):
            give(lane, claims[0])
    for lane in lanes:
        able = [i for i in abouts if lane not in owners and _may(members[i], lane)]
        if able:
            give(lane, min(able, key=lambda i: (full(i), _cold(abouts[i], lane), load[i], i)))
    return owners


def _standbys(
    members: Mapping[str, Joining],
    abouts: Mapping[str, About],
    lanes: Sequence[TopicPartition],
    owners: Mapping[TopicPartition, str],
) -> dict[str, list[TopicPartition]]:
    tails: dict[str, list[TopicPartition]] = {id_: [] for id_ in abouts}
    replicas = max(about.replicas for about in abouts.values())
    for lane in lanes:
        homes = {"", abouts[owners[lane]].home if lane in owners else ""}
        for _ in range(replicas):
            able = [i for i in abouts if abouts[i].home not in homes and _may(members[i], lane)]
            if not able:
                break
            chosen = min(able, key=lambda i: (len(tails[i]) // 4, _cold(abouts[i], lane), len(tails[i]), i))
            tails[chosen].append(lane)
            homes.add(abouts[chosen].home)
    return tails


def _may(member: Joining, lane: TopicPartition) -> bool:
    return lane.topic in member.topics


def _cold(about: About, lane: TopicPartition) -> int:
    """How far a member is from having this lane's state: 0 it tails it or has it open, 1 an older store, 2
    nothing."""
    name = name_of(lane)
    return 0 if name in about.tails or name in about.open else 1 if name in about.stores else 2
