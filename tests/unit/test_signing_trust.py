"""Certificates: read leniently, believed strictly."""

from __future__ import annotations

import base64
import contextlib
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signing import der
from signing.certificates import CRL_ENTRIES_MAX, Certificate, parse_certificate, parse_crl, parse_pem
from signing.errors import SigningError
from signing.issuing import USAGE_AUTHORITY, Identity, issue, make_authority, make_crl, make_extension
from signing.provider import KeyKind, SoftwareProvider
from signing.trust import PathResult, Trust, check_path, expiry_warning_days

PROVIDER = SoftwareProvider()
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OPENSSL = shutil.which("openssl")


def authority(
    kind: KeyKind = "SM2", parent: Identity | None = None, path_length: int | None = None
) -> Identity:
    name = {"C": "CN", "O": "海南省", "CN": f"根 {kind}" if parent is None else "中级"}
    return make_authority(
        PROVIDER,
        PROVIDER.generate(kind),
        name,
        not_before=START,
        not_after=END,
        parent=parent,
        path_length=path_length,
    )


ROOT = authority()
TRUST = Trust((ROOT.certificate,))
KEY = PROVIDER.generate()
NAME = {"C": "CN", "O": "海口市", "CN": "海口市市场监督管理局"}


def leaf(issuer: Identity = ROOT, **changes: object) -> Certificate:
    args: dict[str, object] = {"not_before": START, "not_after": END} | changes
    return issue(PROVIDER, issuer, KEY.public, NAME, **args)  # type: ignore[arg-type]


LEAF = leaf()


def judge(
    certificate: Certificate, trust: Trust = TRUST, at: datetime = NOW, now: datetime = NOW
) -> PathResult:
    return check_path(certificate, trust, PROVIDER, at=at, now=now)


def test_what_a_certificate_says() -> None:
    assert LEAF.subject_text == "C=CN, O=海口市, CN=海口市市场监督管理局"
    assert LEAF.issuer_text == ROOT.certificate.subject_text
    assert (LEAF.not_before, LEAF.not_after) == (START, END)
    assert LEAF.key_usage == frozenset({"digitalSignature", "nonRepudiation"})
    assert (LEAF.is_ca, ROOT.certificate.is_ca) == (False, True)
    assert LEAF.public_key == KEY.public


@pytest.mark.parametrize("kind", ["SM2", "RSA", "EC"])
def test_a_path_to_an_anchor_is_believed(kind: KeyKind) -> None:
    root = authority(kind)
    middle = authority("SM2", root)
    certificate = leaf(middle)
    assert judge(certificate, Trust((root.certificate,), (middle.certificate,))).ok
    assert judge(certificate, Trust((root.certificate,))).ok is False
    assert judge(certificate, Trust((), (root.certificate, middle.certificate))).ok is False
    assert judge(certificate, Trust((certificate,))).ok


@pytest.mark.skipif(OPENSSL is None, reason="no openssl command")
def test_openssl_believes_what_we_issue(tmp_path: Path) -> None:
    """Directly under the root: its command line gives the SM2 signer id to the last certificate only."""
    assert OPENSSL
    for name, certificate in [("root", ROOT.certificate), ("leaf", LEAF)]:
        text = base64.encodebytes(certificate.raw).decode()
        pem = f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"
        (tmp_path / name).write_text(pem)
        assert parse_pem(pem.encode()) == [certificate]
    signer_id = ["-vfyopt", "distid:1234567812345678"]
    command = [OPENSSL, "verify", *signer_id, "-x509_strict", "-CAfile", "root", "leaf"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout == "leaf: OK\n", done.stderr


def test_names_alone_make_no_issuer() -> None:
    impostor = authority()
    assert impostor.certificate.subject == ROOT.certificate.subject
    result = judge(leaf(impostor))
    assert (result.ok, result.en.split(":")[0]) == (False, "no trusted issuer found")


def test_terms_are_checked_along_the_path() -> None:
    for at in (START - timedelta(seconds=1), END + timedelta(seconds=1)):
        assert "outside" in judge(LEAF, at=at).en
    short = leaf(not_after=NOW - timedelta(days=1))
    assert not judge(short).ok
    assert judge(short, at=NOW - timedelta(days=2)).ok


def test_only_authorities_may_issue() -> None:
    pretender = Identity(LEAF, KEY)
    assert "may not issue" in judge(leaf(pretender), Trust((ROOT.certificate,), (LEAF,))).en
    no_constraints = leaf(usage=USAGE_AUTHORITY)
    assert (
        "may not issue"
        in judge(leaf(Identity(no_constraints, KEY)), Trust((ROOT.certificate,), (no_constraints,))).en
    )
    signs_only = leaf(extra=[make_extension("2.5.29.19", True, der.make_sequence(der.make_boolean(True)))])
    assert (
        "may not issue"
        in judge(leaf(Identity(signs_only, KEY)), Trust((ROOT.certificate,), (signs_only,))).en
    )


def test_path_length_is_kept() -> None:
    root = authority(path_length=0)
    middle = authority("SM2", root)
    assert judge(leaf(root), Trust((root.certificate,))).ok
    assert "may not issue" in judge(leaf(middle), Trust((root.certificate,), (middle.certificate,))).en


def test_key_usage_and_unknown_critical_extensions_forbid_belief() -> None:
    assert "key usage" in judge(leaf(usage=b"\x03\x02\x05\x20")).en
    strange = leaf(extra=[make_extension("1.2.3.4", True, b"\x05\x00")])
    assert "critical extension 1.2.3.4" in judge(strange).en
    assert judge(leaf(extra=[make_extension("1.2.3.4", False, b"\x05\x00")])).ok


def test_an_explicit_false_is_read_as_real_issuers_write_it() -> None:
    explicit = der.make_sequence(der.make_oid("1.2.3"), der.make_boolean(False), der.make_octets(b"\x05\x00"))
    constraints = make_extension("2.5.29.19", False, der.make_sequence(der.make_boolean(False)))
    certificate = leaf(extra=[explicit, constraints])
    assert certificate.is_ca is False
    assert judge(certificate).ok


def crl(revoked: dict[int, datetime], issuer: Identity = ROOT, days: int = 7) -> bytes:
    return make_crl(
        PROVIDER, issuer, revoked, this_update=NOW - timedelta(days=1), next_update=NOW + timedelta(days=days)
    )


def test_a_revocation_counts_from_its_day_on() -> None:
    day = NOW - timedelta(days=10)
    trust = replace(TRUST, crls=(parse_crl(crl({LEAF.serial: day, 7: day})),))
    assert "revoked" in judge(LEAF, trust).en
    assert "revoked" in judge(LEAF, trust, at=day).en
    assert judge(LEAF, trust, at=day - timedelta(seconds=1)).ok
    assert judge(leaf(), trust) == PathResult(True, revocation_known=True)


def test_without_a_fresh_list_revocation_is_unknown() -> None:
    required = replace(TRUST, revocation_required=True)
    assert judge(LEAF).revocation_known is False
    assert "revocation list" in judge(LEAF, required).en
    stale = parse_crl(crl({}, days=-1))
    assert "revocation list" in judge(LEAF, replace(required, crls=(stale,))).en
    forged = parse_crl(crl({LEAF.serial: START}, authority()))
    assert judge(LEAF, replace(TRUST, crls=(forged,))).ok
    assert judge(LEAF, replace(required, crls=(parse_crl(crl({})),))).revocation_known


def test_a_changed_list_is_not_believed() -> None:
    data = bytearray(crl({LEAF.serial: NOW - timedelta(days=10)}))
    at = bytes(data).index(der.make_integer(LEAF.serial))
    data[at + 5] ^= 1
    assert judge(LEAF, replace(TRUST, crls=(parse_crl(bytes(data)),))).revocation_known is False


def test_expiry_warnings_come_30_7_and_1_days_ahead() -> None:
    days = {31: None, 30: 30, 8: 30, 7: 7, 2: 7, 1: 1, 0: 1, -1: 0}
    assert {left: expiry_warning_days(LEAF, END - timedelta(days=left)) for left in days} == days


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_no_changed_certificate_is_believed(at: int, octet: int, cut: bool) -> None:
    data = bytearray(LEAF.raw)
    at %= len(data)
    if cut:
        del data[at:]
    else:
        data[at] = octet
    if bytes(data) == LEAF.raw:
        return
    with contextlib.suppress(SigningError):
        assert not judge(parse_certificate(bytes(data))).ok


@given(st.binary(max_size=300))
def test_no_bytes_are_a_certificate_or_a_list(data: bytes) -> None:
    for reader in (parse_certificate, parse_crl, parse_pem):
        with pytest.raises(SigningError):
            reader(data)


def test_sizes_are_bounded() -> None:
    with pytest.raises(SigningError, match="longer than"):
        parse_certificate(bytes(70_000))
    assert CRL_ENTRIES_MAX * 20 < 8 * 1024 * 1024


def test_an_extension_that_occurs_twice_is_refused() -> None:
    """Two readers could each believe another one."""
    twice = [make_extension("1.2.3.4", False, b"\x05\x00"), make_extension("1.2.3.4", False, b"\x01\x01\xff")]
    with pytest.raises(SigningError, match="occurs twice"):
        leaf(extra=twice)


def test_extensions_with_a_second_list_are_refused_with_the_one_error_type() -> None:
    """Found by chance of the fuzz test once; kept as a case of its own."""
    from signing import certificates, der
    from signing.errors import SigningError

    two = der.parse(der.tlv(0xA3, der.make_sequence() + der.make_sequence()), "extensions")
    with pytest.raises(SigningError, match="expected 1"):
        certificates._extensions(two)
