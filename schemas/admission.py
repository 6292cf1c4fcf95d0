"""One pass over a body: checked, encoded and freed of absent fields at once, by source that is generated once
from the contract.

It only says yes. What it does not take, right or wrong, is decided and named by validate.check: no text for
people and no rule of its own may live here.
"""

import binascii
from collections.abc import Callable
from functools import lru_cache
from itertools import count
from re import ASCII
from re import compile as pattern_of
from typing import Any, Final, NamedTuple

from schemas import times
from schemas.checkers import INT_RANGE, decoded
from schemas.checks import CODE_CHECKS
from schemas.codec import VALUE_BYTES_MAX, header_of
from schemas.model import Contract, Field, Kind, Record
from schemas.writer import zigzag

_LENGTHS_READY: Final = 1_024
_CODES_REMEMBERED_MAX: Final = 4_096
_REQUIRED: Final = tuple(zigzag(number) for number in range(_LENGTHS_READY))
_OPTIONAL: Final = tuple(b"\x02" + one for one in _REQUIRED)
_MARKS: Final = frozenset({"routing", "routingPath", "pseudonym"})
_TEXT: Final = frozenset({"maxLength", "pattern", "patternZh", "patternEn", "enumCodes", "check", "checkBy"})
# Whatever a contract says beyond these is a rule this module does not know: such a contract is never admitted
# here.
_KNOWN: Final = {
    Kind.STRING: _MARKS | _TEXT,
    Kind.INT: _MARKS | {"minimum", "maximum"},
    Kind.LONG: _MARKS | {"minimum", "maximum"},
    Kind.BOOLEAN: _MARKS,
    Kind.BYTES: _MARKS | {"maxBytes"},
    Kind.TIME: _MARKS,
    Kind.ARRAY: _MARKS | {"minItems", "maxItems"},
    Kind.RECORD: _MARKS,
}
_KNOWN_OF_RECORDS: Final = frozenset({"dependentRequired", "requiredIf", "fileReference"})

_Pass = Callable[[Any, bytearray], dict[str, Any] | None]
_passes: Final[dict[str, _Pass | None]] = {}


class Admitted(NamedTuple):
    """value: the record's value, as codec.encode writes it. content: the checked body without absent fields;
    times as int ms UTC, bytes as bytes."""

    value: bytes
    content: dict[str, Any]


class _Unknown(Exception):
    """The contract says something that is not generated here."""


def admit(contract: Contract, body: Any) -> Admitted | None:
    """A body that is in order, or None when validate.check must decide."""
    if contract.fingerprint not in _passes:
        _passes[contract.fingerprint] = _generate(contract.body)
    run = _passes[contract.fingerprint]
    if run is None:
        return None
    out = bytearray(header_of(contract))
    content = run(body, out)
    if content is None or len(out) > VALUE_BYTES_MAX:
        return None
    return Admitted(bytes(out), content)


def source(record: Record) -> str:
    """The generated source, for people who look for a fault in it."""
    return _Generator(record).text()


def _generate(record: Record) -> _Pass | None:
    try:
        generator = _Generator(record)
    except _Unknown:
        return None
    names = dict(generator.bound)
    exec(compile(generator.text(), f"<admission of {record.name}>", "exec"), names)
    run: _Pass = names[generator.entry]
    return run


class _Generator:
    """Source of one function a record: (value, buffer) -> content, None for "not decided here"."""

    def __init__(self, record: Record) -> None:
        self._functions: list[list[str]] = []
        self._of_record: dict[int, str] = {}
        self._number = count()
        self.bound: dict[str, Any] = {
            "zigzag": zigzag, "required": _REQUIRED, "optional": _OPTIONAL,
            "time_of": _time, "bytes_of": _bytes,
        }  # fmt: skip
        self.entry = self._record(record)

    def text(self) -> str:
        return "\n\n".join("\n".join(lines) for lines in self._functions) + "\n"

    def _bind(self, value: Any) -> str:
        name = f"k{next(self._number)}"
        self.bound[name] = value
        return name

    def _record(self, record: Record) -> str:
        known = self._of_record.get(id(record))
        if known is not None:
            return known
        if not record.attributes.keys() <= _KNOWN_OF_RECORDS:
            raise _Unknown(record.name)
        name = self._of_record[id(record)] = f"read_{record.name}"
        lines = [
            f"def {name}(value, out):",
            "    if type(value) is not dict: return None",
            "    get, content = value.get, {}",
        ]
        for field in record.fields:
            lines += [f"    {line}" for line in self._field(field)]
        names = self._bind(frozenset(field.name for field in record.fields))
        lines.append(f"    if len(content) != len(value) and not value.keys() <= {names}: return None")
        lines += [f"    {line}" for line in self._rules(record)]
        lines.append("    return content")
        self._functions.append(lines)
        return name

    def _field(self, field: Field) -> list[str]:
        taken = [*self._value(field, optional=not field.required), f"content[{field.name!r}] = x"]
        read = f"x = get({field.name!r})"
        if field.required:
            return [read, "if x is None: return None", *taken]
        blank = " or x == ''" if field.kind in (Kind.STRING, Kind.TIME) else ""
        return [read, f"if x is None{blank}: out.append(0)", "else:", *(f"    {line}" for line in taken)]

    def _value(self, field: Field, *, optional: bool) -> list[str]:
        """Lines that check x, write it and leave in x what it means."""
        limits = field.attributes
        items = {key for key in limits if key.startswith("item")} if field.kind is Kind.ARRAY else set()
        if not limits.keys() - items <= _KNOWN[field.kind]:
            raise _Unknown(field.name)
        present = ["out.append(2)"] if optional else []
        ready = "optional" if optional else "required"
        match field.kind:
            case Kind.STRING:
                return self._codes(field, optional) if "enumCodes" in limits else self._text(field, ready)
            case Kind.INT | Kind.LONG:
                low, high = INT_RANGE[field.kind]
                low, high = max(low, limits.get("minimum", low)), min(high, limits.get("maximum", high))
                written = f"{ready}[x] if 0 <= x < {_LENGTHS_READY} else {self._far(ready)}zigzag(x)"
                return [
                    f"if type(x) is not int or not {low} <= x <= {high}: return None",
                    f"out += {written}",
                ]
            case Kind.BOOLEAN:
                return ["if x is not True and x is not False: return None", *present, "out.append(x)"]
            case Kind.BYTES:
                return [
                    f"x = bytes_of(x, {limits['maxBytes']})",
                    "if x is None: return None",
                    *self._write("x", ready),
                ]
            case Kind.TIME:
                return ["x = time_of(x)", "if x is None: return None", *present, "out += zigzag(x)"]
            case Kind.ARRAY:
                return self._array(field, present)
            case Kind.RECORD:
                assert field.record is not None
                return [*present, f"x = {self._record(field.record)}(x, out)", "if x is None: return None"]

    def _codes(self, field: Field, optional: bool) -> list[str]:
        if "checkBy" in field.attributes:
            raise _Unknown(field.name)
        ready = _OPTIONAL if optional else _REQUIRED
        codes = self._bind({code: ready[len(raw)] + raw for code, raw in _encoded(field)})
        return [
            f"w = {codes}.get(x) if type(x) is str else None",
            "if w is None: return None",
            "out += w",
        ]

    def _text(self, field: Field, ready: str) -> list[str]:
        limits = field.attributes
        length = f"0 < len(x) <= {limits['maxLength']}" if "maxLength" in limits else "x"
        lines = [f"if type(x) is not str or not {length} or not x.isprintable() or x.isspace(): return None"]
        if "pattern" in limits:
            form = self._bind(pattern_of(limits["pattern"], ASCII).fullmatch)
            lines.append(f"if {form}(x) is None: return None")
        if "check" in limits:
            lines.append(f"if not {self._bind(_predicate(limits['check']))}(x): return None")
        if "checkBy" in limits:  # one spelling, as in record_rules
            lines.append("if x.isascii(): x = x.upper()")
        return [*lines, "r = x.encode()", *self._write("r", ready)]

    def _write(self, name: str, ready: str) -> list[str]:
        return [
            f"n = len({name})",
            f"out += {ready}[n] if n < {_LENGTHS_READY} else {self._far(ready)}zigzag(n)",
            f"out += {name}",
        ]

    def _far(self, ready: str) -> str:
        return "b'\\x02' + " if ready == "optional" else ""

    def _array(self, field: Field, present: list[str]) -> list[str]:
        assert field.items is not None
        if field.items.kind is Kind.ARRAY or "checkBy" in field.items.attributes:
            raise _Unknown(field.name)
        low, high = field.attributes.get("minItems", 0), field.attributes["maxItems"]
        each = [f"    {line}" for line in (*self._value(field.items, optional=False), "items.append(x)")]
        return [
            f"if type(x) is not list or not {low} <= len(x) <= {high}: return None",
            *present,
            "if x: out += zigzag(len(x))",
            "items = []",
            "for x in x:",
            *each,
            "out.append(0)",
            "x = items",
        ]

    def _rules(self, record: Record) -> list[str]:
        """The rules of record_rules.py, over the content."""
        lines = []
        for field in record.fields:
            by = field.attributes.get("checkBy")
            if by is not None:
                checks = self._bind(
                    {type_: CODE_CHECKS[one][0] for type_, one in by.items() if type_ != "field"}
                )
                lines += [
                    f"x, check = content.get({field.name!r}), {checks}.get(content.get({by['field']!r}))",
                    "if x is not None and check is not None and not check(x): return None",
                ]
        for name, others in record.attributes.get("dependentRequired", {}).items():
            there = " and ".join(f"{other!r} in content" for other in others)
            lines.append(f"if {name!r} in content and not ({there}): return None")
        for one in record.attributes.get("requiredIf", ()):
            values = self._bind(frozenset(one["in"]))
            when = f"content.get({one['when']!r}) in {values}"
            lines.append(f"if {one['field']!r} not in content and {when}: return None")
        if "fileReference" in record.attributes:
            reference, digest = (record.attributes["fileReference"][part] for part in ("ref", "digest"))
            lines += [
                f"x, r = content.get({reference!r}), content.get({digest!r})",
                "if x is not None and r is not None and x != 'sm3:' + r: return None",
            ]
        return lines


def _encoded(field: Field) -> list[tuple[str, bytes]]:
    return [(code, code.encode()) for code in field.attributes["enumCodes"]]


def _predicate(name: str) -> Callable[[str], bool]:
    check = CODE_CHECKS[name][0]
    # The same few thousand items come again and again; other codes are as many as there are people.
    return lru_cache(_CODES_REMEMBERED_MAX)(check) if name == "itemCode" else check


def _time(value: Any) -> int | None:
    if type(value) is str:
        try:
            return times.parse_ms(value)
        except times.TimeError:
            return None
    return value if type(value) is int and times.TIME_MS_MIN <= value < times.TIME_MS_MAX else None


def _bytes(value: Any, bytes_max: int) -> bytes | None:
    if type(value) is not str or len(value) > (bytes_max + 2) // 3 * 4:
        return None
    try:
        found = decoded(value)
    except (binascii.Error, ValueError):
        return None
    return found if len(found) <= bytes_max else None
