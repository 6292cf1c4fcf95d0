"""Times as members write them, to milliseconds since the epoch, UTC (R7). No clock is read and the process's
time zone is never used."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

# China Standard Time. Asia/Shanghai has had this offset since 1991; older summer times are not looked for in
# case records.
CHINA: Final = timezone(timedelta(hours=8))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_IN_CHINA: Final = datetime(1970, 1, 1, 8)  # by the clock there, no zone
_MILLISECOND: Final = timedelta(milliseconds=1)
TIME_MS_MIN: Final = -2_209_017_600_000  # 1900-01-01T00:00:00+08:00
TIME_MS_MAX: Final = 7_258_089_600_000  # 2200-01-01T00:00:00+08:00, not included

# Extended and basic forms of GB/T 7408 / ISO 8601: date, or date and time with up to nine decimals, with or
# without a zone.
_ZONE: Final = r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
TIME_PATTERN: Final = (
    rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,9}})?)?{_ZONE})?$"
    rf"|^[0-9]{{8}}(T?[0-9]{{6}}(\.[0-9]{{1,9}})?{_ZONE})?$"
)
_FORM: Final = re.compile(
    r"(\d{4})-?(\d{2})-?(\d{2})(?:[T ]?(\d{2}):?(\d{2})(?::?(\d{2}))?)?(?:\.(\d{1,9}))?(Z|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_ACCEPTED: Final = re.compile(TIME_PATTERN, re.ASCII)


class TimeError(ValueError):
    """The text is not a time this hub accepts."""


def parse_ms(text: str) -> int | None:
    """Milliseconds since the epoch; None for a time on 0001-01-01, which stands for "no value" in .NET and
    SQL (R7).

    A text without a zone is China Standard Time; a date alone is its 00:00 there. Raises TimeError.
    """
    if len(text) > 40 or _ACCEPTED.match(text) is None:
        raise TimeError(text)
    ms = _usual(text)
    if ms is None:
        ms = _any(text)
    if ms is not None and not TIME_MS_MIN <= ms < TIME_MS_MAX:
        raise TimeError(text)
    return ms


def _usual(text: str) -> int | None:
    """What most systems write, YYYY-MM-DDThh:mm:ss with +08:00 or no zone, read by datetime itself, which is
    faster; None for another form and for year 1."""
    usual = len(text) == 19 or (len(text) == 25 and text.endswith("+08:00"))
    if not usual or text[4] != "-" or text.startswith("0001"):
        return None
    try:
        moment = datetime.fromisoformat(text[:19])
    except ValueError as wrong:
        raise TimeError(text) from wrong
    return (moment - _EPOCH_IN_CHINA) // _MILLISECOND


def _any(text: str) -> int | None:
    if (match := _FORM.fullmatch(text)) is None:
        raise TimeError(text)
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if year == "0001" and month == "01" and day == "01":
        return None
    microsecond = int((fraction + "000000")[:6]) if fraction else 0
    try:
        moment = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            microsecond,
            _zone(zone),
        )
        return (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError) as wrong:
        raise TimeError(text) from wrong


def _zone(text: str | None) -> timezone:
    if text is None:
        return CHINA
    if text == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 14 or minutes > 59:
        raise ValueError(text)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def to_iso(ms: int) -> str:
    """ISO 8601 with +08:00; milliseconds are written only where there are some."""
    moment = (_EPOCH + timedelta(milliseconds=ms)).astimezone(CHINA)
    return moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
