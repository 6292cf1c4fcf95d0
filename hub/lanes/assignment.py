"""Who owns which lane, and who stands by for it: pure, from what the members of a group say of themselves.

No Kafka, no store, no clock: every member would come to the same shares; the group's leader is the one that
does.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from hub.kafka import Joining, Share, TopicPartition

_COLD: Final = 2


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
    """The leader's note: the lanes this member is to stand by for. due: some of them are to be its own, as
    soon as it has come near them; it then asks for another assignment."""

    tails: list[tuple[str, int]] = []
    due: bool = False


def name_of(place: TopicPartition) -> str:
    """A lane's name in About."""
    return f"{place.topic}-{place.partition}"


def plan(members: Mapping[str, Joining], lanes: Sequence[TopicPartition]) -> dict[str, Share]:
    """A lane stays where it is open; one without an owner goes where its store is; standbys are never in the
    owner's data directory. Shares differ by one lane at most, once those that are to take a lane over have
    come near its state: until then it stays open where it is, for a move in the cold would let it stand still
    for a full restore."""
    abouts = {id_: _about(joining.note) for id_, joining in sorted(members.items())}
    owners, due = _owners(members, abouts, lanes)
    tails = _standbys(members, abouts, lanes, owners, due)
    return {
        id_: Share(
            [lane for lane in lanes if owners.get(lane) == id_],
            msgspec.msgpack.encode(
                Standing([(lane.topic, lane.partition) for lane in tails[id_]], id_ in due.values())
            ),
        )
        for id_ in members
    }


def standing(note: bytes) -> tuple[set[TopicPartition], bool]:
    """(lanes to stand by for, whether some of them are due) of the leader's note; nothing when it cannot be
    read."""
    try:
        told = msgspec.msgpack.decode(note, type=Standing)
    except msgspec.DecodeError:
        return set(), False
    return {TopicPartition(topic, partition) for topic, partition in told.tails}, told.due


def _about(note: bytes) -> About:
    try:
        return msgspec.msgpack.decode(note, type=About)
    except msgspec.DecodeError:
        # A member of another release: it works lanes and stands by for none.
        return About()


def _owners(
    members: Mapping[str, Joining], abouts: Mapping[str, About], lanes: Sequence[TopicPartition]
) -> tuple[dict[TopicPartition, str], dict[TopicPartition, str]]:
    """Lane -> owner, and lane -> the member it is due to, that has to come near it first."""
    low, extra = divmod(len(lanes), len(abouts))
    owners: dict[TopicPartition, str] = {}
    due: dict[TopicPartition, str] = {}
    load = dict.fromkeys(abouts, 0)

    def full(id_: str) -> bool:
        taken = sum(count > low for count in load.values())
        return load[id_] > low or (load[id_] == low and taken >= extra)

    claims = {lane: _owner_now(members, abouts, lane) for lane in lanes}
    for lane, owner in claims.items():
        if owner is not None and not full(owner):
            owners[lane] = owner
            load[owner] += 1
    for lane, owner in claims.items():
        able = [i for i in abouts if lane not in owners and _may(members[i], lane)]
        if not able:
            continue
        chosen = min(able, key=lambda i: (full(i), _cold(abouts[i], lane), load[i], i))
        load[chosen] += 1
        if owner is not None and _cold(abouts[chosen], lane) == _COLD and _can_warm(abouts[chosen]):
            owners[lane], due[lane] = owner, chosen
        else:
            owners[lane] = chosen
    return owners, due


def _owner_now(
    members: Mapping[str, Joining], abouts: Mapping[str, About], lane: TopicPartition
) -> str | None:
    """Who has it open. Of two that say so one is a zombie: the later assignment is the true one."""
    claims = [i for i, about in abouts.items() if name_of(lane) in about.open and _may(members[i], lane)]
    claims.sort(key=lambda i: -abouts[i].generation)
    return claims[0] if claims else None


def _standbys(
    members: Mapping[str, Joining],
    abouts: Mapping[str, About],
    lanes: Sequence[TopicPartition],
    owners: Mapping[TopicPartition, str],
    due: Mapping[TopicPartition, str],
) -> dict[str, list[TopicPartition]]:
    tails: dict[str, list[TopicPartition]] = {id_: [] for id_ in abouts}
    replicas = max(about.replicas for about in abouts.values())
    for lane in lanes:
        homes = {"", abouts[owners[lane]].home if lane in owners else ""}
        for turn in range(replicas):
            able = [i for i in abouts if abouts[i].home not in homes and _may(members[i], lane)]
            if not able:
                break
            chosen = min(able, key=lambda i: (len(tails[i]) // 4, _cold(abouts[i], lane), len(tails[i]), i))
            if turn == 0 and due.get(lane) in able:
                chosen = due[lane]
            tails[chosen].append(lane)
            homes.add(abouts[chosen].home)
    return tails


def _may(member: Joining, lane: TopicPartition) -> bool:
    return lane.topic in member.topics


def _cold(about: About, lane: TopicPartition) -> int:
    """How far a member is from having this lane's state: 0 it tails it or has it open, 1 an older store, 2
    nothing."""
    name = name_of(lane)
    return 0 if name in about.tails or name in about.open else 1 if name in about.stores else _COLD


def _can_warm(about: About) -> bool:
    return about.home != "" and about.replicas > 0
