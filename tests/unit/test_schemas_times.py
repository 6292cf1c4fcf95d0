"""Times as members write them (R7): no zone means Asia/Shanghai, 0001-01-01 means nothing, whatever zone the
process runs in."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import samples, validate
from schemas.contracts import load
from schemas.times import TIME_MS_MAX, TIME_MS_MIN, TimeError, parse_ms, to_iso

NINE_IN_SHANGHAI = int(datetime(2025, 3, 3, 1, 0, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Shanghai"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "text",
    [
        "2025-03-03T09:00:00",
        "2025-03-03 09:00:00",
        "2025-03-03T09:00",
        "20250303T090000",
        "20250303090000",
        "2025-03-03T09:00:00.000+08:00",
        "2025-03-03T09:00:00+0800",
        "2025-03-03T01:00:00Z",
        "2025-03-02T20:00:00-05:00",
        "2025-03-03T09:00:00.0009999",
    ],
)
def test_r07_one_moment_written_in_many_ways(zone: str, text: str) -> None:
    assert parse_ms(text) == NINE_IN_SHANGHAI


def test_r07_a_date_alone_begins_at_midnight_in_shanghai(zone: str) -> None:
    assert parse_ms("2025-03-03") == NINE_IN_SHANGHAI - 9 * 3_600_000
    assert parse_ms("20250303") == NINE_IN_SHANGHAI - 9 * 3_600_000


@pytest.mark.parametrize(
    "text", ["0001-01-01", "0001-01-01T00:00:00", "0001-01-01 00:00:00Z", "00010101000000"]
)
def test_r07_year_one_is_no_value(zone: str, text: str) -> None:
    assert parse_ms(text) is None


def test_r07_year_one_in_an_optional_field_is_absent_and_in_a_required_one_missing(zone: str) -> None:
    contract = load().by_type("case.process_step")
    body = samples.body("case.process_step") | {"endedAt": "0001-01-01T00:00:00"}
    assert validate.check(contract, body)["endedAt"] is None
    with pytest.raises(validate.ContractError) as error:
        validate.check(contract, body | {"startedAt": "0001-01-01T00:00:00"})
    assert [(v.field, v.rule) for v in error.value.violations] == [("startedAt", "required")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2025-02-30",
        "2025-13-01",
        "2025-03-03T24:00:00",
        "2025-03-03T09:00:60",
        "2025-3-3",
        "2025-03-03T09:00:00+15:00",
        "2025-03-03T09:00:00+08:60",
        "2025-03-03T09",
        "2025-03-03T09:00:00 ",
        "2025-03-03T09:00:00\n",
        "1899-12-31T23:59:59",
        "2200-01-01",
        "2025-W10-1",
        "٢٠٢٥-03-03",
        "1" * 10_000,
    ],
)
def test_r07_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TimeError):
        parse_ms(text)


@given(st.integers(TIME_MS_MIN, TIME_MS_MAX - 1))
def test_r07_what_is_written_is_read_back(ms: int) -> None:
    assert parse_ms(to_iso(ms)) == ms


@given(
    st.text(max_size=50)
    | st.from_regex(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}[T ]?[0-9:]{0,8}(Z|\+[0-9:]{4,5})?", fullmatch=True)
)
def test_r07_any_text_is_a_time_or_a_time_error(text: str) -> None:
    try:
        ms = parse_ms(text)
    except TimeError:
        return
    assert ms is None or TIME_MS_MIN <= ms < TIME_MS_MAX


@pytest.mark.parametrize("name", ["UTC", "America/New_York"])
def test_r07_a_process_started_in_another_zone_agrees(name: str) -> None:
    code = "from schemas.times import parse_ms, to_iso; print(parse_ms('2025-03-03T09:00:00'), to_iso(0))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TZ": name},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [str(NINE_IN_SHANGHAI), "1970-01-01T08:00:00+08:00"]
