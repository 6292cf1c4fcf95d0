"""Negative vectors for seals and seal signatures: whatever is done to an honest one, it is not valid and
nothing crashes. Each kind prints how many were tried; `pytest -rP` shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from signing import der
from signing.certificates import parse_crl
from signing.issuing import Identity, issue, make_authority, make_crl
from signing.provider import SoftwareProvider
from signing.seals.checking import Circumstances, check_seal, check_signature
from signing.seals.making import SealPlan, make_seal, seal_document
from signing.seals.model import Picture
from signing.trust import Trust

PROVIDER = SoftwareProvider()
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TERM = {"not_before": START, "not_after": END}
ROOT = make_authority(PROVIDER, PROVIDER.generate(), {"C": "CN", "CN": "root"}, **TERM)
GIVEN = Circumstances(Trust((ROOT.certificate,)), PROVIDER, NOW, withdrawn={})
ORIGINAL = b"the document"


def identity(name: str) -> Identity:
    key = PROVIDER.generate()
    return Identity(issue(PROVIDER, ROOT, key.public, {"C": "CN", "CN": name}, **TERM), key)


MAKER, SIGNER, STRANGER = identity("maker"), identity("signer"), identity("stranger")
PLAN = SealPlan(
    es_id="46010000000001",
    type=1,
    name="专用章",
    vendor="v",
    signers=(SIGNER.certificate,),
    picture=Picture("PNG", b"\x89PNG" + bytes(range(60)), 42, 42),
    created_at=START,
    valid_from=START,
    valid_until=END - timedelta(days=1),
)
SEAL = make_seal(PLAN, MAKER, GIVEN)
OTHER_SEAL = make_seal(replace(PLAN, picture=Picture("PNG", b"\x89PNG" + bytes(60), 42, 42)), MAKER, GIVEN)
SIGNED = seal_document(SEAL, SIGNER, ORIGINAL, "doc", GIVEN)


def accepted(data: bytes, given: Circumstances = GIVEN, original: bytes = ORIGINAL) -> bool:
    """Valid now: whatever signature.* or seal.* step fails, a report comes back and nothing is raised."""
    return check_signature(data, given, original=original).now.valid


def regions(data: bytes) -> Iterator[tuple[str, int, int]]:
    """(name, first octet, end) of every element six levels down, so that none is left out by chance."""

    def walk(node: der.Node, start: int, name: str, depth: int) -> Iterator[tuple[str, int, int]]:
        yield name, start, start + len(node.raw)
        if depth == 0 or not node.tag & 0x20:
            return
        at = start + len(node.raw) - len(node.content)
        for number, child in enumerate(der.children(node)):
            yield from walk(child, at, f"{name}.{number}", depth - 1)
            at += len(child.raw)

    yield from walk(der.parse(data, "signature"), 0, "signature", 6)


def test_every_element_flipped_at_its_header_middle_and_end() -> None:
    tried = 0
    for name, start, end in regions(SIGNED):
        for at in {start, start + 1, (start + end) // 2, end - 1}:
            for bit in (0x01, 0x80):
                tried += 1
                changed = SIGNED[:at] + bytes([SIGNED[at] ^ bit]) + SIGNED[at + 1 :]
                assert not accepted(changed), f"{name} at {at}"
    print(f"flipped: {tried} tried, 0 accepted")
    assert tried > 200


def test_cut_and_lengthened() -> None:
    spoilt = [SIGNED[:at] for at in range(0, len(SIGNED), 13)] + [SIGNED + b"\0", b"\0" + SIGNED, SIGNED * 2]
    assert not any(accepted(data) for data in spoilt)
    print(f"truncated or lengthened: {len(spoilt)} tried, 0 accepted")


def test_an_element_left_out_repeated_or_moved() -> None:
    root = der.parse(SIGNED, "signature")
    parts = [node.raw for node in der.children(root)]
    spoilt = []
    for at in range(len(parts)):
        spoilt.append([*parts[:at], *parts[at + 1 :]])
        spoilt.append([*parts[: at + 1], parts[at], *parts[at + 1 :]])
        spoilt.append([*parts[at:], *parts[:at]] if at else list(reversed(parts)))
    assert not any(accepted(der.make_sequence(*one)) for one in spoilt)
    print(f"elements left out, repeated or moved: {len(spoilt)} tried, 0 accepted")


def test_swapped_picture_and_swapped_seal() -> None:
    """The picture of another seal, and a whole seal that is genuine but not the one that was signed with."""
    picture = PLAN.picture.data
    other = b"\x89PNG" + bytes(60)
    spoilt = [SIGNED.replace(picture, other), SIGNED.replace(SEAL, OTHER_SEAL)]
    assert all(data != SIGNED for data in spoilt)
    assert not any(accepted(data) for data in spoilt)
    assert not check_seal(SEAL.replace(picture, other), GIVEN).valid
    print("swapped picture or seal: 3 tried, 0 accepted")


def test_wrong_signer_wrong_maker_and_wrong_digest() -> None:
    swapped = SIGNED.replace(
        der.make_octets(SIGNER.certificate.raw), der.make_octets(STRANGER.certificate.raw)
    )
    maker = SEAL.replace(der.make_octets(MAKER.certificate.raw), der.make_octets(STRANGER.certificate.raw))
    assert not check_seal(maker, GIVEN).valid
    assert not accepted(swapped)
    for original in (b"", b"the Document", ORIGINAL + b"\n"):
        assert not accepted(SIGNED, original=original)
    print("wrong signer, maker or digest: 5 tried, 0 accepted")


@pytest.mark.parametrize("who", [SIGNER, MAKER], ids=["signer", "maker"])
def test_expired_and_revoked(who: Identity) -> None:
    later = replace(GIVEN, now=END + timedelta(seconds=1))
    assert not accepted(SIGNED, later)
    revoked = {who.certificate.serial: START + timedelta(days=1)}
    crl = parse_crl(make_crl(PROVIDER, ROOT, revoked, this_update=NOW, next_update=END))
    assert not accepted(SIGNED, replace(GIVEN, trust=Trust((ROOT.certificate,), crls=(crl,))))
    unknown = replace(GIVEN, trust=Trust((ROOT.certificate,), revocation_required=True))
    assert not accepted(SIGNED, unknown)
    for moment in (START - timedelta(days=1), NOW, NOW - timedelta(days=1)):
        assert not accepted(SIGNED, replace(GIVEN, withdrawn={PLAN.es_id: moment}))
    print("expired, revoked, unknown or withdrawn: 6 tried, 0 accepted")


def test_huge_lengths_and_deep_nesting() -> None:
    """Refused by the announced length alone: nothing of that size is ever allocated."""
    huge = [
        tag + length + SIGNED[:64]
        for tag in (b"\x30", b"\x04", b"\x31", b"\xa0")
        for length in (b"\x80", b"\x84\xff\xff\xff\xff", b"\x85\x01\0\0\0\0", b"\x88" + b"\xff" * 8, b"\xff")
    ]
    nested = []
    for depth in (10, 1000, 100_000):
        data = b""
        for _ in range(depth if depth < 100_000 else 2000):
            data = der.tlv(0x30, data)
        nested += [data, b"\x30\x80" * depth]
    many = [der.make_sequence(*[b"\x05\x00"] * count) for count in (3, 5000, 100_000)]
    spoilt = [*huge, *nested, *many]
    assert not any(accepted(data) for data in spoilt)
    assert not any(check_seal(data, GIVEN).valid for data in spoilt)
    print(f"huge lengths, deep nesting, many elements: {2 * len(spoilt)} tried, 0 accepted")
