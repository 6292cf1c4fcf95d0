"""Avro encoding of bodies, compiled once from a contract: closures that append to a buffer.

Why not fastavro's writer: it tries every union's branches anew for each value, which costs most of an
encoding. Here a union is always ["null", T]. Nothing is validated beyond what Avro itself demands.
"""

from collections.abc import Callable
from typing import Any, Final

from schemas.model import Field, Kind, Record

Writer = Callable[[bytearray, Any], None]

_LENGTHS_READY: Final = 1_024
_INT_RANGE: Final = {Kind.INT: (-(2**31), 2**31 - 1), Kind.LONG: (-(2**63), 2**63 - 1)}


def zigzag(number: int) -> bytes:
    """Avro's variable-length int and long (Avro 1.11, binary encoding). number: within 64 bits."""
    left = (number << 1) ^ (number >> 63)
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


# Nearly every length is below this: one look instead of a loop.
_READY: Final = tuple(zigzag(number) for number in range(_LENGTHS_READY))


def _length(number: int) -> bytes:
    return _READY[number] if number < _LENGTHS_READY else zigzag(number)


def record_writer(record: Record) -> Writer:
    """A writer of objects; fields the record does not know are passed over, as fastavro does.

    The writer raises ValueError, TypeError, AttributeError or OverflowError for a value not of its type.
    """
    # Text is most of a body: None stands for it and it is written in the loop itself.
    plan = tuple(
        (field.name, field.required, None if field.kind is Kind.STRING else _writer(field))
        for field in record.fields
    )

    def write(out: bytearray, value: Any) -> None:
        get = value.get
        for name, required, inner in plan:
            item = get(name)
            if item is None:
                if required:
                    raise ValueError(f"{name} is missing")
                out.append(0)
                continue
            if not required:
                out.append(2)
            if inner is None:
                raw = item.encode()
                length = len(raw)
                out += _READY[length] if length < _LENGTHS_READY else zigzag(length)
                out += raw
            else:
                inner(out, item)

    return write


def _writer(field: Field) -> Writer:
    match field.kind:
        case Kind.STRING:
            return _write_text
        case Kind.INT:
            return _int_writer(*_INT_RANGE[Kind.INT])
        case Kind.LONG | Kind.TIME:
            return _int_writer(*_INT_RANGE[Kind.LONG])
        case Kind.BOOLEAN:
            return _write_boolean
        case Kind.BYTES:
            return _write_bytes
        case Kind.ARRAY:
            assert field.items is not None
            return _array_writer(_writer(field.items))
        case Kind.RECORD:
            assert field.record is not None
            return record_writer(field.record)


def _write_text(out: bytearray, value: Any) -> None:
    raw = value.encode()
    out += _length(len(raw))
    out += raw


def _int_writer(low: int, high: int) -> Writer:
    def write(out: bytearray, value: Any) -> None:
        if not low <= value <= high:
            raise OverflowError(f"not in {low}..{high}")
        out += zigzag(value)

    return write


def _write_boolean(out: bytearray, value: Any) -> None:
    if value is not True and value is not False:
        raise TypeError("not a boolean")
    out.append(value)


def _write_bytes(out: bytearray, value: Any) -> None:
    if not isinstance(value, bytes):
        raise TypeError("not bytes")
    out += _length(len(value))
    out += value


def _array_writer(item: Writer) -> Writer:
    def write(out: bytearray, value: Any) -> None:
        if not isinstance(value, list):
            raise TypeError("not an array")
        if value:
            out += _length(len(value))
            for one in value:
                item(out, one)
        out.append(0)

    return write
