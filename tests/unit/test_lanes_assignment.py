"""Who owns which lane and who stands by: balanced, staying where it is, going where the state is."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hub.kafka import Joining, Share, TopicPartition
from hub.lanes.assignment import About, name_of, plan, standing

LANES = [TopicPartition("case.inbound", p) for p in range(12)]


def member(
    home: str,
    open_: list[TopicPartition] | None = None,
    *,
    tails: list[TopicPartition] | None = None,
    generation: int = 1,
    topics: tuple[str, ...] = ("case.inbound",),
) -> Joining:
    names = frozenset(name_of(lane) for lane in open_ or [])
    near = frozenset(name_of(lane) for lane in tails or [])
    note = msgspec.msgpack.encode(About(home, generation, names, near, frozenset(), 1))
    return Joining(frozenset(topics), note)


def owned(shares: dict[str, Share]) -> dict[str, list[TopicPartition]]:
    return {id_: share.places for id_, share in shares.items()}


def tails(shares: dict[str, Share]) -> dict[str, set[TopicPartition]]:
    return {id_: standing(share.note)[0] for id_, share in shares.items()}


def test_lanes_of_a_dead_worker_go_to_those_who_stood_by_and_the_others_stay() -> None:
    before = plan({"a": member("A"), "b": member("B"), "c": member("C")}, LANES)
    orphans = owned(before)["a"]
    # Either way round: the order of names and loads alone would satisfy one of them.
    for near in ({"b": orphans[::2], "c": orphans[1::2]}, {"b": orphans[1::2], "c": orphans[::2]}):
        left = {id_: member(id_.upper(), owned(before)[id_], tails=near[id_]) for id_ in near}
        after = owned(plan(left, LANES))
        for id_ in left:
            assert set(after[id_]) == {*owned(before)[id_], *near[id_]}, (
                "what is open stays, the rest is near"
            )


def test_a_worker_that_joins_comes_near_its_share_first_and_then_takes_it_and_no_more() -> None:
    cold = plan({"a": member("A", LANES), "b": member("B")}, LANES)
    assert owned(cold) == {"a": LANES, "b": []}, "no lane stands still for a full restore elsewhere"
    tailed, due = standing(cold["b"].note)
    assert due
    assert not standing(cold["a"].note)[1]
    near = plan({"a": member("A", LANES), "b": member("B", tails=list(tailed))}, LANES)
    assert {id_: len(lanes) for id_, lanes in owned(near).items()} == {"a": 6, "b": 6}
    assert not standing(near["b"].note)[1]


def test_a_worker_that_cannot_stand_by_takes_its_share_at_once() -> None:
    after = plan({"a": member("A", LANES), "b": member("")}, LANES)
    assert {id_: len(lanes) for id_, lanes in owned(after).items()} == {"a": 6, "b": 6}


def test_what_is_due_to_a_third_worker_is_what_it_stands_by_for() -> None:
    two = plan({"a": member("A", LANES[:6]), "b": member("B", LANES[6:])}, LANES)
    three = {
        "a": member("A", owned(two)["a"], tails=list(tails(two)["a"])),
        "b": member("B", owned(two)["b"], tails=list(tails(two)["b"])),
        "c": member("C"),
    }
    cold = plan(three, LANES)
    three["c"] = member("C", tails=list(tails(cold)["c"]))
    near = plan(three, LANES)
    assert {id_: len(lanes) for id_, lanes in owned(near).items()} == {"a": 4, "b": 4, "c": 4}
    assert set(owned(near)["c"]) <= tails(cold)["c"]


def test_of_two_that_say_a_lane_is_open_the_later_assignment_is_believed() -> None:
    zombie = member("Z", LANES[:6], generation=3)
    after = plan({"a-zombie": zombie, "b": member("B", LANES, generation=4)}, LANES)
    assert set(owned(after)["b"]) >= set(LANES[:6]), "the true owner keeps"


def test_nobody_stands_by_beside_the_owners_own_store() -> None:
    one_machine = plan({"a": member("A", LANES), "b": member("")}, LANES)
    assert tails(one_machine) == {"a": set(owned(one_machine)["b"]), "b": set()}
    assert tails(plan({"a": member("A")}, LANES)) == {"a": set()}


def test_a_member_that_says_nothing_or_asks_for_other_topics_is_treated_so() -> None:
    other = TopicPartition("deliver.new", 0)
    shares = plan(
        {"old": Joining(frozenset({"case.inbound"}), b"\xff"), "a": member("A", topics=("deliver.new",))},
        [*LANES, other],
    )
    assert owned(shares) == {"old": LANES, "a": [other]}


@given(
    st.dictionaries(
        st.text("abcdef", min_size=1, max_size=2),
        st.tuples(
            st.sampled_from(["", "A", "B", "C", "D"]),
            st.lists(st.sampled_from(LANES), max_size=12, unique=True),
            st.lists(st.sampled_from(LANES), max_size=12, unique=True),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_every_lane_has_one_owner_shares_are_fair_and_the_plan_depends_on_nothing_else(
    group: dict[str, tuple[str, list[TopicPartition], list[TopicPartition], int]],
) -> None:
    members = {
        id_: member(home, open_, tails=near, generation=generation)
        for id_, (home, open_, near, generation) in group.items()
    }
    shares = plan(members, LANES)
    given_out = [lane for share in shares.values() for lane in share.places]
    assert sorted(given_out) == sorted(LANES)
    sizes = [len(share.places) for share in shares.values()]
    assert max(sizes) - min(sizes) <= 1 or any(standing(share.note)[1] for share in shares.values())
    for id_, standing_by in tails(shares).items():
        for lane in standing_by:
            owner = next(one for one, share in shares.items() if lane in share.places)
            assert owner != id_
            assert group[owner][0] != group[id_][0]
    assert shares == plan(dict(reversed(members.items())), LANES)
