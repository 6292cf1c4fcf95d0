"""Seals that other software made (ofdrw's samples, Apache-2.0): read in place when they lie beside the
project. HUB_VECTORS names the folder; without it ../shared/vectors beside the project is tried."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from signing.certificates import parse_certificate
from signing.provider import SoftwareProvider
from signing.seals.checking import Circumstances, Report, check_seal, check_signature
from signing.seals.model import SealSignature
from signing.seals.reading import parse_seal
from signing.trust import Trust

ROOT = Path(__file__).resolve().parents[2]
FILES = Path(os.environ.get("HUB_VECTORS") or ROOT.parent / "shared" / "vectors") / "seals"
pytestmark = pytest.mark.skipif(not FILES.is_dir(), reason="sample seals are not here (HUB_VECTORS)")

GIVEN = Circumstances(Trust(), SoftwareProvider(), datetime(2026, 1, 1, tzinfo=UTC))
WHEN = datetime(2021, 1, 1, tzinfo=UTC)


def read(name: str) -> bytes:
    return (FILES / name).read_bytes()


def outcomes(report: Report) -> dict[str, str]:
    return {step.name: step.outcome for step in report.steps}


@pytest.mark.parametrize(("name", "version"), [("UserV1.esl", 1), ("UserV4.esl", 4)])
def test_seals_of_both_standards(name: str, version: int) -> None:
    seal = parse_seal(read(name))
    assert (seal.version, seal.vendor, seal.picture.kind) == (version, "OFDR&WTest", "PNG")
    assert seal.picture.data.startswith(b"\x89PNG\r\n")
    assert (seal.picture.width_mm, seal.picture.height_mm) == (40, 40)
    assert "测试用印章" in seal.name
    assert len(seal.signers) == 1
    assert outcomes(check_seal(seal.raw, GIVEN, at=WHEN)) == {
        "seal.format": "passed",
        "seal.maker_signature": "passed",
        "seal.maker_certificate": "unknown",
        "seal.term": "passed",
        "seal.status": "absent",
    }
    assert {s.name for s in check_seal(seal.raw, GIVEN).failures} == {"seal.maker_certificate", "seal.term"}


@pytest.mark.parametrize("name", ["UserV1.esl", "UserV4.esl"])
def test_a_seal_is_valid_for_who_trusts_its_maker(name: str) -> None:
    trusting = replace(GIVEN, trust=Trust((parse_seal(read(name)).maker,)))
    assert check_seal(read(name), trusting, at=WHEN).valid


def signature() -> SealSignature:
    found = check_signature(read("SignedValueV4.dat"), GIVEN).signature
    assert found
    return found


def test_a_signature_valid_when_made_and_expired_now() -> None:
    made = signature()
    assert made.property_info == "/Doc_0/Signs/Sign_0/Signature.xml"
    assert made.seal.raw == read("UserV4.esl")
    trusting = replace(GIVEN, trust=Trust((made.signer, made.seal.maker)))
    report = check_signature(made.raw, trusting)
    assert outcomes(report.at_signing) | {"signature.digest": "-"} == {
        "signature.format": "passed",
        "signature.value": "passed",
        "signature.certificate": "passed",
        "seal.format": "passed",
        "seal.maker_signature": "passed",
        "seal.maker_certificate": "passed",
        "seal.term": "passed",
        "seal.status": "absent",
        "signature.signer_listed": "passed",
        "signature.digest": "-",
        "signature.time": "passed",
        "signature.timestamp": "absent",
    }
    assert {s.name for s in report.now.failures} == {
        "signature.certificate",
        "seal.maker_certificate",
        "seal.term",
    }


def test_the_certificates_are_read_although_they_bend_the_rules() -> None:
    (signer,) = signature().seal.signers
    assert isinstance(signer, bytes)
    certificate = parse_certificate(signer)
    assert certificate.raw == signature().signer.raw
    assert "O=OFD R&W" in certificate.subject_text


@pytest.mark.parametrize("name", ["UserV1.esl", "UserV4.esl"])
def test_every_byte_outside_the_picture_counts(name: str) -> None:
    """Flipped one by one; inside the 15 kB picture every 97th."""
    data = read(name)
    seal = parse_seal(data)
    trusting = replace(GIVEN, trust=Trust((seal.maker,)))
    start = data.index(seal.picture.data)
    end = start + len(seal.picture.data)
    places = [*range(start), *range(start, end, 97), *range(end, len(data))]
    accepted = [
        at
        for at in places
        if check_seal(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], trusting, at=WHEN).valid
    ]
    assert accepted == []


def test_the_term_is_the_seals_own() -> None:
    made = signature()
    trusting = replace(GIVEN, trust=Trust((made.seal.maker,)))
    just_after = made.seal.valid_until + timedelta(seconds=1)
    assert "seal.term" in [s.name for s in check_seal(made.seal.raw, trusting, at=just_after).failures]
