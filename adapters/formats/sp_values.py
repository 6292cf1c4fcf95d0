"""Single values of the SP* dialect: times, numbers, flags, and the reference that identifies a record (R1).
No record and no document is known here.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

from adapters.formats.canonical_json import SHANGHAI
from adapters.formats.xml_safe import first_forbidden
from adapters.ports import FormatError
from signing.digest import sm3_hex

STANDARD: Final = "SP* XML"
DIGEST_CHARS: Final = 32
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(
    r"(\d{4})[-/.]?(\d{1,2})[-/.]?(\d{1,2})"
    r"(?:[ T]?(\d{1,2}):?(\d{2})(?::?(\d{2})(\.\d{1,6})?)?)?(Z|[+-]\d\d:?\d\d)?"
)
_PYTHON_CODECS: Final = {"gb2312": "gbk", "gbk": "gbk", "gb18030": "gb18030", "utf-8": "utf-8"}


def read_time(text: str, field: str) -> str:
    """`2026-03-01 09:00:00`, `20260301090000`, a date alone, or ISO 8601 -> ISO 8601; year 1 is null: ""
    (R7)."""
    found = _TIME.fullmatch(text)
    if found is None:
        _bad_time(text, field)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        _bad_time(text, field)
    if moment.year == 1:
        return ""
    return moment.isoformat() + (fraction or "") + (zone or "")


def write_time(value: int | str) -> str:
    """ms since the epoch, or ISO 8601, -> `2026-03-01 09:00:00` in Shanghai time, without fractions."""
    if isinstance(value, int):
        moment = _EPOCH + timedelta(milliseconds=value)
    else:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            return moment.strftime("%Y-%m-%d %H:%M:%S")
    return moment.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")


def plus_days(time_text: str, days: int) -> str:
    """An ISO time some natural days later."""
    return (datetime.fromisoformat(time_text) + timedelta(days=days)).isoformat()


def read_int(text: str, field: str) -> int:
    """A decimal integer of at most 12 digits."""
    if not re.fullmatch(r"-?[0-9]{1,12}", text):
        refuse(field, "integer", f"{field} 应为整数，收到“{text[:40]}”", f"{field} must be an integer")
    return int(text)


def read_bool(text: str, field: str) -> bool:
    """1/0, 是/否, true/false."""
    if text in ("1", "是", "true", "Y"):
        return True
    if text in ("0", "否", "false", "N"):
        return False
    refuse(field, "0|1", f"{field} 应为 0 或 1，收到“{text[:40]}”", f"{field} must be 0 or 1")


def reference(*parts: str) -> str:
    """Parts joined by "/" such that different parts never give the same text."""
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def record_digest(fields: Iterable[tuple[str, str]]) -> str:
    """SM3 (first 32 hex digits) of a record's fields, whatever their order and the blanks around them."""
    lines = sorted(f"{name}={len(value)}:{value}" for name, value in fields)
    return sm3_hex("\n".join(lines).encode())[:DIGEST_CHARS]


def check_expressible(value: str, field: str, charset: str) -> None:
    """R14: a character the member's charset lacks is never replaced. Raises FormatError naming field and
    character."""
    if found := first_forbidden(value):
        code = f"U+{ord(found):04X}"
        refuse(field, "XML 1.0 §2.2", f"{field} 含 XML 不允许的字符 {code}", f"{field}: {code} is not XML")
    try:
        value.encode(codec_of(charset))
    except UnicodeEncodeError as bad:
        character = value[bad.start]
        code = f"U+{ord(character):04X}"
        refuse(
            field,
            charset,
            f"{field} 含成员字符集 {charset} 没有的字符“{character}”（{code}）",
            f"{field}: character {character!r} ({code}) is not in the member's charset {charset}",
        )


def codec_of(charset: str) -> str:
    """The Python codec of a member's charset label; a gb2312 label means GBK, as such systems do."""
    codec = _PYTHON_CODECS.get(charset.lower())
    if codec is None:
        refuse("charset", "known charset", f"不支持的字符集 {charset}", f"unsupported charset {charset}")
    return codec


def get(body: dict[str, Any], path: str) -> Any:
    """The value at a dotted path, or None."""
    value: Any = body
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def put(body: dict[str, Any], path: str, value: Any) -> None:
    """Sets the value at a dotted path, making the objects on the way."""
    *way, last = path.split(".")
    for name in way:
        body = body.setdefault(name, {})
    body[last] = value


def refuse(field: str, rule: str, zh: str, en: str) -> NoReturn:
    """Raises the FormatError of this dialect."""
    raise FormatError(field, rule, STANDARD, f"{zh}（{STANDARD}）", f"{en} ({STANDARD})")


def _bad_time(text: str, field: str) -> NoReturn:
    refuse(
        field,
        "YYYY-MM-DD hh:mm:ss",
        f"{field} 应为 年-月-日 时:分:秒，收到“{text[:40]}”",
        f"{field} must be YYYY-MM-DD hh:mm:ss",
    )
