"""Certificates that run out are told 30, 7, 1 days ahead and when they have, once each, across restarts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hub.expiry import ExpiryWatch, look
from signing.issuing import make_authority
from signing.pem import certificate_pem
from signing.provider import SoftwareProvider

PROVIDER = SoftwareProvider()
START = datetime(2025, 1, 1, tzinfo=UTC)
END = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "certs" / "anchors").mkdir(parents=True)
    for name, end in (("near", END), ("far", END + timedelta(days=900))):
        made = make_authority(PROVIDER, PROVIDER.generate(), {"CN": name}, not_before=START, not_after=end)
        (tmp_path / "certs" / "anchors" / f"{name}.crt").write_bytes(certificate_pem(made.certificate))
        (tmp_path / "certs" / f"{name}.cer").write_bytes(made.certificate.raw)
    return tmp_path


def watch(folder: Path) -> ExpiryWatch:
    return ExpiryWatch((folder / "certs",), folder / "data" / "told.json")


def test_each_warning_is_told_once_whatever_restarts(folder: Path) -> None:
    told = []
    with capture_logs() as logs:
        for day in range(40, -3, -1):
            for _ in range(2):  # a new process each time
                told += [(day, one.due) for one in watch(folder).look(END - timedelta(days=day))]
    assert told == [(30, 30), (7, 7), (1, 1), (-1, 0)]
    events = [one for one in logs if one["event"] == "certificate.expiring"]
    assert [one["days"] for one in events] == [30, 7, 1, 0]
    assert events[0]["subject"] == "CN=near"


def test_the_banner_shows_what_is_due_until_it_is_replaced(folder: Path) -> None:
    watching = watch(folder)
    for _ in range(2):
        watching.look(END - timedelta(days=5))
        assert [one.text(chinese=True) for one in watching.due] == ["证书将于 2026-06-01 到期：CN=near"]
    for name in ("near.cer", "anchors/near.crt"):
        (folder / "certs" / name).unlink()
    watching.look(END - timedelta(days=5))
    assert watching.due == []


def test_an_unreadable_file_is_named_and_does_not_hide_the_others(folder: Path) -> None:
    (folder / "certs" / "broken.pem").write_bytes(b"no certificate")
    with capture_logs() as logs:
        assert [one.due for one in look((folder / "certs",), END)] == [1]
    assert [Path(one["file"]).name for one in logs if one["event"] == "certificate.unreadable"] == [
        "broken.pem"
    ]


def test_a_damaged_memory_means_telling_again_not_silence(folder: Path) -> None:
    now = END - timedelta(days=5)
    assert len(watch(folder).look(now)) == 1
    (folder / "data" / "told.json").write_text("{")
    assert len(watch(folder).look(now)) == 1
    assert watch(folder).look(now) == []
