"""Copying what is addressed to the other hub: a dispatch on deliver.<hub> becomes a record on its
case.inbound. Pure: records in, records out."""

import time
from collections.abc import Mapping
from typing import Final

import structlog

from hub import envelope, ids
from hub.bridge.batch import Batch, Report
from hub.delivery.records import DISPATCH_HEADER, KIND_HEADER
from hub.kafka import Output, Record
from hub.routing.crossing import VIA_SEPARATOR, passed
from schemas import codec, contracts
from schemas.errors import ContractError

log = structlog.get_logger()

_INBOUND: Final = "case.inbound"
_VIA: Final = "ce_via"
_DETAIL_CHARS_MAX: Final = 1_000


class Copying:
    """The work of the lane over deliver.<target>. region: our hub; target: the hub that gets the copies."""

    from_start = True

    def __init__(self, region: str, target: str) -> None:
        self.inputs = ("deliver." + target,)
        self._region = region
        self._target = target

    def restore(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Copying keeps nothing but the cursor."""

    def close(self) -> None:
        """Nothing to give back."""

    def take(self, records: list[Record]) -> Batch:
        """Each record once, in order."""
        batch = Batch()
        for record in records:
            try:
                message = envelope.from_record(record.headers, None)
                if record.value is None or record.key != message.subject.encode():
                    raise ValueError("键或内容与信封不符 / key or value does not fit the envelope")
            except ValueError as error:
                # The router did not write it: it stands in no ledger, and the log keeps it.
                log.error("bridge.unreadable", topic=record.topic, offset=record.offset, reason=str(error))
                continue
            via = passed(message.via)
            if self._target in via or self._region in via:
                why = f"已经过该枢纽 / has been through this hub already: via={message.via}"
                batch.reports.append(self._not_copied(record, message, "refused", "via_loop", why))
                continue
            try:
                codec.schema_id(record.value)
            except ContractError as error:
                batch.reports.append(self._not_copied(record, message, "parked", "undecodable", str(error)))
                continue
            batch.outputs.append((_INBOUND, self._copy(record, (*via, self._region))))
        return batch

    def _copy(self, record: Record, via: tuple[str, ...]) -> Output:
        """Id, key, case number and body stay; only the envelope crosses, with one more hub in its `via`."""
        headers = [(name, value) for name, value in record.headers if name.startswith("ce_") and name != _VIA]
        headers.append((_VIA, VIA_SEPARATOR.join(via).encode()))
        return record.key, record.value, headers, record.timestamp

    def _not_copied(
        self, record: Record, message: envelope.Message, outcome: str, code: str, detail: str
    ) -> Report:
        """The line of our own ledger for a dispatch that does not leave."""
        log.error("bridge.not_copied", message_id=message.id, code=code, reason=detail, target=self._target)
        extra = dict(record.headers)
        dispatch = extra.get(DISPATCH_HEADER, b"").decode() or ids.dispatch_id(message.id, self._target)
        body = {
            "dispatchId": dispatch,
            "messageId": message.id,
            "caseNo": message.subject,
            "member": self._target,
            "kind": extra.get(KIND_HEADER, b"").decode() or message.type,
            "outcome": outcome,
            "code": code,
            "detail": detail[:_DETAIL_CHARS_MAX],
            "attempts": 0,
            "at": int(time.time() * 1000),
            "behind": None,
        }
        value = codec.encode(contracts.load().by_type("hub.outcome"), body)
        return "case.outcomes", record.key, value, [(DISPATCH_HEADER, dispatch.encode())]
