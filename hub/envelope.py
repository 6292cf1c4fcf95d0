"""The envelope of every record on a hub topic: CloudEvents 1.0 attributes as Kafka headers (binary content
mode).

Only the gateway and the router write these headers; everything else reads them. Bodies are never touched
here.
"""

from collections.abc import Iterable
from typing import Final

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


def from_record(headers: Iterable[tuple[str, bytes]], value: bytes | None) -> Message:
    """The Message of a Kafka record.

    Raises ValueError when an attribute the hub always writes is missing: such a record did not come from a
    gateway.
    """
    fields: dict[str, str] = {}
    attributes: dict[str, str] = {}
    for name, raw in headers:
        field = _FIELDS.get(name)
        if field is not None:
            fields[field] = raw.decode()
        elif name.startswith(LIFTED_PREFIX):
            attributes[name[len(LIFTED_PREFIX) :]] = raw.decode()
    try:
        return Message(
            id=fields.pop("id"),
            source=fields.pop("source"),
            type=fields.pop("type"),
            subject=fields.pop("subject"),
            time_ms=int(fields.pop("time_ms")),
            value=value or b"",
            attributes=attributes,
            **fields,
        )
    except KeyError as missing:
        raise ValueError(
            f"缺少信封属性 / envelope attribute missing: {missing.args[0]} (CloudEvents 1.0)"
        ) from None
