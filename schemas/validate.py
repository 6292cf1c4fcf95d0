"""Bodies against their contract: every violation together, and the normalised body. Validators are compiled once from the contract's data.

No transport, no directory: whether a region, item or member exists is asked elsewhere.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas import checks, times
from schemas.errors import ContractError, Violation
from schemas.model import Contract, Field, Kind, Record

__all__ = ["VIOLATIONS_MAX", "ContractError", "Violation", "check", "routing"]

VIOLATIONS_MAX: Final = 50
_INT_RANGE: Final = {Kind.INT: (-(2**31), 2**31 - 1), Kind.LONG: (-(2**63), 2**63 - 1)}
# What neither XML 1.0 nor PostgreSQL text can carry: control characters but tab, line feed, carriage return; surrogates; non-characters.
FORBIDDEN_CHARACTERS: Final = "\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\\ud800-\\udfff\\ufffe\\uffff"
_FORBIDDEN: Final = re.compile(f"[{FORBIDDEN_CHARACTERS}]")
_CHECKS: Final[dict[str, tuple[Callable[[str], bool], str, str, str]]] = {
    "uscc": (checks.uscc_ok, "GB 32100-2015", "统一社会信用代码格式或校验位", "unified social credit code, form or check character"),
    "idNumber": (checks.id_number_ok, "GB 11643-1999", "公民身份号码格式、出生日期或校验位", "identity number, form, date of birth or check character"),
    "itemCode": (checks.item_code_ok, "GB/T 39554.1-2020", "事项编码（31 或 33 位）格式或校验位", "item code (31 or 33 characters), form or check character"),
    "region": (checks.region_form_ok, "GB/T 2260", "行政区划代码（6、9 或 12 位数字）", "region code (6, 9 or 12 digits)"),
}  # fmt: skip

# A path grows from the inside out while a violation travels up, so that the happy path never builds one.
_Found = tuple[list[str | int], str, str, str, str]
_Errors = list[_Found]
_Checker = Callable[[Any, _Errors], Any]
_compiled: dict[str, Callable[[Any], dict[str, Any]]] = {}


def check(contract: Contract, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body ready to encode: every field present (None where absent), times as int ms UTC, form content as bytes.

    Times are ISO 8601 text (no zone = Asia/Shanghai, 0001-01-01 = absent, R7) or int milliseconds; bytes are base64 text or bytes; an empty
    text in an optional field is absent. A checked body checks to itself. Raises ContractError with all violations, at most VIOLATIONS_MAX.
    """
    compiled = _compiled.get(contract.fingerprint)
    if compiled is None:
        compiled = _compiled[contract.fingerprint] = _compile(contract)
    return compiled(body)


def routing(
    contract: Contract, body: Mapping[str, Any], pseudonym: Callable[[str, str], str]
) -> dict[str, str]:
    """The routing fields of a checked body by header name (`region`, `item`, and those for ce_x<name>); absent and empty ones are left out.

    pseudonym(document type, document number) gives what may travel in place of a personal identifier. Booleans are "1" and "0", lists are
    joined by commas.
    """
    lifted = {}
    for field in contract.routing:
        if field.pseudonym is not None:
            type_, number = (_at(body, path) for path in field.pseudonym)
            text = pseudonym(type_, number) if type_ and number else ""
        else:
            text = _header_text(_at(body, field.path))
        if text:
            lifted[field.name] = text
    return lifted


def _at(body: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = body
    for name in path:
        if value is None:
            return None
        value = value.get(name)
    return value


def _header_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    return ",".join(value) if isinstance(value, list) else str(value)


def _compile(contract: Contract) -> Callable[[Any], dict[str, Any]]:
    record = _record_checker(contract.body, f"{contract.name} v{contract.version}")

    def run(body: Any) -> dict[str, Any]:
        errors: _Errors = []
        result: dict[str, Any] = record(body, errors)
        if errors:
            raise ContractError(tuple(_violation(found) for found in errors[:VIOLATIONS_MAX]))
        return result

    return run


def _violation(found: _Found) -> Violation:
    steps, rule, standard, zh, en = found
    path = ""
    for step in reversed(steps):
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return Violation(field=path, rule=rule, standard=standard, zh=zh, en=en)


class _Say:
    """Makes the violations of one field; texts name the field by its bilingual doc, the place is added on the way up."""

    def __init__(self, field: Field, contract: str) -> None:
        self.zh, self.en = f"「{field.doc_zh}」", f"“{field.doc_en}” "
        self.standard = field.standard or contract

    def __call__(
        self, errors: _Errors, rule: str, zh: str, en: str, standard: str = "", at: str | None = None
    ) -> None:
        if len(errors) < VIOLATIONS_MAX:
            errors.append(
                ([] if at is None else [at], rule, standard or self.standard, self.zh + zh, self.en + en)
            )


def _record_checker(record: Record, contract: str) -> _Checker:
    plan = tuple((f.name, f.required, _checker(f, contract), _Say(f, contract)) for f in record.fields)
    names = frozenset(field.name for field in record.fields)
    rules = tuple(_record_rules(record, contract))
    zh, en = record.doc_zh, record.doc_en

    def run(value: Any, errors: _Errors) -> Any:
        if not isinstance(value, dict):
            if len(errors) < VIOLATIONS_MAX:
                errors.append(([], "type", contract, f"「{zh}」应为对象", f"“{en}” must be an object"))
            return None
        result = {}
        before = len(errors)
        for name, required, checker, say in plan:
            given = value.get(name)
            if given is None or (given == "" and not required):
                result[name] = None
                if required:
                    say(errors, "required", "必填，缺失", "is required and missing", at=name)
                continue
            count = len(errors)
            result[name] = checker(given, errors)
            if len(errors) != count:
                _step(errors, count, name)
        if not value.keys() <= names:
            _unknown(value, names, errors, contract)
        if len(errors) == before:
            for rule in rules:
                rule(result, errors)
        return result

    return run


def _step(errors: _Errors, start: int, step: str | int) -> None:
    for found in errors[start:]:
        found[0].append(step)


def _unknown(value: dict[Any, Any], names: frozenset[str], errors: _Errors, contract: str) -> None:
    for name in value:
        if name not in names and len(errors) < VIOLATIONS_MAX:
            shown = str(name)[:64]
            errors.append(
                ([shown], "unknown field", contract, "合同中没有这个字段", "is not a field of the contract")
            )


def _checker(field: Field, contract: str) -> _Checker:
    say = _Say(field, contract)
    match field.kind:
        case Kind.STRING:
            return _string_checker(field, say)
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
            return _record_checker(field.record, contract)


def _string_checker(field: Field, say: _Say) -> _Checker:
    limits = field.attributes
    length_max = limits.get("maxLength")
    codes = limits.get("enumCodes")
    pattern = re.compile(limits["pattern"], re.ASCII).fullmatch if "pattern" in limits else None
    code_check = _CHECKS[limits["check"]] if "check" in limits else None

    def free_text(value: Any, errors: _Errors) -> Any:
        if not isinstance(value, str):
            say(errors, "type", "应为文本", "must be text")
        elif not value.isprintable() and _FORBIDDEN.search(value):
            say(
                errors,
                "characters",
                "含有不允许的控制字符",
                "contains a control character or non-character",
                "XML 1.0 §2.2",
            )
        elif not value or value.isspace():
            say(errors, "required", "不能为空白", "must not be blank")
        elif length_max is not None and len(value) > length_max:
            say(errors, "maxLength", f"超过 {length_max} 个字符", f"is over {length_max} characters")
        elif pattern is not None and pattern(value) is None:
            say(errors, "pattern", f"格式应为{limits['patternZh']}", f"must be {limits['patternEn']}")
        elif code_check is not None and not code_check[0](value):
            say(
                errors,
                limits["check"],
                f"不符合{code_check[2]}",
                f"is not a valid {code_check[3]}",
                code_check[1],
            )
        return value

    def code(value: Any, errors: _Errors) -> Any:
        if not isinstance(value, str):
            say(errors, "type", "应为文本", "must be text")
        elif value not in codes:
            listed = ", ".join(codes)
            say(errors, "enum", f"代码应为以下之一：{listed}", f"must be one of {listed}")
        return value

    return free_text if codes is None else code


def _int_checker(field: Field, say: _Say) -> _Checker:
    low, high = _INT_RANGE[field.kind]
    low, high = field.attributes.get("minimum", low), field.attributes.get("maximum", high)

    def run(value: Any, errors: _Errors) -> Any:
        if type(value) is float and value.is_integer():  # JSON does not tell 1.0 from 1
            value = int(value)
        if type(value) is not int:
            say(errors, "type", "应为整数", "must be an integer")
        elif not low <= value <= high:
            say(errors, "range", f"应在 {low} 与 {high} 之间", f"must be between {low} and {high}")
        return value

    return run


def _boolean_checker(say: _Say) -> _Checker:
    def run(value: Any, errors: _Errors) -> Any:
        if value is not True and value is not False:
            say(errors, "type", "应为 true 或 false", "must be true or false")
        return value

    return run


def _bytes_checker(field: Field, say: _Say) -> _Checker:
    bytes_max: int = field.attributes["maxBytes"]
    text_max = (bytes_max + 2) // 3 * 4

    def run(value: Any, errors: _Errors) -> Any:
        if isinstance(value, str):
            if len(value) <= text_max:
                try:
                    value = base64.b64decode(value, validate=True)
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


def _time_checker(field: Field, say: _Say) -> _Checker:
    required = field.required

    def run(value: Any, errors: _Errors) -> Any:
        if isinstance(value, str):
            try:
                ms = times.parse_ms(value)
            except times.TimeError:
                say(
                    errors,
                    "time",
                    "不是合法的日期时间（1900 至 2199 年）",
                    "is not a valid date and time (years 1900 to 2199)",
                    "GB/T 7408; ISO 8601",
                )
                return None
            if ms is None and required:
                say(
                    errors,
                    "required",
                    "必填；0001-01-01 视为空值",
                    "is required; 0001-01-01 counts as no value",
                )
            return ms
        if type(value) is not int:
            say(errors, "type", "应为日期时间文本", "must be a date and time as text")
        elif not times.TIME_MS_MIN <= value < times.TIME_MS_MAX:
            say(
                errors,
                "time",
                "毫秒数超出 1900 至 2199 年",
                "as milliseconds lies outside the years 1900 to 2199",
                "GB/T 7408; ISO 8601",
            )
        return value

    return run


def _array_checker(field: Field, say: _Say, contract: str) -> _Checker:
    assert field.items is not None
    item_checker = _checker(field.items, contract)
    low, high = field.attributes.get("minItems", 0), field.attributes["maxItems"]

    def run(value: Any, errors: _Errors) -> Any:
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
                _step(errors, count, index)
        return result

    return run


def _record_rules(record: Record, contract: str) -> list[Callable[[dict[str, Any], _Errors], None]]:
    """Rules between fields; they run on a record whose fields are all right by themselves."""
    says = {field.name: _Say(field, contract) for field in record.fields}
    rules: list[Callable[[dict[str, Any], _Errors], None]] = []
    for field in record.fields:
        if "checkBy" in field.attributes:
            rules.append(_number_by_type(field.name, field.attributes["checkBy"], says[field.name]))
    for name, others in record.attributes.get("dependentRequired", {}).items():
        rules.append(_dependent(name, others, says))
    for condition in record.attributes.get("requiredIf", ()):
        rules.append(_required_if(condition, says[condition["field"]]))
    if "fileReference" in record.attributes:
        rules.append(_file_reference(record.attributes["fileReference"], says))
    return rules


def _number_by_type(name: str, by: dict[str, str], say: _Say) -> Callable[[dict[str, Any], _Errors], None]:
    type_field = by["field"]
    by_type = {type_: _CHECKS[check_] for type_, check_ in by.items() if type_ != "field"}

    def run(result: dict[str, Any], errors: _Errors) -> None:
        number = result[name]
        if number is None:
            return
        # One person's number is written with x and X: one spelling, so that digests and pseudonyms agree.
        number = result[name] = number.upper()
        rule = by_type.get(result[type_field])
        if rule is not None and not rule[0](number):
            say(errors, "check digit", f"不符合{rule[2]}", f"is not a valid {rule[3]}", rule[1], at=name)

    return run


def _dependent(
    name: str, others: list[str], says: dict[str, _Say]
) -> Callable[[dict[str, Any], _Errors], None]:
    def run(result: dict[str, Any], errors: _Errors) -> None:
        if result[name] is None:
            return
        for other in others:
            if result[other] is None:
                says[other](
                    errors,
                    "required",
                    f"填写了 {name} 时必填",
                    f"is required where {name} is given",
                    at=other,
                )

    return run


def _required_if(condition: dict[str, Any], say: _Say) -> Callable[[dict[str, Any], _Errors], None]:
    name, when, values = condition["field"], condition["when"], frozenset(condition["in"])

    def run(result: dict[str, Any], errors: _Errors) -> None:
        if result[name] is None and result[when] in values:
            listed = ", ".join(sorted(values))
            say(
                errors,
                "required",
                f"{when} 为 {listed} 时必填",
                f"is required where {when} is {listed}",
                condition["standard"],
                at=name,
            )

    return run


def _file_reference(
    names: dict[str, str], says: dict[str, _Say]
) -> Callable[[dict[str, Any], _Errors], None]:
    ref, digest = names["ref"], names["digest"]

    def run(result: dict[str, Any], errors: _Errors) -> None:
        if result[ref] is not None and result[ref] != f"sm3:{result[digest]}":
            says[ref](
                errors,
                "file reference",
                f"应为 sm3: 加 {digest} 的值",
                f"must be sm3: and the value of {digest}",
                at=ref,
            )

    return run
