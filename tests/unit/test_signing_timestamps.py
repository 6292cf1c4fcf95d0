"""Time-stamp tokens (RFC 3161): ours and OpenSSL's are read; a token over other bytes proves nothing."""

from __future__ import annotations

import base64
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given as generated
from hypothesis import settings
from hypothesis import strategies as st

from signing.certificates import parse_crl
from signing.digest import sm3
from signing.issuing import Identity, issue, make_authority, make_crl
from signing.keys import encode_key
from signing.provider import KeyKind, SoftwareProvider
from signing.seals.checking import Circumstances, check_signature
from signing.seals.making import SealPlan, add_timestamp, make_seal, seal_document
from signing.seals.model import Picture
from signing.timestamps import USAGE_TIME_STAMPING, check_token, make_token, parse_token
from signing.trust import Trust

PROVIDER = SoftwareProvider()
OPENSSL = shutil.which("openssl")
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = make_authority(
    PROVIDER, PROVIDER.generate(), {"C": "CN", "CN": "root"}, not_before=START, not_after=END
)
TRUST = Trust((ROOT.certificate,))
STAMPED = b"signature value"
POLICY = "1.2.3.4.1"


def service(kind: KeyKind = "SM2", extra: bytes = USAGE_TIME_STAMPING, until: datetime = END) -> Identity:
    key = PROVIDER.generate(kind)
    name = {"C": "CN", "CN": "time-stamp service"}
    certificate = issue(
        PROVIDER, ROOT, key.public, name, not_before=START, not_after=until, extra=[extra] if extra else []
    )
    return Identity(certificate, key)


SERVICE = service()
TOKEN = make_token(PROVIDER, SERVICE, STAMPED, at=NOW, serial=7, policy=POLICY, nonce=99)


def judge(
    token: bytes, stamped: bytes = STAMPED, trust: Trust = TRUST, now: datetime = NOW
) -> tuple[bool, str]:
    result = check_token(token, stamped, trust, PROVIDER, now=now)
    assert result.zh
    return result.ok, result.en


def test_what_a_token_says() -> None:
    token = parse_token(TOKEN)
    assert (token.made_at, token.serial, token.nonce, token.policy) == (NOW, 7, 99, POLICY)
    assert token.signer == SERVICE.certificate
    assert judge(TOKEN)[0]


def test_a_token_is_over_its_bytes_only() -> None:
    assert judge(TOKEN, b"other") == (False, "the token is over other bytes")


@settings(max_examples=300, deadline=None)
@generated(st.integers(0, 1 << 16), st.integers(0, 255), st.booleans())
def test_no_changed_token_is_believed(at: int, octet: int, cut: bool) -> None:
    at %= len(TOKEN)
    changed = TOKEN[:at] if cut else TOKEN[:at] + bytes([octet]) + TOKEN[at + 1 :]
    if changed != TOKEN and judge(changed)[0]:
        # The versions and the list of digest algorithms are not signed, and nothing rests on them.
        assert parse_token(changed) == parse_token(TOKEN)


def test_a_changed_time_breaks_the_token() -> None:
    changed = TOKEN.replace(b"20260101000000Z", b"20250101000000Z")
    assert changed != TOKEN
    assert judge(changed) == (False, "the token's content was changed")


def test_only_a_time_stamp_service_may_stamp() -> None:
    token = make_token(PROVIDER, service(extra=b""), STAMPED, at=NOW, serial=1, policy=POLICY)
    assert judge(token) == (False, "the signer's certificate is not for time stamping alone")


def test_path_term_and_future_are_checked() -> None:
    assert "no trusted issuer" in judge(TOKEN, trust=Trust())[1]
    assert judge(TOKEN, now=NOW - timedelta(seconds=1)) == (False, "stamped in the future")
    short = service(until=NOW - timedelta(days=1))
    late = make_token(PROVIDER, short, STAMPED, at=NOW, serial=1, policy=POLICY)
    assert "outside" in judge(late)[1]
    in_time = make_token(PROVIDER, short, STAMPED, at=NOW - timedelta(days=2), serial=1, policy=POLICY)
    assert judge(in_time)[0]


def test_another_certificate_with_the_signers_number_is_not_taken_for_it() -> None:
    """The signed attributes name the certificate by its digest."""
    renewed = issue(
        PROVIDER,
        ROOT,
        SERVICE.key.public,
        {"C": "CN", "CN": "renewed"},
        not_before=START,
        not_after=END,
        extra=[USAGE_TIME_STAMPING],
    )
    borrowed = replace(SERVICE.certificate, raw=renewed.raw)
    token = make_token(PROVIDER, Identity(borrowed, SERVICE.key), STAMPED, at=NOW, serial=1, policy=POLICY)
    assert "does not carry its signer" in judge(token)[1]
    named = sm3(SERVICE.certificate.raw)
    assert named in TOKEN
    assert "another certificate" in judge(TOKEN.replace(named, sm3(renewed.raw)))[1]


@generated(st.binary(max_size=300))
def test_no_bytes_are_a_token(data: bytes) -> None:
    assert not judge(data)[0]


@pytest.mark.skipif(OPENSSL is None, reason="no openssl command")
@pytest.mark.parametrize("kind", ["RSA", "EC"])
@pytest.mark.parametrize("digest", ["sha256", "sha512", "sm3"])
def test_tokens_that_openssl_made(kind: KeyKind, digest: str, tmp_path: Path) -> None:
    assert OPENSSL
    made = service(kind)
    (tmp_path / "key.pem").write_bytes(encode_key(made.key, b"a passphrase", rounds=1000))
    text = base64.encodebytes(made.certificate.raw).decode()
    (tmp_path / "cert.pem").write_text(f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")
    (tmp_path / "data").write_bytes(STAMPED)
    (tmp_path / "ts.cnf").write_text(
        "[tsa]\ndefault_tsa=t\n[t]\nserial=serial\nsigner_digest=sha256\ndefault_policy=1.2.3.4.1\n"
        "digests=sha256,sha512,sm3\ness_cert_id_alg=sha256\n"
    )

    def run(*args: str) -> None:
        subprocess.run([str(OPENSSL), "ts", *args], cwd=tmp_path, check=True, capture_output=True, timeout=20)

    run("-query", "-data", "data", f"-{digest}", "-cert", "-out", "query")
    signer = ["-signer", "cert.pem", "-inkey", "key.pem", "-passin", "pass:a passphrase"]
    run("-reply", "-config", "ts.cnf", "-queryfile", "query", *signer, "-token_out", "-out", "token")
    token = (tmp_path / "token").read_bytes()
    now = datetime.now(UTC) + timedelta(seconds=5)
    assert judge(token, now=now)[0], judge(token, now=now)
    assert judge(token, b"other", now=now) == (False, "the token is over other bytes")


def test_a_stamped_seal_signature_is_judged_at_the_time_that_is_proven() -> None:
    def person(name: str) -> Identity:
        key = PROVIDER.generate()
        name_parts = {"C": "CN", "CN": name}
        return Identity(issue(PROVIDER, ROOT, key.public, name_parts, not_before=START, not_after=END), key)

    maker, signer = person("maker"), person("signer")
    plan = SealPlan(
        es_id="1",
        type=1,
        name="章",
        vendor="govhub",
        signers=(signer.certificate,),
        picture=Picture("PNG", b"x", 40, 40),
        created_at=START,
        valid_from=START,
        valid_until=END,
    )
    given = Circumstances(TRUST, PROVIDER, NOW)
    signature = seal_document(make_seal(plan, maker, given), signer, b"original", "/Signature.xml", given)
    value = check_signature(signature, given).signature
    assert value
    stamped_at = NOW + timedelta(hours=1)
    later = replace(given, now=stamped_at + timedelta(days=1))
    token = make_token(PROVIDER, SERVICE, value.signature, at=stamped_at, serial=2, policy=POLICY)
    stamped = add_timestamp(signature, token, b"original", later)
    report = check_signature(stamped, later, original=b"original")
    assert report.now.valid
    assert report.at_signing.valid
    assert report.at_signing.at == stamped_at

    # The signer's key was revoked between the claimed time and the stamp: the claim alone saves nothing.
    crl = make_crl(
        PROVIDER,
        ROOT,
        {signer.certificate.serial: NOW + timedelta(minutes=30)},
        this_update=NOW,
        next_update=NOW + timedelta(days=30),
    )
    revoked = replace(later, trust=replace(TRUST, crls=(parse_crl(crl),)))
    assert check_signature(signature, revoked, original=b"original").at_signing.valid
    report = check_signature(stamped, revoked, original=b"original")
    assert [s.name for s in report.at_signing.failures] == ["signature.certificate"]

    foreign = make_token(PROVIDER, SERVICE, b"another value", at=stamped_at, serial=3, policy=POLICY)
    early = make_token(
        PROVIDER, SERVICE, value.signature, at=NOW - timedelta(hours=1), serial=4, policy=POLICY
    )
    for bad in (foreign, early, b"token"):
        with pytest.raises(ValueError, match=r"signature\.timestamp"):
            add_timestamp(signature, bad, b"original", later)
