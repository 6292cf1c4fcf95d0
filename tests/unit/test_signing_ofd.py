"""Sealed OFD documents: ours are valid, several seals live side by side, and whatever is done to one is found
and located."""

from __future__ import annotations

import base64
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given as generated
from hypothesis import settings
from hypothesis import strategies as st

from signing.certificates import parse_crl
from signing.digest import sm3
from signing.errors import SigningError
from signing.issuing import make_crl
from signing.ofd.checking import OfdVerdict, check_ofd, steps_of
from signing.ofd.package import FILE_BYTES_MAX, read_package, write_package
from signing.ofd.reading import read_ofd
from signing.ofd.sealing import Place, seal_ofd, sign_with
from signing.ofd.writing import write_ofd
from signing.seals.checking import Circumstances
from tests.ofd_samples import (
    DRAWING,
    END,
    GIVEN,
    NOW,
    OLD_SEAL,
    PLAN,
    PROVIDER,
    ROOT,
    SEAL,
    SIGNER,
    STRANGER,
    changed,
    contents,
    packed,
    plain,
    sealed,
    sealed_twice,
)

SIGN = "Doc_0/Signs/Sign_1"
PAGE = "Doc_0/Pages/Page_0/Content.xml"
Files = dict[str, bytes]


def failed(data: bytes, given: Circumstances = GIVEN) -> dict[str, str]:
    """Failed steps and what they say."""
    verdict = check_ofd(data, given)
    assert not verdict.valid
    found = {step.name: step.en for step in steps_of(verdict) if step.outcome == "failed"}
    assert found or not verdict.seals
    return found


def test_what_we_write_is_read_back() -> None:
    ofd = read_ofd(plain())
    (document,) = ofd.documents
    assert (document.title, len(document.pages), document.entries) == ("受理通知书", 1, ())
    assert document.pages[0].box == (0, 0, 210, 297)
    assert "受理通知书 No.1".encode() in ofd.files[f"/{PAGE}"]
    assert write_ofd(DRAWING, NOW.date()) == plain()


def test_a_sealed_document_is_valid_and_every_step_is_named() -> None:
    verdict = check_ofd(sealed(), GIVEN)
    assert verdict.valid
    assert verdict.valid_at_signing
    assert [step.name for step in steps_of(verdict)] == [
        "package.format",
        "package.signed",
        "document.signature",
        "document.kind",
        "document.references",
        "document.coverage",
        "document.stamp",
        "document.seal_file",
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


def test_sealing_keeps_every_byte_of_the_files_that_are_there() -> None:
    before, after = contents(plain()), contents(sealed())
    assert {name for name, content in before.items() if after[name] != content} == {"OFD.xml"}
    twice = contents(sealed_twice())
    lost = {name for name, content in after.items() if twice[name] != content}
    assert lost == {"Doc_0/Signs/Signatures.xml"}


def test_several_seals_stand_side_by_side_and_each_is_judged() -> None:
    verdict = check_ofd(sealed_twice(), GIVEN)
    assert verdict.valid
    versions = [seal.report.signature and seal.report.signature.version for seal in verdict.seals]
    assert versions == [4, 1]
    broken = changed(sealed_twice(), lambda f: f.update({f"{SIGN}/SignedValue.dat": b"0"}))
    judged = check_ofd(broken, GIVEN)
    assert not judged.valid
    assert [seal.report.now.valid for seal in judged.seals] == [False, False]


def edit(name: str, old: bytes, new: bytes) -> Callable[[Files], object]:
    def change(files: Files) -> None:
        assert old in files[name]
        files[name] = files[name].replace(old, new)

    return change


def other_signature(files: Files) -> None:
    """A good seal signature over another document, put in place of this one's."""
    other = replace(DRAWING, title="另一份")
    document = write_ofd(other, NOW.date())
    foreign = seal_ofd(document, SEAL, (Place(1, 90, 90),), sign_with(SEAL, SIGNER, GIVEN), GIVEN)
    files[f"{SIGN}/SignedValue.dat"] = contents(foreign)[f"{SIGN}/SignedValue.dat"]


def digests_too(files: Files) -> None:
    """The page changed and its digest with it: then Signature.xml is another file."""
    old = base64.b64encode(sm3(files[PAGE]))
    files[PAGE] = files[PAGE].replace("受理".encode(), "准予".encode())
    edit(f"{SIGN}/Signature.xml", old, base64.b64encode(sm3(files[PAGE])))(files)


def unprotected(files: Files) -> None:
    """A reference taken out of Signature.xml."""
    text = files[f"{SIGN}/Signature.xml"]
    start = text.index(f'<ofd:Reference FileRef="/{PAGE}"'.encode())
    end = text.index(b"</ofd:Reference>", start) + len(b"</ofd:Reference>")
    files[f"{SIGN}/Signature.xml"] = text[:start] + text[end:]


@pytest.mark.parametrize(
    ("change", "step", "says"),
    [
        (edit(PAGE, "受理".encode(), "准予".encode()), "document.references", PAGE),
        (lambda f: f.pop("Doc_0/Res/image_0.png"), "document.references", "removed /Doc_0/Res/image_0.png"),
        (lambda f: f.update({"Doc_0/Annots.xml": b"<a/>"}), "document.coverage", "/Doc_0/Annots.xml"),
        (lambda f: f.update({f"{SIGN}/more.xml": b"<a/>"}), "document.coverage", f"/{SIGN}/more.xml"),
        (unprotected, "document.coverage", PAGE),
        (unprotected, "signature.digest", "changed"),
        (digests_too, "signature.digest", "changed"),
        (other_signature, "signature.digest", "changed"),
        (lambda f: f.update({f"{SIGN}/Seal.esl": OLD_SEAL}), "document.seal_file", "Seal.esl"),
        (lambda f: f.pop(f"{SIGN}/Seal.esl"), "document.seal_file", "missing"),
        (lambda f: f.pop(f"{SIGN}/SignedValue.dat"), "signature.format", "missing"),
        (lambda f: f.pop(f"{SIGN}/Signature.xml"), "document.signature", "missing"),
        (lambda f: f.pop("Doc_0/Signs/Signatures.xml"), "package.format", "missing"),
        (lambda f: f.pop(PAGE), "package.format", "missing"),
        (edit("Doc_0/Signs/Signatures.xml", b'Type="Seal"', b'Type="Mark"'), "package.format", "kind"),
        (edit(f"{SIGN}/Signature.xml", b"1.2.156.10197.1.401", b"MD5"), "document.references", "no proof"),
        (edit(f"{SIGN}/Signature.xml", b'PageRef="3"', b'PageRef="9"'), "document.stamp", "page 9"),
        (edit(f"{SIGN}/Signature.xml", b'Boundary="', b'Boundary="9'), "document.stamp", "outside"),
        (edit(f"{SIGN}/Signature.xml", b'Boundary="', b'Boundary="nan '), "document.signature", "box"),
        (
            edit(f"{SIGN}/Signature.xml", b"SignedValue.dat", b"../../../../x"),
            "document.signature",
            "location",
        ),
    ],
    ids=range(20),
)
def test_what_was_done_to_a_sealed_document_is_told_by_step_and_file(
    change: Callable[[Files], object], step: str, says: str
) -> None:
    assert says in failed(changed(sealed(), change))[step]


def test_a_list_of_signatures_emptied_leaves_no_valid_document() -> None:
    def emptied(files: Files) -> None:
        text = files["Doc_0/Signs/Signatures.xml"]
        files["Doc_0/Signs/Signatures.xml"] = text[: text.index(b"<ofd:Signature ")] + b"</ofd:Signatures>"

    assert "package.signed" in failed(changed(sealed(), emptied))
    assert "package.signed" in failed(plain())


def test_a_plain_signature_is_not_taken_for_a_seal() -> None:
    verdict = check_ofd(changed(sealed(), edit("Doc_0/Signs/Signatures.xml", b"Seal", b"Sign")), GIVEN)
    assert not verdict.valid


def test_a_swapped_picture_breaks_the_makers_signature_inside_the_value() -> None:
    data = contents(sealed())
    assert b"\x89PNG" in data[f"{SIGN}/SignedValue.dat"]
    swapped = changed(
        sealed(),
        lambda f: f.update(
            {n: f[n].replace(b"\x89PNG", b"\x89PNH") for n in (f"{SIGN}/SignedValue.dat", f"{SIGN}/Seal.esl")}
        ),
    )
    assert "seal.maker_signature" in failed(swapped)


def test_expired_lost_and_revoked_are_told_apart_from_valid_at_signing() -> None:
    later = replace(GIVEN, now=END - timedelta(days=1))
    lost = replace(GIVEN, now=NOW + timedelta(days=2), withdrawn={PLAN.es_id: NOW + timedelta(days=1)})
    revoked = {SIGNER.certificate.serial: NOW + timedelta(days=1)}
    crl = make_crl(PROVIDER, ROOT, revoked, this_update=NOW, next_update=NOW + timedelta(days=30))
    trust = replace(GIVEN.trust, crls=(parse_crl(crl),))
    struck = replace(GIVEN, now=NOW + timedelta(days=5), trust=trust)
    for given, step in [(later, "seal.term"), (lost, "seal.status"), (struck, "signature.certificate")]:
        verdict = check_ofd(sealed(), given)
        assert verdict.valid_at_signing
        assert not verdict.valid
        assert [s.name for s in verdict.seals[0].report.now.failures] == [step]


def test_nobody_seals_with_anothers_seal_and_nothing_broken_is_sealed() -> None:
    with pytest.raises(SigningError, match="signer"):
        seal_ofd(plain(), SEAL, (Place(1, 90, 90),), sign_with(SEAL, STRANGER, GIVEN), GIVEN)
    with pytest.raises(SigningError, match="page"):
        seal_ofd(plain(), SEAL, (Place(2, 90, 90),), sign_with(SEAL, SIGNER, GIVEN), GIVEN)
    broken = changed(sealed(), edit(PAGE, "受理".encode(), "准予".encode()))
    with pytest.raises(SigningError, match=r"document\.references"):
        seal_ofd(broken, SEAL, (Place(1, 90, 90),), sign_with(SEAL, SIGNER, GIVEN), GIVEN)


def test_a_document_whose_list_of_signatures_is_protected_takes_no_further_seal() -> None:
    files = contents(sealed())
    listed = "Doc_0/Signs/Signatures.xml"
    digest = base64.b64encode(sm3(files[listed]))
    line = b'<ofd:Reference FileRef="/%b"><ofd:CheckValue>%b</ofd:CheckValue></ofd:Reference>'
    end = b"</ofd:References>"
    closed = files[f"{SIGN}/Signature.xml"].replace(end, line % (listed.encode(), digest) + end)
    files[f"{SIGN}/Signature.xml"] = closed
    files[f"{SIGN}/SignedValue.dat"] = sign_with(SEAL, SIGNER, GIVEN)(closed, f"/{SIGN}/Signature.xml")
    assert check_ofd(packed(files), GIVEN).valid
    with pytest.raises(SigningError, match="no further seal"):
        seal_ofd(packed(files), SEAL, (Place(1, 90, 90),), sign_with(SEAL, SIGNER, GIVEN), GIVEN)


# --- the container


def raw_zip(*entries: tuple[str, bytes], announced: int | None = None) -> bytes:
    """A stored archive put together by hand, so that it can lie."""
    body, listing = b"", b""
    for name, content in entries:
        crc, size = zlib.crc32(content), len(content) if announced is None else announced
        offset = len(body)
        common = struct.pack("<5H3L2H", 20, 0, 0, 0, 33, crc, size, size, len(name.encode()), 0)
        body += b"PK\x03\x04" + common + name.encode() + content
        listing += b"PK\x01\x02" + struct.pack("<H", 20) + common
        listing += struct.pack("<3H2L", 0, 0, 0, 0, offset) + name.encode()
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(listing), len(body), 0)
    return body + listing + end


def renamed_in_its_header() -> bytes:
    """The directory says OFD.xml, the entry itself another name: two readers, two documents."""
    data = sealed()
    assert data.startswith(b"PK\x03\x04")
    return data.replace(b"OFD.xml", b"OFX.xml", 1)


BOMB = packed({"OFD.xml": bytes(FILE_BYTES_MAX + 1)})
NESTED = b"<a>" * 100_000 + b"</a>" * 100_000
ENTITIES = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><ofd:OFD xmlns:ofd="http://www.ofdspec.org/2016">&a;</ofd:OFD>'
OUTSIDE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
EVIL = {
    "nothing": b"",
    "no archive": b"%PDF-1.7",
    "cut archive": sealed()[:-1],
    "bytes after the archive": sealed() + b"x",
    "bytes before the archive": b"x" + sealed(),
    "path that climbs": raw_zip(("../OFD.xml", b"<x/>")),
    "absolute path": raw_zip(("/OFD.xml", b"<x/>")),
    "backslash": raw_zip(("Doc_0\\OFD.xml", b"<x/>")),
    "drive": raw_zip(("C:OFD.xml", b"<x/>")),
    "empty name": raw_zip(("", b"<x/>")),
    "long name": raw_zip(("a" * 300, b"<x/>")),
    "NUL in a name": raw_zip(("OFD.xml\0", b"<x/>")),
    "one name twice": raw_zip(("OFD.xml", b"<x/>"), ("OFD.xml", b"<y/>")),
    "one name in two cases": raw_zip(("OFD.xml", b"<x/>"), ("ofd.XML", b"<y/>")),
    "length that lies": raw_zip(("OFD.xml", b"<x/>"), announced=2**32 - 2),
    "more files than allowed": raw_zip(*((f"f{n}", b"") for n in range(4_097))),
    "another name in the entry than in the directory": renamed_in_its_header(),
    "zip bomb": BOMB,
    "zip bomb with a small announced size": BOMB.replace(
        struct.pack("<L", FILE_BYTES_MAX + 1), struct.pack("<L", 100)
    ),
    "deep nesting": packed({"OFD.xml": NESTED}),
    "entities": packed({"OFD.xml": ENTITIES}),
    "external entity": packed({"OFD.xml": OUTSIDE}),
    "UTF-16 around a DTD": packed({"OFD.xml": OUTSIDE.decode().encode("utf-16")}),
    "not XML": packed({"OFD.xml": b"\xff\xfe\x00"}),
    "another root": packed({"OFD.xml": b"<x/>"}),
    "no document": packed({"OFD.xml": b'<ofd:OFD xmlns:ofd="http://www.ofdspec.org/2016"/>'}),
    "DocRoot that is a URL": changed(
        sealed(), edit("OFD.xml", b"Doc_0/Document.xml", b"http://127.0.0.1/Document.xml")
    ),
    "DocRoot that climbs": changed(sealed(), edit("OFD.xml", b"Doc_0/Document.xml", b"../../etc/passwd")),
}


@pytest.mark.parametrize("name", list(EVIL))
def test_a_package_that_two_readers_could_read_differently_is_refused(name: str) -> None:
    verdict = check_ofd(EVIL[name], GIVEN)
    assert [step.name for step in verdict.steps if step.outcome == "failed"] == ["package.format"]
    assert verdict.seals == ()


@pytest.mark.parametrize("place", ["start", "middle", "end"])
def test_an_entry_that_only_a_streaming_reader_sees_is_refused(place: str) -> None:
    """A second OFD.xml before, between or after the entries, which no directory lists."""
    data = sealed()
    hidden = raw_zip(("OFD.xml", b"<other/>"))
    hidden = hidden[: hidden.index(b"PK\x01\x02")]
    (start,) = struct.unpack("<L", data[-6:-2])
    at = {"start": 0, "middle": data.index(b"PK\x03\x04", 4), "end": start}[place]
    listing = bytearray(data[start:-22])
    entry = 0
    while entry < len(listing):
        name, extra, note = struct.unpack_from("<3H", listing, entry + 28)
        (offset,) = struct.unpack_from("<L", listing, entry + 42)
        struct.pack_into("<L", listing, entry + 42, offset + len(hidden) * (offset >= at))
        entry += 46 + name + extra + note
    ending = data[-22:-6] + struct.pack("<L", start + len(hidden)) + data[-2:]
    patched = data[:at] + hidden + data[at:start] + bytes(listing) + ending
    with zipfile.ZipFile(io.BytesIO(patched)) as archive:
        assert archive.testzip() is None  # an ordinary reader sees nothing wrong
        assert archive.read("OFD.xml") == contents(data)["OFD.xml"]
    assert "package.format" in failed(patched)


def test_packages_of_other_writers_with_data_descriptors_are_read() -> None:
    class Pipe(io.RawIOBase):
        """Cannot seek, so that lengths come after the content."""

        def __init__(self) -> None:
            self.parts: list[bytes] = []

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.parts.append(bytes(data))
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, content in contents(sealed()).items():
            archive.writestr(name, content)
    assert check_ofd(b"".join(pipe.parts), GIVEN).valid


def test_files_go_in_and_come_out() -> None:
    files = {"/OFD.xml": b"<x/>", "/Doc_0/文件.xml": b"\x00" * 1000}
    assert read_package(write_package(files)) == files
    for name in ("OFD.xml", "/../x", "/a//b"):
        with pytest.raises(SigningError):
            write_package({name: b""})


# --- every region, every byte


def accepted(verdict: OfdVerdict) -> bool:
    return verdict.valid or verdict.valid_at_signing


def test_no_flipped_byte_changes_what_a_valid_document_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes of the archive flipped in turn, every seventh. What stays valid has the very same files: such a
    byte (a packer's version, an attribute) is not part of the document."""
    data, files = sealed(), contents(sealed())
    tried = refused = same = 0
    for at in range(3, len(data), 7):
        broken = data[:at] + bytes([data[at] ^ 0x01]) + data[at + 1 :]
        tried += 1
        if accepted(check_ofd(broken, GIVEN)):
            assert {name[1:]: content for name, content in read_package(broken).items()} == files, at
            same += 1
        else:
            refused += 1
    with capsys.disabled():
        print(f"\nOFD bytes flipped {tried}: refused {refused}, same document {same}, accepted changed 0")
    assert refused > 0.9 * tried


@pytest.mark.parametrize("name", [n for n in contents(sealed()) if not n.endswith("Signatures.xml")])
def test_no_byte_of_any_file_can_change(name: str) -> None:
    content = contents(sealed())[name]
    step = max(1, len(content) // 20)
    for at in range(0, len(content), step):
        broken = content[:at] + bytes([content[at] ^ 0x01]) + content[at + 1 :]
        assert not accepted(check_ofd(changed(sealed(), lambda f, b=broken: f.update({name: b})), GIVEN)), at  # type: ignore[misc]


@settings(max_examples=60, deadline=None)
@generated(st.integers(0, 1 << 20), st.binary(max_size=8), st.integers(0, 40))
def test_fuzz_no_cut_or_spliced_archive_is_another_valid_document(at: int, put: bytes, drop: int) -> None:
    data = sealed()
    at %= len(data)
    broken = data[:at] + put + data[at + drop :]
    if accepted(check_ofd(broken, GIVEN)):
        assert {n[1:]: c for n, c in read_package(broken).items()} == contents(data)


@settings(max_examples=60, deadline=None)
@generated(st.sampled_from(sorted(contents(sealed()))), st.integers(0, 1 << 16), st.binary(max_size=12))
def test_fuzz_no_file_with_other_bytes_is_accepted(name: str, at: int, put: bytes) -> None:
    def change(files: Files) -> None:
        content = files[name]
        files[name] = content[: at % len(content)] + put + content[at % len(content) + len(put) :]

    broken = changed(sealed(), change)
    if accepted(check_ofd(broken, GIVEN)):
        # Only the list of signatures is open to change; it still names the same seal.
        assert name.endswith("Signatures.xml") or contents(broken) == contents(sealed())


@settings(max_examples=100, deadline=None)
@generated(st.binary(max_size=300), st.booleans())
def test_fuzz_no_bytes_are_a_document(data: bytes, inside: bool) -> None:
    assert not accepted(check_ofd(packed({"OFD.xml": data}) if inside else data, GIVEN))
