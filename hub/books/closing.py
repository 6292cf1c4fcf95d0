"""Closings of the books (R29): each is a signed, stamped statement of one period, opening + movements =
closing per member, that names the closing before it and the checkpoint the next run goes on from.

The counting is in reconcile.py; here a period is closed, and the chain of closings is read and judged.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from hub.books import checkpoint as checkpoints
from hub.books.checkpoint import Checkpoint
from hub.books.model import DispatchTotals, MessageTotals, Report
from hub.config import Settings
from hub.errors import HubError
from hub.evidence.identity import ANCHORS, read_anchors
from hub.evidence.lane import Signer
from hub.evidence.leaves import SignedRoot, canonical, stamped_bytes
from hub.kafka import LaneProducer, Output, Reader, TopicPartition, open_reader
from signing.certificates import parse_certificate
from signing.digest import sm3_hex
from signing.errors import SigningError
from signing.provider import Provider
from signing.timestamps import OID_TIME_STAMPING, check_token
from signing.trust import Trust, check_path

TOPIC: Final = "books.closings"
FORMAT: Final = "govhub-closing-1"
NO_CLOSING: Final = "0" * 64
# One writer at a time: the transactional id fences whoever closed before.
_TRANSACTIONAL_ID: Final = "books.closing"


class BooksTampered(HubError):
    """A closing, or the checkpoint it names, is not what was signed. Nothing goes on from it by itself:
    `govhub reconcile --full` counts again from the topics."""


class BooksUndecided(HubError):
    """Transactions were open for too long; the period cannot be closed now."""


class ClosedMeanwhile(HubError):
    """Somebody else closed the books while this count was made; nothing of it was written."""


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """One member's period, in dispatches: opening + listed - finished = closing. opening, closing: parked, in
    doubt, in flight or lost. finished: delivered, refused or cancelled; less than 0 when a finished one was
    opened again."""

    opening: int
    listed: int
    finished: int
    closing: int

    @property
    def adds_up(self) -> bool:
        return self.opening + self.listed - self.finished == self.closing


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """The signed content. number: 0, 1, 2 …; previous: SM3 of the statement before it; checkpoint: SM3 of the
    checkpoint the next run goes on from; offsets: up to where the topics were read; digest: of all closed
    ids. Totals are since the beginning."""

    format: str
    number: int
    at_ms: int
    previous: str
    checkpoint: str
    balanced: bool
    problems: int
    digest: str
    messages: MessageTotals
    dispatches: dict[str, DispatchTotals]
    movements: dict[str, Movement]
    offsets: dict[str, int]


class Finding(msgspec.Struct, frozen=True):
    """One thing that does not hold. number: of the closing."""

    number: int
    zh: str
    en: str


def movements(before: Mapping[str, DispatchTotals], now: Mapping[str, DispatchTotals]) -> dict[str, Movement]:
    """Per member, between two sets of totals since the beginning."""
    nothing = DispatchTotals()
    found = {}
    for member in sorted({*before, *now}):
        then, current = before.get(member, nothing), now.get(member, nothing)
        found[member] = Movement(
            opening=_open(then),
            listed=current.dispatches - then.dispatches,
            finished=_finished(current) - _finished(then),
            closing=_open(current),
        )
    return found


def _finished(totals: DispatchTotals) -> int:
    return totals.delivered + totals.refused + totals.cancelled


def _open(totals: DispatchTotals) -> int:
    return totals.dispatches - _finished(totals)


def closing_of(report: Report, checkpoint: Checkpoint, head_digest: str, last: Closing | None) -> Closing:
    """The closing after `last`. head_digest: of the checkpoint as it is written."""
    return Closing(
        format=FORMAT,
        number=0 if last is None else last.number + 1,
        at_ms=checkpoint.at_ms if last is None else max(checkpoint.at_ms, last.at_ms),
        previous=NO_CLOSING if last is None else sm3_hex(canonical(last)),
        checkpoint=head_digest,
        balanced=report.balanced,
        problems=max(report.problems_seen, len(report.problems)),
        digest=report.closed_digest,
        messages=report.messages,
        dispatches=report.members,
        movements=movements({} if last is None else last.dispatches, report.members),
        offsets=checkpoint.offsets,
    )


def read_statement(signed: SignedRoot) -> Closing:
    """Raises BooksTampered for bytes that are no closing in its one written form."""
    try:
        closing = msgspec.json.decode(signed.statement, type=Closing)
    except msgspec.DecodeError as bad:
        raise BooksTampered(f"结账记录无法读取 / a closing cannot be read: {bad}") from bad
    if canonical(closing) != signed.statement.encode() or closing.format != FORMAT:
        raise BooksTampered(f"结账记录 {closing.number} 的写法不符 / not in its one written form")
    return closing


def judge(
    chain: Sequence[SignedRoot], provider: Provider, trust: Trust | None, *, now: datetime
) -> tuple[list[Closing], list[Finding]]:
    """Every closing and what does not hold: signature, time stamp, signer, number, predecessor, sums. trust
    None: who signed is not asked. Raises BooksTampered for one that cannot be read."""
    closings = [read_statement(signed) for signed in chain]
    found = [
        finding
        for number, (signed, closing) in enumerate(zip(chain, closings, strict=True))
        for finding in (
            *_signature(signed, closing, provider, trust, now),
            *_sequence(closing, closings[number - 1] if number else None, number),
        )
    ]
    return closings, found


def _signature(
    signed: SignedRoot, closing: Closing, provider: Provider, trust: Trust | None, now: datetime
) -> Iterator[Finding]:
    text, number = signed.statement.encode(), closing.number
    try:
        certificate = parse_certificate(signed.certificate)
        if not provider.verify(certificate.public_key, text, signed.signature):
            yield Finding(number, "签名不符，内容已被改动", "the signature does not fit: it was changed")
            return
    except SigningError as bad:
        yield Finding(number, f"签名无法读取：{bad.zh}", f"the signature cannot be read: {bad.en}")
        return
    if trust is None:
        return
    stamp = check_token(signed.timestamp, stamped_bytes(text, signed.signature), trust, provider, now=now)
    if not stamp.ok or stamp.made_at is None:
        yield Finding(number, f"时间戳：{stamp.zh}", f"time stamp: {stamp.en}")
        return
    path = check_path(certificate, trust, provider, at=stamp.made_at, now=now)
    if certificate.extended_key_usage == frozenset({OID_TIME_STAMPING}):
        yield Finding(number, "签名者的证书只用于时间戳", "the signer's certificate is for time stamps only")
    elif not path.ok:
        yield Finding(number, f"签名者不可信：{path.zh}", f"the signer is not believed: {path.en}")


def _sequence(closing: Closing, before: Closing | None, number: int) -> Iterator[Finding]:
    if closing.number != number:
        yield Finding(closing.number, f"应为第 {number} 号", f"number {number} is missing or doubled")
    expected = NO_CLOSING if before is None else sm3_hex(canonical(before))
    if closing.previous != expected:
        yield Finding(closing.number, "与前一次结账不相接", "does not follow the closing before it")
    if closing.movements != movements({} if before is None else before.dispatches, closing.dispatches):
        yield Finding(closing.number, "期初、发生与期末不合", "opening, movements and closing do not add up")
    if before is not None and closing.at_ms < before.at_ms:
        yield Finding(closing.number, "时间早于前一次结账", "is older than the closing before it")


def trust_of(settings: Settings) -> Trust | None:
    """The anchors beside the evidence key; None where there are none (then signers are not asked for)."""
    if settings.evidence_dir is None:
        return None
    try:
        return read_anchors(settings.evidence_dir / ANCHORS)
    except (OSError, SigningError):
        return None


async def read_chain(settings: Settings) -> list[SignedRoot]:
    """Every closing, oldest first. Raises BrokerAway, BooksTampered."""
    async with open_reader(settings) as reader:
        return await _chain(settings, reader)


async def _chain(settings: Settings, reader: Reader) -> list[SignedRoot]:
    places = await reader.partitions([settings.topic(TOPIC)])
    chain: list[SignedRoot] = []
    if not places:
        return chain
    async for records in reader.read_to_stable(await reader.start_offsets(places)):
        for record in records:
            try:
                chain.append(msgspec.json.decode(record.value or b"", type=SignedRoot))
            except msgspec.DecodeError as bad:
                raise BooksTampered(f"{TOPIC}@{record.offset}: {bad}") from bad
    return chain


async def last_closed(
    settings: Settings, provider: Provider, trust: Trust | None
) -> tuple[Closing, Checkpoint] | None:
    """The last closing and its checkpoint, None when the books were never closed. Raises BooksTampered when
    the chain or the checkpoint is not what was signed, BrokerAway."""
    chain = await read_chain(settings)
    if not chain:
        return None
    closings, findings = judge(chain, provider, trust, now=datetime.now(UTC))
    if findings:
        first = findings[0]
        raise BooksTampered(f"结账 / closing {first.number}: {first.zh} / {first.en}")
    records = await checkpoints.read_records(settings)
    checkpoint, digest = checkpoints.from_records(records), checkpoints.head_digest(records)
    if checkpoint is None or digest != closings[-1].checkpoint:
        raise BooksTampered(
            f"检查点与第 {closings[-1].number} 次结账所签不符 / "
            f"the checkpoint is not the one that closing {closings[-1].number} signed"
        )
    return closings[-1], checkpoint


async def publish(settings: Settings, signer: Signer, closing: Closing, checkpoint: Checkpoint) -> SignedRoot:
    """Sign and write closing and checkpoint in one transaction. Raises StampAway, ClosedMeanwhile, Fenced,
    BrokerAway."""
    signed = await signer.sign(canonical(closing))
    key = b"%d" % closing.number
    written = {
        TOPIC: [(key, msgspec.json.encode(signed))],
        checkpoints.TOPIC: checkpoints.to_records(checkpoint),
    }
    await _write_after(settings, closing.number, written)
    return signed


async def write_unsigned(settings: Settings, checkpoint: Checkpoint) -> None:
    """The checkpoint of books that were never closed. Raises ClosedMeanwhile, Fenced, BrokerAway."""
    await _write_after(settings, 0, {checkpoints.TOPIC: checkpoints.to_records(checkpoint)})


async def _write_after(
    settings: Settings, closings: int, written: Mapping[str, Sequence[tuple[bytes, bytes]]]
) -> None:
    """Write what was counted after so many closings, unless there are more by now: two counts that began
    together would both follow the same closing, or put their checkpoint over the one it signed."""

    async def check() -> None:
        if len(await read_chain(settings)) != closings:
            raise ClosedMeanwhile(
                "其间已另有结账，未写入 / the books were closed meanwhile; nothing was written"
            )

    now_ms = int(time.time() * 1000)
    outputs: dict[tuple[str, int], list[Output]] = {
        (settings.topic(topic), 0): [(key, value, [], now_ms) for key, value in records]
        for topic, records in written.items()
    }
    await commit_alone(settings, _TRANSACTIONAL_ID, outputs, check)


async def commit_alone(
    settings: Settings,
    name: str,
    outputs: dict[tuple[str, int], list[Output]],
    check: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """One transaction of the only writer called `name`: whoever wrote before under it is fenced. check: asked
    once that is so, when nobody else can write any more; what it raises leaves nothing written. Raises
    Fenced, BrokerAway, UnknownOutcome."""
    producer = LaneProducer(settings, settings.topic(name))
    try:
        await producer.start()
        if check is not None:
            await check()
        offsets: dict[TopicPartition, int] = {}
        await producer.commit(outputs, offsets, f"{settings.topic_prefix}govhub.{name}")
    finally:
        await producer.close()
