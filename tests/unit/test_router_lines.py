"""Ledger lines written by stencil are the codec's bytes; headers read by shape are the headers one by one."""

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.envelope import Message, from_record, to_headers
from hub.router.lines import line_body, plain_line
from hub.routing.model import Disposition, Outgoing, Refusal, Verdict
from schemas import codec, contracts

HEX = "0123456789abcdef"
TEXT = st.text(max_size=20)
NAMES = st.sampled_from(["platform", "dept-a", "nation", "x"])
IDS = st.text(HEX, min_size=32, max_size=32)
MESSAGES = st.builds(
    Message,
    id=IDS | TEXT,
    source=NAMES | TEXT,
    type=st.sampled_from(["case.submitted", "case.process_step"]),
    subject=st.text(max_size=40),
    time_ms=st.integers(0, 1 << 42) | st.integers(1_600_000_000_000, 1_900_000_000_000),
    value=st.just(b"v"),
    digest=st.text(HEX, min_size=64, max_size=64) | TEXT,
    causation=st.just("") | TEXT,
    attributes=st.dictionaries(st.sampled_from(["grade", "window"]), TEXT),
)
OUTGOING = st.builds(
    Outgoing,
    NAMES,
    st.sampled_from(["case.submitted", "case.supervision_copy"]),
    st.just(()) | st.just(("f",)),
)
VERDICTS = st.builds(
    Verdict,
    MESSAGES,
    st.just(Disposition.ROUTED) | st.sampled_from(Disposition),
    reason=st.just("") | st.sampled_from(["late", "credit_reviewed"]),
    dispatches=st.lists(OUTGOING, max_size=4).map(tuple),
    originated=st.booleans(),
    refusal=st.none() | st.just(Refusal("c", "f", "r", "k", "中文", "en")),
    zh=st.just("") | TEXT,
    en=st.just("") | TEXT,
)
MARKS = Message("1" * 32, "\x1c" * 32, "case.submitted", "\x1d" * 19, 1_700_000_000_000, b"", digest="2" * 64)


@settings(max_examples=300, deadline=None)
@given(verdict=VERDICTS, version=st.just("") | TEXT, data=st.data())
@example(verdict=Verdict(MARKS, Disposition.ROUTED), version="v", data=None)
def test_a_line_by_stencil_is_the_codecs_line(
    verdict: Verdict, version: str, data: st.DataObject | None
) -> None:
    count = len(verdict.dispatches)
    ids = [data.draw(IDS) for _ in range(count)] if data is not None else []
    line = plain_line(verdict, version, verdict.message.subject.encode(), [one.encode() for one in ids])
    dispatches = [
        {"id": id_, "member": out.member, "kind": out.kind}
        for id_, out in zip(ids, verdict.dispatches, strict=True)
    ]
    whole = codec.encode(contracts.load().by_type("hub.routed"), line_body(verdict, version, dispatches))
    assert line is None or line == whole
    message = verdict.message
    plain = (
        verdict.disposition is Disposition.ROUTED
        and not (verdict.originated or verdict.refusal or verdict.zh or verdict.en or message.causation)
        and re.fullmatch("[0-9a-f]{32}", message.id)
        and re.fullmatch("[0-9a-f]{64}", message.digest)
        and 1 << 34 <= message.time_ms < 1 << 41
        and message.subject.isalnum()
        and message.source.isprintable()
        and version.isprintable()
        and message.attributes.get("grade", "").isprintable()
        and len(message.subject) > 1
    )
    assert not plain or line is not None


ODD = st.text() | st.just("a\x00b") | st.just("")


@settings(max_examples=200, deadline=None)
@given(
    message=st.builds(
        Message,
        id=ODD,
        source=ODD,
        type=ODD,
        subject=ODD,
        time_ms=st.integers(0, 1 << 50),
        value=st.binary(),
        region=ODD,
        item=ODD,
        source_key=ODD,
        digest=ODD,
        correlation=ODD,
        causation=ODD,
        via=ODD,
        attributes=st.dictionaries(st.text(HEX, min_size=1, max_size=4), ODD),
    ),
    foreign=st.lists(st.tuples(st.sampled_from(["traceparent", "hub_kind"]), st.binary() | st.none())),
)
def test_an_envelope_reads_back_whatever_is_in_it_and_beside_it(
    message: Message, foreign: list[tuple[str, bytes | None]]
) -> None:
    headers = [*to_headers(message), *foreign]
    assert from_record(headers, message.value) == message  # type: ignore[arg-type]
    assert from_record(tuple(reversed(headers)), message.value) == message  # type: ignore[arg-type]


def test_an_attribute_given_twice_counts_as_the_last_one_says() -> None:
    headers = to_headers(MARKS)
    assert from_record([*headers, ("ce_source", b"other")], b"").source == "other"
