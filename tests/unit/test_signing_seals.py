"""Electronic seals: what we make is judged valid, and nothing changed, expired, withdrawn or borrowed is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as generated
from hypothesis import settings
from hypothesis import strategies as st

from signing import der
from signing.certificates import Certificate, parse_crl
from signing.digest import sm3
from signing.errors import SigningError
from signing.issuing import Identity, issue, make_authority, make_crl
from signing.provider import SCHEME_OIDS, PrivateKey, SoftwareProvider
from signing.seals.checking import Circumstances, Report, SignatureReport, check_seal, check_signature
from signing.seals.making import SealPlan, make_seal, seal_document
from signing.seals.model import Picture, Version
from signing.seals.reading import parse_seal, parse_signature
from signing.trust import Trust

PROVIDER = SoftwareProvider()
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = make_authority(
    PROVIDER, PROVIDER.generate(), {"C": "CN", "CN": "测试根"}, not_before=START, not_after=END
)
GIVEN = Circumstances(Trust((ROOT.certificate,)), PROVIDER, NOW, withdrawn={})
ORIGINAL = "<ofd:Signature>原文</ofd:Signature>".encode()
PATH = "/Doc_0/Signs/Sign_0/Signature.xml"


def identity(name: str, until: datetime = END) -> Identity:
    key = PROVIDER.generate()
    return Identity(
        issue(PROVIDER, ROOT, key.public, {"C": "CN", "CN": name}, not_before=START, not_after=until), key
    )


MAKER, SIGNER, STRANGER = identity("制章中心"), identity("海口市市场监督管理局"), identity("另一单位")
PLAN = SealPlan(
    es_id="46010000000001",
    type=1,
    name="海口市市场监督管理局行政审批专用章",
    vendor="govhub",
    signers=(SIGNER.certificate,),
    picture=Picture("PNG", b"\x89PNG" + bytes(200), 42, 42),
    created_at=START,
    valid_from=START,
    valid_until=END - timedelta(days=365),
)
VARIANTS = {
    "GB/T 38540": PLAN,
    "GB/T 38540 by digest": replace(PLAN, by_digest=True),
    "GM/T 0031": replace(PLAN, version=1),
}
SEALS = {name: make_seal(plan, MAKER, GIVEN) for name, plan in VARIANTS.items()}
SIGNED = {name: seal_document(seal, SIGNER, ORIGINAL, PATH, GIVEN) for name, seal in SEALS.items()}
EVERY = pytest.mark.parametrize("variant", list(VARIANTS))


def judge(
    data: bytes, original: bytes | None = ORIGINAL, circumstances: Circumstances = GIVEN
) -> SignatureReport:
    return check_signature(data, circumstances, original=original)


def outcome(report: Report, name: str) -> str:
    (step,) = [s for s in report.steps if s.name == name]
    assert step.zh
    assert step.en
    return step.outcome


@EVERY
def test_what_we_make_is_valid_now_and_at_signing(variant: str) -> None:
    assert check_seal(SEALS[variant], GIVEN).valid
    report = judge(SIGNED[variant])
    assert report.now.valid
    assert report.at_signing.valid
    assert report.signature is not None
    assert report.signature.signed_at == NOW
    assert report.signature.property_info == PATH
    assert report.signature.seal.raw == SEALS[variant]
    assert report.signature.seal.name == PLAN.name
    assert report.signature.seal.picture == PLAN.picture


@EVERY
def test_every_step_is_named_in_order(variant: str) -> None:
    names = [step.name for step in judge(SIGNED[variant]).now.steps]
    assert names == [
        "signature.format",
        "signature.value",
        "signature.certificate",
        "seal.format",
        "seal.maker_signature",
        "seal.maker_certificate",
        "seal.term",
        "seal.status",
        "signature.signer_listed",
        "signature.digest",
        "signature.time",
        "signature.timestamp",
    ]


@EVERY
def test_another_original_is_told(variant: str) -> None:
    report = judge(SIGNED[variant], ORIGINAL + b" ").now
    assert [s.name for s in report.failures] == ["signature.digest"]
    without = judge(SIGNED[variant], None)
    assert outcome(without.now, "signature.digest") == "unknown"
    assert not without.now.valid


@EVERY
def test_no_changed_byte_is_accepted(variant: str) -> None:
    """Bytes of a whole signature (seal, picture, certificates, times, values) changed in turn: every
    seventh, to keep the suite quick (every single one takes 35 s and accepts none either)."""
    data = SIGNED[variant]
    accepted = [at for at in range(len(variant) % 7, len(data), 7) if _valid_with(data, at, data[at] ^ 0x01)]
    assert accepted == []


def _valid_with(data: bytes, at: int, octet: int) -> bool:
    return judge(data[:at] + bytes([octet]) + data[at + 1 :]).now.valid


@settings(max_examples=200, deadline=None)
@generated(st.sampled_from(list(VARIANTS)), st.integers(0, 1 << 20), st.integers(0, 255), st.booleans())
def test_changed_or_cut_files_are_refused_and_crash_nothing(
    variant: str, at: int, octet: int, cut: bool
) -> None:
    data = SIGNED[variant]
    at %= len(data)
    changed = data[:at] if cut else data[:at] + bytes([octet]) + data[at + 1 :]
    if changed != data:
        assert not judge(changed).now.valid
        assert not judge(changed).at_signing.valid


@generated(st.binary(max_size=400))
def test_no_bytes_are_a_seal(data: bytes) -> None:
    assert [s.name for s in check_seal(data, GIVEN).failures] == ["seal.format"]
    assert [s.name for s in judge(data).now.failures] == ["signature.format"]


@EVERY
def test_a_swapped_picture_or_name_breaks_the_makers_signature(variant: str) -> None:
    for old, new in [
        (b"\x89PNG", b"\x89PNH"),
        (PLAN.name.encode(), PLAN.name.replace("审批", "执法").encode()),
    ]:
        changed = SEALS[variant].replace(old, new)
        assert changed != SEALS[variant]
        assert [s.name for s in check_seal(changed, GIVEN).failures] == ["seal.maker_signature"]
        assert "seal.maker_signature" in [
            s.name for s in judge(SIGNED[variant].replace(old, new)).now.failures
        ]


@EVERY
def test_a_signature_by_someone_the_seal_does_not_name(variant: str) -> None:
    with pytest.raises(SigningError, match="signer"):
        seal_document(SEALS[variant], STRANGER, ORIGINAL, PATH, GIVEN)
    forged = forge(variant, STRANGER.certificate, STRANGER.key)
    assert [s.name for s in judge(forged).now.failures] == ["signature.signer_listed"]


def forge(variant: str, certificate: Certificate, key: PrivateKey, seal: bytes | None = None) -> bytes:
    """A signature put together by hand, right in every part that the caller does not make wrong."""
    algorithm = der.make_oid(SCHEME_OIDS["SM2-SM3"])
    number = der.make_integer(VARIANTS[variant].version)
    digest, about = der.make_bits(sm3(ORIGINAL)), der.make_ia5(PATH)
    whole = seal or SEALS[variant]
    if VARIANTS[variant].version == 4:
        signed = der.make_sequence(number, whole, der.make_generalized_time(NOW), digest, about)
        value = der.make_bits(PROVIDER.sign(key, signed))
        return der.make_sequence(signed, der.make_octets(certificate.raw), algorithm, value)
    moment = der.make_bits(der.make_utc_time(NOW))
    cert = der.make_octets(certificate.raw)
    signed = der.make_sequence(number, whole, moment, digest, about, cert, algorithm)
    return der.make_sequence(signed, der.make_bits(PROVIDER.sign(key, signed)))


@EVERY
def test_a_hand_made_signature_shows_that_forgeries_fail_for_their_reason(variant: str) -> None:
    assert judge(forge(variant, SIGNER.certificate, SIGNER.key)).now.valid
    report = judge(forge(variant, SIGNER.certificate, STRANGER.key)).now
    assert [s.name for s in report.failures] == ["signature.value"]


def test_a_key_that_is_not_the_certificates_signs_nothing() -> None:
    mixed = Identity(SIGNER.certificate, STRANGER.key)
    with pytest.raises(SigningError, match="SM2 key of the certificate"):
        seal_document(SEALS["GB/T 38540"], mixed, ORIGINAL, PATH, GIVEN)
    with pytest.raises(SigningError, match="SM2 key of the certificate"):
        make_seal(PLAN, mixed, GIVEN)


@EVERY
def test_expired_today_but_valid_when_signed(variant: str) -> None:
    later = replace(GIVEN, now=END - timedelta(days=1))
    report = judge(SIGNED[variant], circumstances=later)
    assert report.at_signing.valid
    assert [s.name for s in report.now.failures] == ["seal.term"]
    much_later = judge(SIGNED[variant], circumstances=replace(GIVEN, now=END + timedelta(days=1)))
    assert much_later.at_signing.valid
    assert {s.name for s in much_later.now.failures} == {
        "signature.certificate",
        "seal.maker_certificate",
        "seal.term",
    }


@EVERY
def test_an_expired_seal_signs_nothing(variant: str) -> None:
    for now in (START - timedelta(days=1), PLAN.valid_until + timedelta(days=1)):
        with pytest.raises(SigningError, match=r"seal\."):
            seal_document(SEALS[variant], SIGNER, ORIGINAL, PATH, replace(GIVEN, now=now))


@EVERY
def test_a_lost_or_destroyed_seal_refuses_later_signatures(variant: str) -> None:
    lost = replace(GIVEN, withdrawn={PLAN.es_id: NOW})
    with pytest.raises(SigningError, match=r"seal\.status"):
        seal_document(SEALS[variant], SIGNER, ORIGINAL, PATH, lost)
    assert outcome(judge(SIGNED[variant], circumstances=lost).at_signing, "seal.status") == "failed"
    after = replace(GIVEN, now=NOW + timedelta(days=2), withdrawn={PLAN.es_id: NOW + timedelta(days=1)})
    report = judge(SIGNED[variant], circumstances=after)
    assert report.at_signing.valid
    assert [s.name for s in report.now.failures] == ["seal.status"]


@EVERY
def test_a_revoked_signer_counts_from_the_day_of_revocation(variant: str) -> None:
    def with_crl(day: datetime) -> Circumstances:
        revoked = {SIGNER.certificate.serial: day}
        crl = make_crl(PROVIDER, ROOT, revoked, this_update=NOW, next_update=NOW + timedelta(days=30))
        return replace(GIVEN, now=NOW + timedelta(days=5), trust=replace(GIVEN.trust, crls=(parse_crl(crl),)))

    before = judge(SIGNED[variant], circumstances=with_crl(NOW - timedelta(days=1)))
    assert outcome(before.at_signing, "signature.certificate") == "failed"
    after = judge(SIGNED[variant], circumstances=with_crl(NOW + timedelta(days=1)))
    assert after.at_signing.valid
    assert [s.name for s in after.now.failures] == ["signature.certificate"]


@EVERY
def test_a_time_in_the_future_is_told(variant: str) -> None:
    earlier = replace(GIVEN, now=NOW - timedelta(minutes=6))
    assert outcome(judge(SIGNED[variant], circumstances=earlier).at_signing, "signature.time") == "failed"
    hardly = replace(GIVEN, now=NOW - timedelta(minutes=4))
    assert outcome(judge(SIGNED[variant], circumstances=hardly).at_signing, "signature.time") == "passed"


def test_without_anchors_nothing_is_called_valid() -> None:
    blind = replace(GIVEN, trust=Trust())
    report = check_seal(SEALS["GB/T 38540"], blind)
    assert outcome(report, "seal.maker_certificate") == "unknown"
    assert not report.valid
    assert report.failures == ()


def test_a_seal_by_an_unknown_maker_is_not_believed() -> None:
    own_root = make_authority(
        PROVIDER, PROVIDER.generate(), {"C": "CN", "CN": "测试根"}, not_before=START, not_after=END
    )
    other = replace(GIVEN, trust=Trust((own_root.certificate,)))
    assert [s.name for s in check_seal(SEALS["GB/T 38540"], other).failures] == ["seal.maker_certificate"]
    with pytest.raises(SigningError, match=r"seal\.maker_certificate"):
        make_seal(PLAN, MAKER, other)


def test_a_time_stamp_that_cannot_be_checked_is_not_called_good() -> None:
    signed = SIGNED["GB/T 38540"]
    inner = der.parse(signed, "signature").content
    stamped = der.make_sequence(inner, der.make_explicit(0, der.make_bits(b"token")))
    report = judge(stamped)
    assert report.signature is not None
    assert report.signature.timestamp == b"token"
    assert outcome(report.now, "signature.timestamp") in ("unknown", "failed")
    assert not report.now.valid


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"es_id": ""}, "esID"),
        ({"es_id": "x" * 65}, "esID"),
        ({"name": ""}, "name"),
        ({"signers": ()}, "certList"),
        ({"picture": Picture("PNG", b"", 42, 42)}, "picture"),
        ({"picture": Picture("PNG", b"x", 0, 42)}, "picture"),
        ({"picture": Picture("PNG", b"x", 42, 201)}, "picture"),
        ({"valid_until": START - timedelta(days=1)}, "property"),
        ({"version": 1, "by_digest": True}, "certList"),
    ],
    ids=str,
)
def test_bad_plans_are_refused_by_name(changes: dict[str, object], where: str) -> None:
    with pytest.raises(SigningError, match=where):
        make_seal(replace(PLAN, **changes), MAKER, GIVEN)  # type: ignore[arg-type]


def test_a_header_that_lies_about_its_version_is_refused() -> None:
    four, one = SEALS["GB/T 38540"], SEALS["GM/T 0031"]
    header = {
        v: der.make_sequence(der.make_ia5("ES"), der.make_integer(v), der.make_ia5("govhub")) for v in (1, 4)
    }
    for seal, mine, other in [(four, 4, 1), (one, 1, 4)]:
        with pytest.raises(SigningError, match="version"):
            parse_seal(seal.replace(header[mine], header[other]))
    with pytest.raises(SigningError, match="ES"):
        parse_seal(four.replace(der.make_ia5("ES"), der.make_ia5("EX"), 1))
    mixed = forge("GB/T 38540", SIGNER.certificate, SIGNER.key, one)
    with pytest.raises(SigningError, match="version"):
        parse_signature(mixed)


def test_extension_data_is_read_tagged_and_untagged() -> None:
    version: Version = 4
    entry = der.make_sequence(der.make_oid("1.2.3"), der.make_boolean(False), der.make_octets(b"x"))
    info = der.sequence(der.parse(SEALS["GB/T 38540"], "seal"), "info", "cert", "alg", "value")
    for extensions in (
        der.make_sequence(entry),
        der.make_explicit(0, der.make_sequence(entry)),
        der.tlv(0xA0, entry),
    ):
        signed = der.make_sequence(info[0].content, extensions)
        value = der.make_bits(PROVIDER.sign(MAKER.key, signed))
        seal = der.make_sequence(signed, info[1].raw, info[2].raw, value)
        assert [e.value for e in parse_seal(seal).extensions] == [b"x"]
        assert parse_seal(seal).version == version
        assert check_seal(seal, GIVEN).valid
