"""Telling the other region what became of what came from there: reads our case.routed and case.outcomes,
writes its case.outcomes. No Kafka here.

An acknowledgement carries no `via`: nothing acknowledges it.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog

from hub import ids
from hub.bridge import sums
from hub.bridge.batch import Batch
from hub.bridge.model import Sum, Told, decode, encode, is_sum, sum_key
from hub.bridge.shelf import Shelf
from hub.delivery.records import DISPATCH_HEADER
from hub.errors import LaneStopped
from hub.kafka import Record
from hub.routing.crossing import passed
from schemas import codec, contracts
from schemas.errors import ContractError

log = structlog.get_logger()

ROUTED: Final = "case.routed"
OUTCOMES: Final = "case.outcomes"
_CODE_CHARS_MAX: Final = 64
_DETAIL_CHARS_MAX: Final = 1_000


class Acknowledging:
    """The work of the lane over one partition of case.routed and case.outcomes. lane: its name; region: our
    hub; target: the hub that is told; shelf: where the sums of what is under way lie, however many."""

    from_start = False
    # First the ledger, then the outcomes up to an end that was taken before: the line of every outcome has
    # then been read, so a message that is not under way has closed.
    inputs = (ROUTED, OUTCOMES)

    def __init__(self, lane: str, region: str, target: str, routed: str, shelf: Shelf) -> None:
        self._lane = lane
        self._region = region
        self._target = target
        self._routed = routed
        self._shelf = shelf
        self._contract = contracts.load().by_type("hub.outcome")

    def restore(self, changes: Mapping[bytes, bytes | None]) -> None:
        """What was under way when the last transaction was committed."""
        self._shelf.put({key: value for key, value in changes.items() if is_sum(key, self._lane)})

    def close(self) -> None:
        """The changelog has what is under way."""
        self._shelf.close()

    def take(self, records: list[Record]) -> Batch:
        """Only what carries our neighbour's mark concerns us; the rest only moves the cursor."""
        batch = Batch()
        for record in records:
            via = passed(dict(record.headers).get("ce_via", b"").decode(errors="replace"))
            if via[-1:] != (self._target,):
                continue
            try:
                _, body = codec.decode(record.value or b"")
            except ContractError as error:
                log.error("bridge.unreadable", topic=record.topic, offset=record.offset, reason=str(error))
                continue
            if record.topic == self._routed:
                self._line(body, batch)
            else:
                self._outcome(body, batch)
        # Before the commit: a lane whose commit fails is closed, and its shelf with it.
        self._shelf.put(batch.changes)
        return batch

    def _known(self, id_: str, batch: Batch) -> Sum | None:
        """What was summed up of a message so far; None when it is not under way."""
        key = sum_key(self._lane, id_)
        raw = batch.changes[key] if key in batch.changes else self._shelf.get(key)
        try:
            return decode(raw, Sum) if raw is not None else None
        except ValueError as error:
            raise LaneStopped(f"{self._lane}: {error}") from error

    def _line(self, body: dict[str, Any], batch: Batch) -> None:
        id_ = body["messageId"]
        known = self._known(id_, batch) or Sum(id_, body["caseNo"], body["type"])
        text = " / ".join(body[name] for name in ("zh", "en") if body[name])
        dispatches = tuple(entry["id"] for entry in body["dispatches"])
        self._settle(
            sums.with_line(known, body["disposition"], body["reason"] or "", text, dispatches), batch
        )

    def _outcome(self, body: dict[str, Any], batch: Batch) -> None:
        id_ = body["messageId"]
        told = Told(body["member"], body["outcome"], body["code"] or "", body["detail"] or "")
        known = self._known(id_, batch)
        if known is not None:
            self._settle(sums.with_outcome(known, body["dispatchId"], told), batch)
            return
        # It had closed: somebody settled it, or the nation refused later. Over there too the last one stands.
        self._tell(Sum(id_, body["caseNo"], body["kind"]), sums.of_member(told), batch)

    def _settle(self, known: Sum, batch: Batch) -> None:
        verdict = sums.verdict(known)
        if verdict is not None and verdict.outcome != known.acknowledged:
            self._tell(known, verdict, batch)
            known = msgspec.structs.replace(known, acknowledged=verdict.outcome)
        key = sum_key(self._lane, known.message_id)
        batch.changes[key] = None if sums.is_closed(known) else encode(known)

    def _tell(self, known: Sum, verdict: sums.Verdict, batch: Batch) -> None:
        """A line of the other hub's dispatch ledger, for its dispatch of this message to us."""
        now_ms = int(time.time() * 1000)
        dispatch = ids.dispatch_id(known.message_id, self._region)
        body = {
            "dispatchId": dispatch,
            "messageId": known.message_id,
            "caseNo": known.subject,
            "member": self._region,
            "kind": known.type,
            "outcome": verdict.outcome,
            "code": verdict.code[:_CODE_CHARS_MAX] or None,
            "detail": verdict.detail[:_DETAIL_CHARS_MAX] or None,
            "attempts": 0,
            "at": now_ms,
            "behind": None,
        }
        headers = [
            ("ce_id", ids.originated_id(dispatch, "acknowledged", verdict.outcome).encode()),
            (DISPATCH_HEADER, dispatch.encode()),
        ]
        value = codec.encode(self._contract, body)
        batch.outputs.append((OUTCOMES, (known.subject.encode(), value, headers, now_ms)))
