"""DER: what is written is read back, and nothing malformed is read at all."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import der
from signing.errors import SigningError


def hexed(text: str) -> der.Node:
    return der.parse(bytes.fromhex(text), "test")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("30", "header cut"),
        ("3080020101 0000", "indefinite length"),
        ("30 81 03 020101", "long form of a short length"),
        ("30 82 0080" + "00" * 128, "leading zero in the length"),
        ("30 84 7fffffff 00", "announces two gigabytes"),
        ("30 85 0000000003 020101", "five length octets"),
        ("3003020101 00", "a byte after the end"),
        ("30 04 020101", "content cut"),
        ("1f 8101 00", "multi-byte tag"),
    ],
)
def test_malformed_elements_are_refused(text: str, why: str) -> None:
    with pytest.raises(SigningError):
        hexed(text)


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (der.integer, "0200"),
        (der.integer, "02020001"),
        (der.integer, "0202ff80"),
        (der.integer, "040101"),
        (der.boolean, "010101"),
        (der.boolean, "0102ffff"),
        (der.oid, "0600"),
        (der.oid, "060280 01"),
        (der.oid, "06022a81"),
        (der.bits, "0300"),
        (der.bits, "030201ff"),
        (der.octets, "030100"),
        (der.text, "0c01ff"),
        (der.text, "1601e4"),
        (der.text, "040141"),
        (der.time, "170d3233313333313030303030305a"),
        (der.time, "180f32303233303233303030303030305a"),
        (der.time, "170141"),
        (der.time, "040141"),
    ],
)
def test_malformed_values_are_refused(reader: object, text: str) -> None:
    assert callable(reader)
    with pytest.raises(SigningError):
        reader(hexed(text))


def test_errors_name_the_place() -> None:
    root = der.parse(der.make_sequence(der.make_sequence(der.make_utf8("x"))), "seal")
    version = der.sequence(der.sequence(root, "info")[0], "version")[0]
    with pytest.raises(SigningError, match=r"seal\.info\.version"):
        der.integer(version)


def test_element_counts_are_bounded() -> None:
    pair = der.parse(der.make_sequence(der.make_integer(1), der.make_integer(2)), "pair")
    assert len(der.sequence(pair, "a", "b", "c", least=2)) == 2
    for names in (("a",), ("a", "b", "c")):
        with pytest.raises(SigningError):
            der.sequence(pair, *names)
    many = der.parse(der.make_sequence(b"\x05\x00" * (der.CHILDREN_MAX + 1)), "many")
    with pytest.raises(SigningError):
        der.children(many)


def test_a_child_longer_than_its_parent_is_refused() -> None:
    with pytest.raises(SigningError, match="truncated"):
        der.children(hexed("3003040501"))


def test_a_node_keeps_its_original_bytes() -> None:
    inner = der.make_sequence(der.make_boolean(False), der.make_octets(b"x" * 200))
    (node,) = der.sequence(der.parse(der.make_sequence(inner), "outer"), "inner")
    assert node.raw == inner


@given(st.integers(-(1 << 300), 1 << 300))
def test_integers_round_trip_in_shortest_form(value: int) -> None:
    assert der.integer(der.parse(der.make_integer(value), "i")) == value


@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 1 << 40), max_size=8))
def test_oids_round_trip(first: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(map(str, [first, second, *rest]))
    assert der.oid(der.parse(der.make_oid(dotted), "o")) == dotted


def test_known_encodings() -> None:
    assert der.make_oid("1.2.156.10197.1.501").hex() == "06082a811ccf55018375"
    assert der.make_integer(128).hex() == "02020080"
    assert der.make_integer(-129).hex() == "0202ff7f"
    assert der.make_octets(bytes(300))[:4].hex() == "0482012c"


@given(st.datetimes(datetime(1950, 1, 1), datetime(2049, 12, 31)))
def test_times_round_trip(moment: datetime) -> None:
    utc = moment.replace(microsecond=0, tzinfo=UTC)
    assert der.time(der.parse(der.make_generalized_time(utc), "t")) == utc
    assert der.time(der.parse(der.make_utc_time(utc), "t")) == utc


def test_times_in_other_spellings() -> None:
    beijing = datetime(2023, 11, 15, 6, 13, 20, tzinfo=timezone(timedelta(hours=8)))
    for tag, text in [
        (der.GENERALIZED_TIME, b"20231115061320+0800"),
        (der.GENERALIZED_TIME, b"20231114221320.5Z"),
        (der.GENERALIZED_TIME, b"20231114221320"),
        (der.UTC_TIME, b"231115061320+0800"),
    ]:
        assert der.time(der.parse(der.tlv(tag, text), "t")) == beijing
    assert der.time(der.parse(der.tlv(der.UTC_TIME, b"491231235959Z"), "t")).year == 2049
    assert der.time(der.parse(der.tlv(der.UTC_TIME, b"500101000000Z"), "t")).year == 1950


@given(st.binary(max_size=300))
def test_random_bytes_raise_one_error_only(data: bytes) -> None:
    with contextlib.suppress(SigningError):
        node = der.parse(data, "fuzz")
        for reader in (
            der.integer,
            der.boolean,
            der.oid,
            der.octets,
            der.bits,
            der.text,
            der.time,
            der.children,
        ):
            with contextlib.suppress(SigningError):
                reader(node)
