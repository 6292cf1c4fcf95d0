"""What crosses to the other hub, and what does not: pure, record by record."""

from aiokafka.structs import ConsumerRecord

from hub import envelope
from hub.bridge.copying import Copying
from hub.kafka import Record
from schemas import codec

DISPATCH = "d" * 32


def record(value: bytes = b"\x00\x00\x00\x00\x01body", via: str = "", key: bytes = b"46CASE") -> Record:
    one = envelope.Message(
        id="a" * 32,
        source="platform",
        type="case.submitted",
        subject="46CASE",
        time_ms=7,
        value=value,
        via=via,
    )
    headers = envelope.to_headers(one, [("hub_dispatch", DISPATCH.encode()), ("hub_kind", b"case.submitted")])
    return ConsumerRecord("deliver.hub-south", 0, 5, 9, 0, key, value, None, 0, 0, tuple(headers))


def test_only_the_envelope_crosses_with_one_more_hub_in_its_via() -> None:
    (output,) = Copying("hub-north", "hub-south").take([record(via="hub-west")]).outputs
    topic, (key, value, headers, at) = output
    assert (topic, key, value, at) == ("case.inbound", b"46CASE", b"\x00\x00\x00\x00\x01body", 9)
    assert dict(headers)["ce_via"] == b"hub-west,hub-north"
    assert envelope.from_record(headers, value).id == "a" * 32
    assert not [name for name, _ in headers if not name.startswith("ce_")]


def test_what_cannot_cross_stands_in_our_own_ledger_and_the_next_goes_on() -> None:
    garbage, looping, good = record(value=b"?"), record(via="hub-south"), record()
    batch = Copying("hub-north", "hub-south").take([garbage, looping, good])
    assert len(batch.outputs) == 1
    said = [codec.decode(value)[1] for _, _, value, _ in batch.reports]
    assert [(body["dispatchId"], body["outcome"], body["code"]) for body in said] == [
        (DISPATCH, "parked", "undecodable"),
        (DISPATCH, "refused", "via_loop"),
    ]


def test_a_record_that_no_router_wrote_is_passed() -> None:
    assert not Copying("hub-north", "hub-south").take([record(key=b"other")]).outputs
