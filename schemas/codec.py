"""Bodies to bytes and back: Avro in the Confluent wire format (0x00, 4-byte schema id, Avro). Nothing is
validated beyond the format."""

import io
import struct
from typing import Any, Final

import fastavro

from schemas.contracts import load
from schemas.errors import ContractError, violation
from schemas.model import Contract
from schemas.writer import Writer, record_writer

_STANDARD: Final = "Apache Avro 1.11, Confluent wire format"
# 1 MiB is the topics' limit for a whole record; the difference is room for the headers the hub adds.
VALUE_BYTES_MAX: Final = 1_048_576 - 65_536
_HEADER: Final = struct.Struct(">bI")
_writers: Final[dict[str, Writer]] = {}  # by fingerprint: one contract, one way to write it


def encode(contract: Contract, body: dict[str, Any]) -> bytes:
    """The value of a record. body: as `validate.check` returns it. Raises ContractError for a body that does
    not fit or is too large."""
    writer = _writers.get(contract.fingerprint)
    if writer is None:
        writer = _writers[contract.fingerprint] = record_writer(contract.body)
    buffer = bytearray(header_of(contract))
    try:
        writer(buffer, body)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as wrong:
        raise violation(
            "",
            "encode",
            _STANDARD,
            f"内容不能按合同 {contract.name} 编码",
            f"the body cannot be encoded as {contract.name}: {wrong}",
        ) from wrong
    value = bytes(buffer)
    if len(value) > VALUE_BYTES_MAX:
        raise _too_large()
    return value


def header_of(contract: Contract) -> bytes:
    """What stands before the Avro of every value of this contract."""
    return _HEADER.pack(0, contract.schema_id)


def schema_id(value: bytes) -> int:
    """The schema id of a value, without decoding it. Raises ContractError."""
    if len(value) < _HEADER.size:
        raise _malformed("太短", "too short")
    magic, number = _HEADER.unpack_from(value)
    if magic != 0:
        raise _malformed("首字节不是 0", "the first byte is not 0")
    return int(number)


def decode(value: bytes) -> tuple[Contract, dict[str, Any]]:
    """(contract, body). Times are int milliseconds, form content is bytes, absent fields are None;
    the contract is the writer's version, so a body may lack what a newer version added.

    Raises ContractError for an unknown id, garbage, a truncated value, trailing bytes, or a value over
    VALUE_BYTES_MAX; memory used is bounded by a small multiple of len(value).
    """
    if len(value) > VALUE_BYTES_MAX:
        raise _too_large()
    contract = load().by_id(schema_id(value))
    buffer = io.BytesIO(value)
    buffer.seek(_HEADER.size)
    try:
        body = fastavro.schemaless_reader(buffer, contract.codec_schema, None)
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        EOFError,
        OverflowError,
        MemoryError,
        RecursionError,
    ) as wrong:
        raise _malformed(
            f"不是 {contract.name} 的 Avro 编码", f"not the Avro encoding of {contract.name}"
        ) from wrong
    if buffer.tell() != len(value):
        raise _malformed("末尾有多余字节", "trailing bytes")
    if not isinstance(body, dict):
        raise _malformed("不是记录", "not a record")
    return contract, body


def _malformed(zh: str, en: str) -> ContractError:
    return violation(
        "", "wire format", _STANDARD, f"消息值无法解码：{zh}", f"the value cannot be decoded: {en}"
    )


def _too_large() -> ContractError:
    return violation(
        "",
        "size",
        "topics/catalogue.yaml",
        f"消息超过 {VALUE_BYTES_MAX} 字节",
        f"the message is over {VALUE_BYTES_MAX} bytes",
    )
