"""Records a delivery lane reads and writes: dispatches in; outcomes, answers and refusals out. Pure: bytes
in, bytes out."""

import functools
import time
from collections.abc import Mapping
from typing import Final

import structlog

from adapters.ports import Dispatch, Submission
from hub import envelope, ids
from hub.config import Settings
from hub.delivery.model import Entry, Settled
from hub.directory.model import Member
from hub.kafka import Output, Record, partition_of
from schemas import codec, contracts, validate
from signing.errors import SigningError
from signing.provider import SoftwareProvider
from signing.pseudonym import pseudonym
from signing.receipts import parse_receipt, signature_fits

log = structlog.get_logger()

DISPATCH_HEADER: Final = "hub_dispatch"
KIND_HEADER: Final = "hub_kind"
FLAGS_HEADER: Final = "hub_flags"
UNTIL_HEADER: Final = "hub_until"


def entry_of(record: Record) -> Entry:
    """The queue entry of a record on deliver.<member>. Raises ValueError for one that the router did not
    write: without dispatch id, key, value or envelope."""
    headers = list(record.headers)
    dispatch = next((value.decode() for name, value in headers if name == DISPATCH_HEADER), "")
    message = envelope.from_record(headers, record.value)
    place = f"{record.topic}-{record.partition}@{record.offset}"
    if not dispatch:
        raise ValueError(f"缺少分发编号 / dispatch id missing: {place}")
    if record.value is None or record.key != message.subject.encode():
        raise ValueError(f"键或内容与信封不符 / key or value does not fit the envelope: {place}")
    return Entry(record.offset, dispatch, message.subject, headers, record.value)


def lapsed(entry: Entry, now_ms: int) -> bool:
    """True when nobody waits for this dispatch any more: a credit query after the router's fallback (R22)."""
    for name, value in entry.headers:
        if name == UNTIL_HEADER:
            return now_ms > int(value)
    return False


def dispatch_of(entry: Entry, member: str) -> Dispatch:
    """The Dispatch an adapter hands over. Raises ContractError when the body cannot be decoded."""
    message = envelope.from_record(entry.headers, entry.value)
    extra = {name: value.decode() for name, value in entry.headers if name.startswith("hub_")}
    _, body = codec.decode(entry.value)
    return Dispatch(
        id=entry.dispatch_id,
        message_id=message.id,
        member=member,
        kind=extra.get(KIND_HEADER) or message.type,
        type=message.type,
        case_no=message.subject,
        source=message.source,
        occurred_ms=message.time_ms,
        body=body,
        region=message.region,
        item=message.item,
        digest=message.digest,
        source_key=message.source_key,
        attributes=message.attributes,
        flags=tuple(flag for flag in extra.get(FLAGS_HEADER, "").split(",") if flag),
    )


@functools.cache
def _provider() -> SoftwareProvider:
    """Made when the first receipt comes: most members give none."""
    return SoftwareProvider()


def _fitting(receipt: str, entry: Entry, message: envelope.Message, member: str) -> str | None:
    """The receiver's receipt when its signature is over this dispatch and content (G7). One that does not
    fit changes nothing about the delivery; it is logged and left out."""
    if not receipt:
        return None
    try:
        if signature_fits(parse_receipt(receipt), entry.dispatch_id, message.digest, _provider()):
            return receipt
        reason = "signature"
    except SigningError as error:
        reason = str(error)
    log.warning("receipt.unfit", member=member, dispatch=entry.dispatch_id, reason=reason)
    return None


class Outbox:
    """The outputs of one turn, grouped by partition; all for the same transaction as the state they belong
    to."""

    def __init__(self, settings: Settings, member: Member, partitions: int) -> None:
        self._settings = settings
        self._member = member
        self._partitions = partitions
        self.outputs: dict[tuple[str, int], list[Output]] = {}

    def outcome(self, entry: Entry, settled: Settled, *, behind: str = "", receipt: str = "") -> None:
        """One line of the dispatch ledger. receipt: as the member gave it; only one that fits is kept."""
        message = envelope.from_record(entry.headers, b"")
        kind = (
            next((value.decode() for name, value in entry.headers if name == KIND_HEADER), "") or message.type
        )
        now_ms = int(time.time() * 1000)
        body = {
            "dispatchId": entry.dispatch_id,
            "messageId": message.id,
            "caseNo": message.subject,
            "member": self._member.id,
            "kind": kind,
            "outcome": settled.outcome.value,
            "code": settled.code[:64] or None,
            "detail": settled.detail[:1_000] or None,
            "attempts": entry.attempts,
            "at": now_ms,
            "behind": behind or None,
            "receipt": _fitting(receipt, entry, message, self._member.id),
        }
        value = codec.encode(contracts.load().by_type("hub.outcome"), body)
        headers = [(DISPATCH_HEADER, entry.dispatch_id.encode())]
        if message.via:
            headers.append(("ce_via", message.via.encode()))  # another hub waits for this
        self._put("case.outcomes", entry.subject, value, headers, now_ms)

    def answer(self, entry: Entry, submission: Submission) -> None:
        """A message that came back in a reply (a credit grade): into case.inbound, with a derived id."""
        message = envelope.from_record(entry.headers, b"")
        self._inbound(
            message,
            self._member.id,
            submission.type,
            submission.body,
            ids.originated_id(entry.dispatch_id, submission.type),
        )

    def refused(self, entry: Entry, settled: Settled) -> None:
        """A member's business refused the dispatch: the router turns this into a refusal to the sender
        (R10)."""
        message = envelope.from_record(entry.headers, b"")
        body = {
            "dispatchId": entry.dispatch_id,
            "messageId": message.id,
            "member": self._member.id,
            "code": settled.code[:64],
            "detail": settled.detail[:1_000],
        }
        self._inbound(
            message, "hub", "dispatch.refused", body, ids.originated_id(entry.dispatch_id, "dispatch.refused")
        )

    def _inbound(
        self, cause: envelope.Message, source: str, type_: str, body: Mapping[str, object], id_: str
    ) -> None:
        contract = contracts.load().by_type(type_)
        checked = validate.check(contract, body)
        key = self._settings.pseudonym_key
        routing = validate.routing(contract, checked, lambda kind, number: pseudonym(f"{kind}:{number}", key))
        now_ms = int(time.time() * 1000)
        message = envelope.Message(
            id=id_,
            source=source,
            type=type_,
            subject=cause.subject,
            time_ms=now_ms,
            value=codec.encode(contract, checked),
            region=routing.pop("region", "") or cause.region,
            item=routing.pop("item", "") or cause.item,
            digest=ids.content_digest(type_, body),
            correlation=cause.correlation,
            causation=cause.id,
            attributes=routing,
        )
        self._put("case.inbound", cause.subject, message.value, envelope.to_headers(message), now_ms)

    def _put(
        self, topic: str, subject: str, value: bytes, headers: list[tuple[str, bytes]], now_ms: int
    ) -> None:
        key = subject.encode()
        place = (self._settings.topic(topic), partition_of(key, self._partitions))
        self.outputs.setdefault(place, []).append((key, value, headers, now_ms))
