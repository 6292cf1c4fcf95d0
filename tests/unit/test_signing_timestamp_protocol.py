"""Asking a time-stamp service and reading its answer (RFC 3161): OpenSSL reads our request, we believe only
an answer to it."""

import contextlib
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signing.errors import SigningError
from signing.issuing import Identity, issue, make_authority
from signing.provider import SoftwareProvider
from signing.timestamp_protocol import answer, make_request, read_request, token_of
from signing.timestamps import USAGE_TIME_STAMPING, check_token
from signing.trust import Trust

PROVIDER = SoftwareProvider()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TERM = {"not_before": datetime(2025, 1, 1, tzinfo=UTC), "not_after": datetime(2030, 1, 1, tzinfo=UTC)}
ROOT = make_authority(PROVIDER, PROVIDER.generate(), {"CN": "root"}, **TERM)
KEY = PROVIDER.generate()
SERVICE = Identity(
    issue(PROVIDER, ROOT, KEY.public, {"CN": "time"}, extra=[USAGE_TIME_STAMPING], **TERM), KEY
)
STAMPED = b"a root"
REQUEST = make_request(STAMPED, 77)
RESPONSE = answer(PROVIDER, SERVICE, REQUEST, at=NOW, serial=5, policy="1.2.3")
OPENSSL = shutil.which("openssl")


def test_a_token_comes_back_over_what_was_sent() -> None:
    token = token_of(RESPONSE, 77)
    assert check_token(token, STAMPED, Trust((ROOT.certificate,)), PROVIDER, now=NOW).ok


def test_an_answer_to_another_request_is_not_believed() -> None:
    with pytest.raises(SigningError, match="nonce"):
        token_of(RESPONSE, 78)


def test_a_request_that_cannot_be_read_is_rejected_in_form() -> None:
    for bad in (b"", b"x", REQUEST[:-1], REQUEST + b"\0", bytes(5000)):
        refused = answer(PROVIDER, SERVICE, bad, at=NOW, serial=5, policy="1.2.3")
        with pytest.raises(SigningError, match="did not grant"):
            token_of(refused, 77)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(RESPONSE) - 1))
def test_nonsense_is_one_error(data: bytes, cut: int) -> None:
    for bad in (data, RESPONSE[:cut], RESPONSE[:cut] + data):
        if bad != RESPONSE:
            with contextlib.suppress(SigningError):
                token_of(bad, 77)


@pytest.mark.skipif(OPENSSL is None, reason="no openssl command")
def test_openssl_reads_our_request(tmp_path: Path) -> None:
    (tmp_path / "request.tsq").write_bytes(REQUEST)
    assert OPENSSL
    shown = subprocess.run(
        [OPENSSL, "ts", "-query", "-in", "request.tsq", "-text"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Nonce: 0x4D" in shown
    assert "Certificate required: yes" in shown


def test_what_the_service_reads() -> None:
    assert read_request(REQUEST).nonce == 77
