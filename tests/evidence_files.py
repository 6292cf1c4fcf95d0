"""Evidence made without a broker: identities, ledger records as the router writes them, signed intervals."""

import functools
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hub import ids
from hub.evidence.document import FORMAT, Anchored, Content, Countersigned, Document
from hub.evidence.export import of_case
from hub.evidence.identity import ANCHORS, load_identity, make_directory, read_anchors
from hub.evidence.leaves import (
    Book,
    Interval,
    LedgerLane,
    SignedRoot,
    parts_of,
    read_part,
    stamped_bytes,
)
from hub.kafka import Record
from hub.router.outbox import CHAIN_HEADER
from schemas import codec, contracts
from signing.anchors import NO_ANCHOR, Anchor, Countersignature
from signing.evidence import NO_STATEMENT, Chain
from signing.issuing import Identity
from signing.provider import SoftwareProvider
from signing.receipts import make_receipt
from signing.timestamps import make_token
from signing.trust import Trust

PROVIDER = SoftwareProvider()
PASSPHRASE = b"a passphrase of tests"
CASE = "46ABCDEFGHJKMNPQRST"
NOW = datetime.now(UTC).replace(microsecond=0)
NOW_MS = int(NOW.timestamp() * 1000)


@functools.cache
def keys() -> Path:
    """A directory of keys, made once."""
    directory = Path(tempfile.mkdtemp(prefix="evidence-keys-"))
    make_directory(directory, PASSPHRASE, "某省交换枢纽", ("dept-a", "nation"), now=NOW - timedelta(days=1))
    return directory


@functools.cache
def identity(name: str) -> Identity:
    return load_identity(keys(), name, PASSPHRASE, PROVIDER)


def trust() -> Trust:
    return read_anchors(keys() / ANCHORS)


def record(
    topic: str, offset: int, type_: str, body: dict[str, Any], headers: Sequence[tuple[str, bytes]] = ()
) -> Record:
    value = codec.encode(contracts.load().by_type(type_), body)
    return Record(topic, 0, offset, NOW_MS, 0, b"k", value, None, 1, len(value), tuple(headers))  # type: ignore[call-arg]


def content(number: int) -> dict[str, Any]:
    return {"body": {"projectName": f"办件 {number}"}, "caseNo": CASE, "occurredAt": NOW_MS}


def message_id(number: int) -> str:
    return ids.message_id("platform", "", f"ref-{number}", "case.submitted", 1)


def routed(offset: int, number: int, case: str = CASE) -> Record:
    """A line of the message ledger: one dispatch, to dept-a."""
    message = message_id(number)
    return record(
        "case.routed",
        offset,
        "hub.routed",
        {
            "messageId": message,
            "caseNo": case,
            "disposition": "routed",
            "dispatches": [
                {"id": ids.dispatch_id(message, "dept-a"), "member": "dept-a", "kind": "case.submitted"}
            ],
            "originated": False,
            "source": "platform",
            "type": "case.submitted",
            "occurredAt": NOW_MS,
            "digest": ids.content_digest("case.submitted", content(number)),
        },
    )


def delivered(offset: int, number: int, *, signed_by: str = "") -> Record:
    """A line of the dispatch ledger."""
    message = message_id(number)
    dispatch = ids.dispatch_id(message, "dept-a")
    receipt = None
    if signed_by:
        digest = ids.content_digest("case.submitted", content(number))
        made = make_receipt(PROVIDER, identity(signed_by), dispatch, digest, NOW.isoformat())
        receipt = json.dumps(made)
    return record(
        "case.outcomes",
        offset,
        "hub.outcome",
        {
            "dispatchId": dispatch,
            "messageId": message,
            "caseNo": CASE,
            "member": "dept-a",
            "kind": "case.submitted",
            "outcome": "delivered",
            "attempts": 1,
            "at": NOW_MS,
            "receipt": receipt,
        },
    )


def linked(records: Sequence[Record], chain: Chain) -> tuple[list[Record], Chain]:
    """The records as one transaction of the router: a link beside the last of them."""
    after = chain.extend(one.value for one in records)
    header = (CHAIN_HEADER, b"%d %d %b" % (after.links, len(records), after.head.hex().encode()))
    last = records[-1]
    return [*records[:-1], _with_headers(last, (header,))], after


def _with_headers(one: Record, headers: Sequence[tuple[str, bytes]]) -> Record:
    return Record(
        one.topic, one.partition, one.offset, one.timestamp, 0, one.key, one.value, None, 1, 1, tuple(headers)
    )  # type: ignore[call-arg]


NEW = Book(0, NO_STATEMENT, b"")


def closed(lane: LedgerLane, records: Sequence[Record], at_ms: int = NOW_MS) -> Interval:
    for one in records:
        lane.take(one)
    interval, book = lane.close(at_ms)
    lane.closed(book)
    return interval


def signed(interval: Interval, signer: str = "signer", stamper: str = "tsa") -> SignedRoot:
    text = interval.statement.to_bytes()
    who = identity(signer)
    signature = PROVIDER.sign(who.key, text)
    token = make_token(
        PROVIDER, identity(stamper), stamped_bytes(text, signature), at=NOW, serial=1, policy="1.2.3"
    )
    return SignedRoot(
        statement=text.decode(), signature=signature, certificate=who.certificate.raw, timestamp=token
    )


def anchored(intervals: Sequence[Interval], *, later: Sequence[Interval] = ()) -> Anchored:
    """An anchor over the newest of each lane, countersigned by the nation; `later` lie between file and
    anchor."""
    newest = {one.statement.lane: one.statement for one in (*intervals, *later)}
    lanes = {lane: (one.sequence, one.digest().hex()) for lane, one in newest.items()}
    anchor = Anchor("某省交换枢纽", 0, NOW_MS, NO_ANCHOR, lanes)
    said = Countersignature("nation", anchor.digest(), NOW.isoformat()).to_bytes()
    nation, signer = identity("nation"), identity("signer")
    return Anchored(
        text=anchor.to_bytes().decode(),
        signature=PROVIDER.sign(signer.key, anchor.to_bytes()),
        certificate=signer.certificate.raw,
        timestamp=b"",
        countersigned=[
            Countersigned(
                peer="nation",
                text=said.decode(),
                signature=PROVIDER.sign(nation.key, said),
                certificate=nation.certificate.raw,
            )
        ],
        links=[one.statement.to_bytes().decode() for one in later],
    )


def document(*, receipts: bool = False, witnessed: bool = False) -> Document:
    """An honest file: two intervals of one ledger, one of the other, other cases between."""
    ledger = LedgerLane("case.routed-0", NEW, chained=True)
    first, chain = linked([routed(0, 0), routed(1, 1, "46OTHER"), routed(2, 2)], Chain())
    second, chain = linked([routed(5, 3, "46OTHER"), routed(6, 4)], chain)
    outcomes = LedgerLane("case.outcomes-0", NEW, chained=False)
    by = "dept-a" if receipts else ""
    intervals = [
        closed(ledger, first),
        closed(ledger, second),
        closed(outcomes, [delivered(n, n * 2, signed_by=by) for n in range(3)]),
    ]
    third, chain = linked([routed(9, 9, "46OTHER")], chain)
    later = closed(ledger, third)
    return Document(
        format=FORMAT,
        case=CASE,
        exported_at="",
        messages=[Content(id=message_id(n), type="case.submitted", content=content(n)) for n in (0, 2, 4)],
        handovers=[
            one
            for interval in intervals
            for one in of_case([read_part(part) for part in parts_of(interval)], CASE)
        ],
        roots=[signed(interval) for interval in intervals],
        anchors=[anchored(intervals, later=[later])] if witnessed else [],
    )
