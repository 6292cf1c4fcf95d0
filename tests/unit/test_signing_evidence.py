"""Evidence (G7): a hand-over is in a root or it is not, and history cannot be changed behind a later
statement."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.digest import sm3
from signing.errors import SigningError
from signing.evidence import (
    EMPTY_ROOT,
    Chain,
    Frontier,
    RootStatement,
    chain_break,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_inclusion,
)


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(f"hand-over {n}".encode()) for n in range(count)]


def definition(hashes: list[bytes]) -> bytes:
    """MTH as RFC 6962 section 2.1 words it, recursively: split at the largest power of two below the size."""
    if not hashes:
        return sm3(b"")
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return sm3(b"\x01" + definition(hashes[:split]) + definition(hashes[split:]))


@pytest.mark.parametrize("count", range(34))
def test_g7_root_is_the_definitions(count: int) -> None:
    assert root_of(leaves(count)) == definition(leaves(count))


def test_g7_leaf_and_node_are_told_apart() -> None:
    one, two = leaves(2)
    assert leaf_hash(one + two) != root_of([one, two])
    assert leaf_hash(b"") != EMPTY_ROOT


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33])
def test_g7_every_leaf_is_proven_at_its_place_only(count: int) -> None:
    tree = leaves(count)
    root = root_of(tree)
    for index in range(count):
        proof = inclusion_proof(tree, index)
        assert verify_inclusion(tree[index], index, count, proof, root)
        for other in range(count):
            if other != index:
                assert not verify_inclusion(tree[index], other, count, proof, root)
                assert not verify_inclusion(tree[other], index, count, proof, root)
        assert not verify_inclusion(tree[index], index, count, [*proof, root], root)
        assert not verify_inclusion(leaf_hash(b"never handed over"), index, count, proof, root)
        if proof:
            assert not verify_inclusion(tree[index], index, count, proof[:-1], root)
            assert not verify_inclusion(tree[index], index, count, proof[1:], root)


@given(st.integers(1, 200), st.data())
def test_g7_no_changed_proof_holds(count: int, data: st.DataObject) -> None:
    tree = leaves(count)
    index = data.draw(st.integers(0, count - 1))
    proof, root = inclusion_proof(tree, index), root_of(tree)
    assert verify_inclusion(tree[index], index, count, proof, root)
    everything = [tree[index], root, *proof]
    at, bit = data.draw(st.integers(0, len(everything) - 1)), data.draw(st.integers(0, 255))
    changed = bytearray(everything[at])
    changed[bit // 8] ^= 1 << bit % 8
    everything[at] = bytes(changed)
    leaf, changed_root, *changed_proof = everything
    assert not verify_inclusion(leaf, index, count, changed_proof, changed_root)


@given(st.integers(-5, 300), st.integers(-5, 300), st.lists(st.binary(min_size=32, max_size=32), max_size=40))
def test_g7_nonsense_is_no_proof(index: int, size: int, proof: list[bytes]) -> None:
    assert not verify_inclusion(leaf_hash(b"x"), index, size, proof, sm3(b"unrelated"))


def test_g7_an_index_beyond_the_tree_is_no_place() -> None:
    (only,) = leaves(1)
    assert verify_inclusion(only, 0, 1, [], only)
    for index, size in ((1, 1), (5, 1), (-1, 1), (0, 0), (0, 1 << 33)):
        assert not verify_inclusion(only, index, size, [], only)


def test_hashes_of_a_wrong_length_are_refused() -> None:
    with pytest.raises(SigningError):
        Frontier().append(b"short")
    with pytest.raises(SigningError):
        verify_inclusion(b"short", 0, 1, [], bytes(32))
    with pytest.raises(SigningError):
        inclusion_proof(leaves(3), 3)


def test_a_frontier_survives_storage_and_stays_small() -> None:
    frontier = Frontier()
    for leaf in leaves(1000):
        frontier.append(leaf)
        frontier = Frontier.from_bytes(frontier.to_bytes())
    assert frontier.root() == root_of(leaves(1000))
    assert len(frontier.to_bytes()) == 8 + 32 * (1000).bit_count()
    for bad in (b"", b"\x00" * 7, frontier.to_bytes()[:-1], frontier.to_bytes() + b"x"):
        with pytest.raises(SigningError):
            Frontier.from_bytes(bad)


def history(length: int) -> list[RootStatement]:
    made: list[RootStatement] = []
    for n in range(length):
        previous = {"previous": made[-1].digest()} if made else {}
        made.append(
            RootStatement(
                "router.case.inbound.0", n, 10 * n, 10 * n + 9, 10, root_of(leaves(n)), 1000 * n, **previous
            )
        )
    return made


def test_g7_history_cannot_be_changed_behind_a_later_statement() -> None:
    honest = history(5)
    assert chain_break(honest) is None
    for name, value in [("root", sm3(b"other")), ("closed_at_ms", 1), ("size", 9), ("last_offset", 18)]:
        changed = [*honest[:1], replace(honest[1], **{name: value}), *honest[2:]]  # type: ignore[arg-type]
        assert chain_break(changed) == 2
    assert chain_break([*honest[:2], *honest[3:]]) == 2
    assert chain_break([honest[0], replace(honest[1], lane="another"), *honest[2:]]) == 1
    assert chain_break([honest[0], replace(honest[1], sequence=2)]) == 1
    overlapping = replace(honest[1], first_offset=9)
    assert chain_break([honest[0], overlapping]) == 1
    earlier = replace(honest[2], closed_at_ms=999)
    assert chain_break([*honest[:2], earlier]) == 2


def test_a_statement_is_bytes_that_mean_one_thing() -> None:
    statement = history(1)[0]
    assert statement.to_bytes().split(b"\n") == [
        b"GOVHUB-EVIDENCE-1",
        b"router.case.inbound.0",
        b"0",
        b"0",
        b"9",
        b"10",
        b"0",
        EMPTY_ROOT.hex().encode(),
        b"0" * 64,
        b"0" * 64,
    ]
    assert RootStatement.from_bytes(statement.to_bytes()) == statement
    for bad in (
        replace(statement, lane=""),
        replace(statement, lane="a\nb"),
        replace(statement, size=-1),
        replace(statement, root=b"short"),
    ):
        with pytest.raises(SigningError):
            bad.to_bytes()


@given(st.binary(max_size=400))
def test_bytes_that_are_no_statement_are_refused(data: bytes) -> None:
    for bad in (data, history(2)[1].to_bytes() + data[:1] + b"0", data + history(1)[0].to_bytes()):
        if bad != history(1)[0].to_bytes():
            with pytest.raises(SigningError):
                RootStatement.from_bytes(bad)


def test_a_number_in_another_form_is_another_statement() -> None:
    written = history(1)[0].to_bytes()
    for bad in (written.replace(b"\n10\n", b"\n010\n"), written.replace(b"\n10\n", b"\n 10\n"), written[:-1]):
        with pytest.raises(SigningError):
            RootStatement.from_bytes(bad)


def test_g7_a_chain_fixes_every_record_and_their_order() -> None:
    records = [b"one", b"two", b"three"]
    chain = Chain().extend(records[:2]).extend(records[2:])
    assert Chain.from_bytes(chain.to_bytes()) == chain
    for other in (
        Chain().extend(records),
        Chain().extend([b"two", b"one"]).extend(records[2:]),
        Chain().extend([b"onet", b"wo"]).extend(records[2:]),
        Chain().extend([b"one"]).extend(records[2:]),
    ):
        assert other.head != chain.head
    with pytest.raises(SigningError):
        Chain.from_bytes(b"short")
