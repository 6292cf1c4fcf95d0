"""Sealed PDF (PAdES): what we sign is valid, and nothing changed, borrowed, expired or revoked is."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as generated
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from signing.certificates import parse_crl
from signing.errors import SigningError
from signing.issuing import Identity, issue, make_authority, make_crl
from signing.pdf.checking import PdfReport, check_pdf
from signing.pdf.sealing import Stamp, sign_pdf
from signing.provider import KeyKind, SoftwareProvider
from signing.seals.checking import Circumstances
from signing.timestamps import OID_SHA256, USAGE_TIME_STAMPING, stamp_digest
from signing.trust import Trust

PROVIDER = SoftwareProvider()
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TERM = {"not_before": START, "not_after": END}
ROOT = make_authority(PROVIDER, PROVIDER.generate("EC"), {"C": "CN", "CN": "root"}, **TERM)
MIDDLE = make_authority(PROVIDER, PROVIDER.generate("EC"), {"C": "CN", "CN": "middle"}, **TERM, parent=ROOT)
GIVEN = Circumstances(Trust((ROOT.certificate,)), PROVIDER, NOW)
STEPS = [
    "signature.format",
    "signature.coverage",
    "signature.digest",
    "signature.value",
    "signature.changes_after",
    "signature.time",
    "signature.timestamp",
    "signature.certificate",
]


def identity(
    name: str, kind: KeyKind = "EC", until: datetime = END, extra: list[bytes] | None = None
) -> Identity:
    key = PROVIDER.generate(kind)
    return Identity(
        issue(
            PROVIDER,
            MIDDLE,
            key.public,
            {"C": "CN", "CN": name},
            not_before=START,
            not_after=until,
            extra=extra or [],
        ),
        key,
    )


def page() -> bytes:
    """The smallest honest PDF: one A4 page with a rectangle."""
    drawing = b"1 0 0 RG 50 50 100 100 re S"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<<>>>>",
        b"<</Length %d>>\nstream\n%b\nendstream" % (len(drawing), drawing),
    ]
    out, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + (
        b"xref\n0 5\n0000000000 65535 f \n%btrailer\n<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n"
        % (table, len(out))
    )


def picture() -> bytes:
    image = Image.new("RGBA", (120, 120), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((5, 5, 115, 115), outline=(220, 0, 0, 255), width=6)
    held = io.BytesIO()
    image.save(held, "PNG")
    return held.getvalue()


SIGNER, SERVICE = identity("海口市行政审批局"), identity("tsa", extra=[USAGE_TIME_STAMPING])
STAMP = Stamp(picture(), page=0, left_mm=120, bottom_mm=40, width_mm=42, height_mm=42)


def time_stamp(digest: bytes, at: datetime = NOW) -> bytes:
    return stamp_digest(PROVIDER, SERVICE, OID_SHA256, digest, at=at, serial=1, policy="1.2.3")


def signed(signer: Identity = SIGNER, data: bytes | None = None, **options: object) -> bytes:
    given: dict[str, object] = {"at": NOW, "chain": [MIDDLE.certificate], "time_stamp": time_stamp} | options
    return sign_pdf(data or page(), signer, PROVIDER, **given)  # type: ignore[arg-type]


PLAIN = signed(time_stamp=None)
WHOLE = signed(stamp=STAMP, reason="准予许可")


def failures(report: PdfReport) -> list[str]:
    (one,) = report.signatures
    return [step.name for step in one.now.steps if step.outcome not in ("passed", "absent")]


@pytest.mark.parametrize("kind", ["EC", "RSA"])
def test_what_we_sign_is_valid_and_every_step_has_a_name(kind: KeyKind) -> None:
    report = check_pdf(signed(identity("审批局", kind), stamp=STAMP), GIVEN)
    assert report.valid_now
    assert report.valid_at_signing
    (one,) = report.signatures
    assert [step.name for step in one.now.steps] == STEPS
    assert one.signed_at == NOW
    assert "审批局" in one.signer


def test_the_document_before_stays_byte_for_byte() -> None:
    assert WHOLE.startswith(page())


def test_without_a_time_stamp_the_time_is_the_signers_own_word() -> None:
    (one,) = check_pdf(PLAIN, GIVEN).signatures
    assert one.now.valid
    assert {s.name: s.outcome for s in one.now.steps}["signature.timestamp"] == "absent"


def test_a_second_signature_leaves_the_first_valid() -> None:
    both = signed(identity("second"), WHOLE, field="Seal2", stamp=replace(STAMP, left_mm=60))
    report = check_pdf(both, GIVEN)
    assert [one.field for one in report.signatures] == ["Seal", "Seal2"]
    assert report.valid_now


def test_after_a_final_signature_nothing_more_is_valid() -> None:
    final = signed(final=True)
    assert check_pdf(final, GIVEN).valid_now
    with pytest.raises(SigningError):
        signed(data=final, field="Seal2")


def test_what_is_appended_later_is_told() -> None:
    changed = PLAIN + _appended_page_change(PLAIN)
    assert failures(check_pdf(changed, GIVEN)) == ["signature.changes_after"]


def _appended_page_change(data: bytes) -> bytes:
    """An incremental update that shows another page: signed bytes stay as they are."""
    start = int(data.rsplit(b"startxref\n", 1)[1].split()[0])
    drawing = b"0 0 1 RG 10 10 500 500 re S"
    body = b"4 0 obj\n<</Length %d>>\nstream\n%b\nendstream\nendobj\n" % (len(drawing), drawing)
    size = data.rsplit(b"/Size ", 1)[1].split()[0].rstrip(b">/")
    return (
        body
        + b"xref\n4 1\n%010d 00000 n \ntrailer\n<</Size %b/Root 1 0 R/Prev %d>>\nstartxref\n%d\n%%%%EOF\n"
        % (
            len(data),
            size,
            start,
            len(data) + len(body),
        )
    )


def test_expired_now_and_valid_when_made_are_kept_apart() -> None:
    later = replace(GIVEN, now=END + timedelta(days=1))
    report = check_pdf(WHOLE, later)
    assert report.valid_at_signing
    assert not report.valid_now
    assert failures(report) == ["signature.certificate"]


def test_a_certificate_that_was_expired_or_revoked_when_signing_is_told() -> None:
    short = identity("short", until=NOW - timedelta(days=1))
    assert not check_pdf(signed(short), GIVEN).valid_at_signing
    crl = parse_crl(
        make_crl(
            PROVIDER,
            MIDDLE,
            {SIGNER.certificate.serial: NOW - timedelta(days=1)},
            this_update=NOW,
            next_update=END,
        )
    )
    report = check_pdf(WHOLE, replace(GIVEN, trust=Trust((ROOT.certificate,), crls=(crl,))))
    assert failures(report) == ["signature.certificate"]
    assert not report.valid_at_signing


def test_a_stranger_is_not_believed_and_nobody_is_without_anchors() -> None:
    other = make_authority(PROVIDER, PROVIDER.generate("EC"), {"C": "CN", "CN": "other"}, **TERM)
    strange = replace(GIVEN, trust=Trust((other.certificate,)))
    assert "signature.certificate" in failures(check_pdf(PLAIN, strange))
    assert "signature.certificate" in failures(check_pdf(PLAIN, replace(GIVEN, trust=Trust())))


def test_a_time_stamp_before_the_claimed_time_or_over_other_bytes_is_told() -> None:
    early = signed(time_stamp=lambda digest: time_stamp(digest, NOW - timedelta(hours=1)))
    assert failures(check_pdf(early, GIVEN)) == ["signature.timestamp"]
    other = signed(time_stamp=lambda _: time_stamp(bytes(32)))
    assert failures(check_pdf(other, GIVEN)) == ["signature.timestamp"]


def test_no_changed_byte_is_accepted() -> None:
    """Bytes of the signed ranges, of the signature value and of the zeros that pad its room, in turn."""
    places = range(0, len(PLAIN), 61)
    flipped = [PLAIN[:at] + bytes([PLAIN[at] ^ 0x01]) + PLAIN[at + 1 :] for at in places]
    accepted = [at for at, data in zip(places, flipped, strict=True) if check_pdf(data, GIVEN).valid_now]
    print(f"{len(places)} changed bytes, {len(accepted)} accepted")
    assert accepted == []


def test_no_changed_byte_of_the_signature_is_accepted() -> None:
    """Every byte of the SignedData, a bit of each in turn: no signature covers its own container, so what a
    reader looks past (versions, the list of digest algorithms, lengths) is judged by itself."""
    start = PLAIN.index(b"/Contents <") + len(b"/Contents <")
    size = 4 + int(PLAIN[start + 4 : start + 8], 16)  # SEQUENCE with a length of two octets
    accepted = []
    for at in range(size):
        place = start + 2 * at
        changed = b"%02X" % (int(PLAIN[place : place + 2], 16) ^ (1 << at % 8))
        if check_pdf(PLAIN[:place] + changed + PLAIN[place + 2 :], GIVEN).valid_now:
            accepted.append(at)
    print(f"{size} changed bytes, {len(accepted)} accepted")
    assert accepted == []


@settings(max_examples=60, deadline=None)
@generated(st.data())
def test_whatever_is_done_to_a_file_nothing_crashes(data: st.DataObject) -> None:
    """Octets changed, left out and put in where the structure of a PDF lies; a change inside the hex of the
    signature may leave its bytes as they were, every other is refused."""
    at = data.draw(st.integers(0, len(PLAIN) - 1))
    piece = data.draw(
        st.binary(max_size=8) | st.sampled_from([b"obj", b" 0 R", b"<<", b">>", b"[", b"stream", b"9" * 30])
    )
    cut = data.draw(st.integers(0, 20))
    changed = PLAIN[:at] + piece + PLAIN[at + cut :]
    report = check_pdf(changed, GIVEN)
    room = range(PLAIN.index(b"/Contents"), PLAIN.index(b">", PLAIN.index(b"/Contents")))
    if report.valid_now and changed != PLAIN:
        assert at in room
        assert len(changed) == len(PLAIN)


def test_cut_files_and_other_files_are_reported_and_crash_nothing() -> None:
    for data in (b"", b"%PDF-1.7", page(), *(WHOLE[:at] for at in range(0, len(WHOLE), 1999))):
        report = check_pdf(data, GIVEN)
        assert not report.valid_now
    assert check_pdf(b"no pdf", GIVEN).problem is not None


def test_what_cannot_be_signed_is_told_with_one_error() -> None:
    sm2 = identity("SM2", "SM2")
    for attempt in (
        lambda: signed(sm2),
        lambda: signed(Identity(SIGNER.certificate, SERVICE.key)),
        lambda: signed(data=b"no pdf"),
        lambda: signed(data=WHOLE),  # the field is taken
        lambda: signed(stamp=replace(STAMP, picture=b"no picture")),
        lambda: signed(stamp=replace(STAMP, page=7)),
        lambda: signed(stamp=replace(STAMP, width_mm=0)),
        lambda: signed(time_stamp=lambda _: b"no token"),
        lambda: signed(time_stamp=lambda _: 1 / 0),
    ):
        with pytest.raises(SigningError) as refused:
            attempt()
        assert refused.value.zh
        assert refused.value.en
