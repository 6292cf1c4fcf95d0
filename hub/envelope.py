"""The envelope of every record on a hub topic: CloudEvents 1.0 attributes as Kafka headers (binary content
mode).

Only the gateway and the router write these headers; everything else reads them. Bodies are never touched
here.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

Headers = tuple[tuple[str, bytes], ...]

# CloudEvents attribute -> field of Message. Attributes that a contract lifts from the body travel as
# `ce_x<name>`.
_FIELDS: Final = {
    "ce_id": "id",
    "ce_source": "source",
    "ce_type": "type",
    "ce_subject": "subject",
    "ce_time": "time_ms",
    "ce_region": "region",
    "ce_item": "item",
    "ce_sourcekey": "source_key",
    "ce_digest": "digest",
    "ce_correlation": "correlation",
    "ce_causation": "causation",
    "ce_via": "via",
}
LIFTED_PREFIX: Final = "ce_x"


class Message(msgspec.Struct, frozen=True, array_like=True):
    """One message as the hub sees it. `value` is the Avro body in the Confluent wire format, never decoded
    here.

    time_ms: business time (occurredAt) in ms since the epoch, UTC. source: member id. subject: the
    aggregate's own number (R6).
    attributes: routing fields lifted from the body by the contract (`window`, `sn`, `grade`, `party` ...),
    without prefix.
    """

    id: str
    source: str
    type: str
    subject: str
    time_ms: int
    value: bytes
    region: str = ""
    item: str = ""
    source_key: str = ""
    digest: str = ""
    correlation: str = ""
    causation: str = ""
    via: str = ""
    attributes: dict[str, str] = {}


def to_headers(message: Message, extra: Iterable[tuple[str, bytes]] = ()) -> list[tuple[str, bytes]]:
    """Kafka headers of a message; empty optional attributes are left out."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", message.id.encode()),
        ("ce_source", message.source.encode()),
        ("ce_type", message.type.encode()),
        ("ce_subject", message.subject.encode()),
        ("ce_time", b"%d" % message.time_ms),
    ]
    for name in ("region", "item", "digest", "correlation", "causation", "via"):
        value = getattr(message, name)
        if value:
            headers.append(("ce_" + name, value.encode()))
    if message.source_key:
        headers.append(("ce_sourcekey", message.source_key.encode()))
    for name, value in message.attributes.items():
        headers.append((LIFTED_PREFIX + name, value.encode()))
    headers.extend(extra)
    return headers


class _Shape(NamedTuple):
    """Where the parts of an envelope stand in one order of headers; an optional part that is missing stands
    behind the last. Nearly all records of a topic have one of a few orders, so this is worked out once."""

    fields: Callable[[Sequence[str]], tuple[str, ...]]
    attributes: tuple[tuple[str, int], ...]


_SHAPES_MAX: Final = 1_000
_SEPARATOR: Final = "\x00"
_REQUIRED: Final = ("id", "source", "type", "subject", "time_ms")
_OPTIONAL: Final = ("region", "item", "source_key", "digest", "correlation", "causation", "via")
_shapes: Final[dict[tuple[str, ...], _Shape]] = {}


def from_record(headers: Iterable[tuple[str, bytes]], value: bytes | None) -> Message:
    """The Message of a Kafka record.

    Raises ValueError when an attribute the hub always writes is missing: such a record did not come from a
    gateway.
    """
    names, raw = zip(*headers, strict=True) if headers else ((), ())
    shape = _shapes.get(names) or _shape_of(names)
    try:
        # One decoding for all of them; a value with a separator inside shows in the count.
        texts = b"\x00".join(raw).decode().split(_SEPARATOR)
    except (UnicodeDecodeError, TypeError):
        texts = []
    if len(texts) != len(names):
        texts = [_text(name, one) for name, one in zip(names, raw, strict=True)]
    texts.append("")
    id_, source, type_, subject, time, region, item, key, digest, correlation, causation, via = shape.fields(
        texts
    )
    attributes = {name: texts[place] for name, place in shape.attributes}
    return Message(
        id_, source, type_, subject, int(time), value or b"", region, item, key, digest, correlation,
        causation, via, attributes,
    )  # fmt: skip


def _text(name: str, raw: bytes | None) -> str:
    """A header by itself. One that is not ours may hold anything."""
    if name not in _FIELDS and not name.startswith(LIFTED_PREFIX):
        return ""
    if raw is None:
        raise ValueError(f"信封属性为空 / envelope attribute without a value: {name} (CloudEvents 1.0)")
    return raw.decode()


def _shape_of(names: tuple[str, ...]) -> _Shape:
    """Raises ValueError. Of headers with the same name the last one counts."""
    places = {_FIELDS[name]: place for place, name in enumerate(names) if name in _FIELDS}
    for name in _REQUIRED:
        if name not in places:
            raise ValueError(f"缺少信封属性 / envelope attribute missing: {name} (CloudEvents 1.0)")
    fields = itemgetter(*(places.get(name, len(names)) for name in (*_REQUIRED, *_OPTIONAL)))
    attributes = {
        name[len(LIFTED_PREFIX) :]: place
        for place, name in enumerate(names)
        if name.startswith(LIFTED_PREFIX) and name not in _FIELDS
    }
    shape = _Shape(fields, tuple(attributes.items()))
    if len(_shapes) >= _SHAPES_MAX:  # headers are untrusted: their orders must not fill the memory
        _shapes.clear()
    _shapes[names] = shape
    return shape
