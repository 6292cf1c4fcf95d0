"""Checkers of fields, compiled once from a contract's data: closures that take a value and append what is
wrong.

Rules between the fields of a record live in record_rules.py.
"""

import binascii
import re
from typing import Any, Final

from schemas import times
from schemas.checks import CODE_CHECKS
from schemas.findings import VIOLATIONS_MAX, Checker, Errors, Say, add_step
from schemas.model import Field, Kind, Record
from schemas.record_rules import rules_of

UNKNOWN_NAME_SHOWN_MAX: Final = 64
INT_RANGE: Final = {Kind.INT: (-(2**31), 2**31 - 1), Kind.LONG: (-(2**63), 2**63 - 1)}
# What neither XML 1.0 nor PostgreSQL text can carry: control characters but tab, line feed and carriage
# return, surrogates, non-characters.
FORBIDDEN_CHARACTERS: Final = "\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\\ud800-\\udfff\\ufffe\\uffff"
_FORBIDDEN: Final = re.compile(f"[{FORBIDDEN_CHARACTERS}]")
_TIME_STANDARD: Final = "GB/T 7408; ISO 8601"


def record_checker(record: Record, contract: str) -> Checker:
    """A checker of objects. The result holds every field, None where absent; rules between fields run
    last."""
    plan = tuple(
        (f.name, f.required, _blank_is_absent(f), _plain_max(f), _checker(f, contract), Say(f, contract))
        for f in record.fields
    )
    names = frozenset(field.name for field in record.fields)
    rules = rules_of(record, contract)
    zh, en = f"「{record.doc_zh}」应为对象", f"“{record.doc_en}” must be an object"

    def run(value: Any, errors: Errors) -> Any:
        if not isinstance(value, dict):
            if len(errors) < VIOLATIONS_MAX:
                errors.append(([], "type", contract, zh, en))
            return None
        result: dict[str, Any] = {}
        before = len(errors)
        get = value.get
        for name, required, blank_is_absent, plain_max, checker, say in plan:
            given = get(name)
            if given is None or (blank_is_absent and given == ""):
                result[name] = None
                if required:
                    say(errors, "required", "必填，缺失", "is required and missing", at=name)
                continue
            # Ordinary text, most of a body, is let through here; whatever is not goes to its checker to be
            # named.
            if (
                plain_max
                and type(given) is str
                and 0 < len(given) <= plain_max
                and given.isprintable()
                and not given.isspace()
            ):
                result[name] = given
                continue
            count = len(errors)
            result[name] = checker(given, errors)
            if len(errors) != count:
                add_step(errors, count, name)
        if not value.keys() <= names:
            _unknown(value, names, errors, contract)
        if len(errors) == before:
            for rule in rules:
                rule(result, errors)
        return result

    return run


def _plain_max(field: Field) -> int:
    """The length of a text field that has no other limit; 0 for every other field."""
    other_limits = {"pattern", "check", "enumCodes"} & field.attributes.keys()
    return 0 if field.kind is not Kind.STRING or other_limits else field.attributes.get("maxLength", 0)


def _blank_is_absent(field: Field) -> bool:
    return not field.required and field.kind in (Kind.STRING, Kind.TIME)


def _unknown(value: dict[Any, Any], names: frozenset[str], errors: Errors, contract: str) -> None:
    for name in value:
        if name not in names and len(errors) < VIOLATIONS_MAX:
            shown = str(name)[:UNKNOWN_NAME_SHOWN_MAX]
            en = "is not a field of the contract"
            errors.append(([shown], "unknown field", contract, "合同中没有这个字段", en))


def _checker(field: Field, contract: str) -> Checker:
    say = Say(field, contract)
    match field.kind:
        case Kind.STRING:
            return _code_checker(field, say) if "enumCodes" in field.attributes else _text_checker(field, say)
        case Kind.INT | Kind.LONG:
            return _int_checker(field, say)
        case Kind.BOOLEAN:
            return _boolean_checker(say)
        case Kind.BYTES:
            return _bytes_checker(field, say)
        case Kind.TIME:
            return _time_checker(field, say)
        case Kind.ARRAY:
            return _array_checker(field, say, contract)
        case Kind.RECORD:
            assert field.record is not None
            return record_checker(field.record, contract)


def _text_checker(field: Field, say: Say) -> Checker:
    limits = field.attributes
    length_max = limits.get("maxLength")
    pattern = re.compile(limits["pattern"], re.ASCII).fullmatch if "pattern" in limits else None
    code_check = CODE_CHECKS[limits["check"]] if "check" in limits else None

    def run(value: Any, errors: Errors) -> Any:
        if not isinstance(value, str):
            say(errors, "type", "应为文本", "must be text")
        elif not value.isprintable() and _FORBIDDEN.search(value):
            say(
                errors, "characters", "含有不允许的控制字符", "contains a forbidden character", "XML 1.0 §2.2"
            )
        elif not value or value.isspace():
            say(errors, "required", "不能为空白", "must not be blank")
        elif length_max is not None and len(value) > length_max:
            say(errors, "maxLength", f"超过 {length_max} 个字符", f"is over {length_max} characters")
        elif pattern is not None and pattern(value) is None:
            say(errors, "pattern", f"应为{limits['patternZh']}", f"must be {limits['patternEn']}")
        elif code_check is not None and not code_check[0](value):
            say(errors, limits["check"], code_check[2], code_check[3], code_check[1])
        return value

    return run


def _code_checker(field: Field, say: Say) -> Checker:
    codes: dict[str, str] = field.attributes["enumCodes"]
    listed = ", ".join(codes)

    def run(value: Any, errors: Errors) -> Any:
        if not isinstance(value, str):
            say(errors, "type", "应为文本", "must be text")
        elif value not in codes:
            say(errors, "enum", f"代码应为以下之一：{listed}", f"must be one of {listed}")
        return value

    return run


def _int_checker(field: Field, say: Say) -> Checker:
    low, high = INT_RANGE[field.kind]
    low, high = field.attributes.get("minimum", low), field.attributes.get("maximum", high)

    def run(value: Any, errors: Errors) -> Any:
        if type(value) is float and value.is_integer():  # JSON does not tell 1.0 from 1
            value = int(value)
        if type(value) is not int:
            say(errors, "type", "应为整数", "must be an integer")
        elif not low <= value <= high:
            say(errors, "range", f"应在 {low} 与 {high} 之间", f"must be between {low} and {high}")
        return value

    return run


def _boolean_checker(say: Say) -> Checker:
    def run(value: Any, errors: Errors) -> Any:
        if value is not True and value is not False:
            say(errors, "type", "应为 true 或 false", "must be true or false")
        return value

    return run


def _bytes_checker(field: Field, say: Say) -> Checker:
    bytes_max: int = field.attributes["maxBytes"]
    text_max = (bytes_max + 2) // 3 * 4

    def run(value: Any, errors: Errors) -> Any:
        if isinstance(value, str):
            try:
                # Nothing longer is decoded: its length alone is the violation.
                value = decoded(value) if len(value) <= text_max else value
            except (binascii.Error, ValueError):
                say(errors, "base64", "不是合法的 base64", "is not valid base64", "RFC 4648 §4")
                return value
        elif not isinstance(value, bytes):
            say(errors, "type", "应为 base64 文本", "must be base64 text")
            return value
        if len(value) > bytes_max:
            say(errors, "maxBytes", f"超过 {bytes_max} 字节", f"is over {bytes_max} bytes")
        return value

    return run


def decoded(text: str) -> bytes:
    """RFC 4648 §4 to the letter: one text for one content but for its last bits. Raises ValueError."""
    decoded = binascii.a2b_base64(text, strict_mode=True)
    # Even strict mode lets padding follow a complete text.
    padding = text.endswith("=") + text.endswith("==")
    if len(text) % 4 or len(decoded) != len(text) // 4 * 3 - padding:
        raise ValueError("padding")
    return decoded


def _time_checker(field: Field, say: Say) -> Checker:
    required = field.required

    def wrong(errors: Errors) -> None:
        zh, en = "不是合法的日期时间（1900 至 2199 年）", "is not a valid date and time (years 1900 to 2199)"
        say(errors, "time", zh, en, _TIME_STANDARD)

    def run(value: Any, errors: Errors) -> Any:
        if isinstance(value, str):
            try:
                ms = times.parse_ms(value)
            except times.TimeError:
                wrong(errors)
                return None
            if ms is None and required:
                zh, en = "必填；0001-01-01 视为空值", "is required; 0001-01-01 counts as no value"
                say(errors, "required", zh, en)
            return ms
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            say(errors, "type", "应为日期时间文本", "must be a date and time as text")
        elif not times.TIME_MS_MIN <= value < times.TIME_MS_MAX:
            wrong(errors)
        return value

    return run


def _array_checker(field: Field, say: Say, contract: str) -> Checker:
    assert field.items is not None
    item_checker = _checker(field.items, contract)
    low, high = field.attributes.get("minItems", 0), field.attributes["maxItems"]

    def run(value: Any, errors: Errors) -> Any:
        if not isinstance(value, list):
            say(errors, "type", "应为数组", "must be an array")
            return value
        if len(value) > high:
            say(errors, "maxItems", f"超过 {high} 项", f"has over {high} items")
            return value
        if len(value) < low:
            say(errors, "minItems", f"至少 {low} 项", f"needs at least {low} items")
        result = []
        for index, given in enumerate(value):
            count = len(errors)
            result.append(item_checker(given, errors))
            if len(errors) != count:
                add_step(errors, count, index)
        return result

    return run
