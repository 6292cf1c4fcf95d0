"""GET /v1/messages/{id}/evidence: the evidence receipt of a message (G7), an evidence file of one line. Made
again from the ledger each time, so it is byte-identical for ever. Read side only.
"""

import asyncio
from typing import Any, Final

import msgspec
from litestar import Request, get
from litestar.params import FromPath
from litestar.response import Response
from litestar.types import ControllerRouterHandler

from hub.config import Settings
from hub.errors import BrokerAway
from hub.evidence.document import FORMAT, Document, HandOver
from hub.evidence.lane import ROOTS
from hub.evidence.leaves import ROUTED, SignedRoot, leaf_text
from hub.gateway.callers import Callers
from hub.gateway.errors import Rejected
from hub.gateway.records import Records, RootPlace, records_away
from hub.gateway.status import Status
from hub.gateway.wire import address_of, headers_of, path_and_query
from hub.kafka import Reader, Record, TopicPartition, open_reader, partition_of
from signing.evidence import RootStatement, inclusion_proof, leaf_hash, root_of

# Each reads one interval of the ledger: some thousand records.
AT_ONCE_MAX: Final = 2
RETRY_AFTER_S: Final = 10
# A router's transaction may make an interval longer than HUB_EVIDENCE_LEAVES_MAX, but not without end.
INTERVAL_RECORDS_MAX: Final = 200_000


class Receipts:
    """Evidence receipts of single messages."""

    def __init__(self, settings: Settings, records: Records | None) -> None:
        self._settings = settings
        self._records = records
        self._turn = asyncio.Semaphore(AT_ONCE_MAX)

    async def of(self, message_id: str) -> Document:
        """The receipt. Raises Rejected: 404 until the root over its line is signed, 503."""
        if self._records is None:
            raise records_away()
        place = await self._records.ledger_place(message_id)
        if place is None:
            raise _not_yet()
        case, offset = place
        try:
            async with self._turn, open_reader(self._settings) as reader:
                ledger = await reader.partitions([self._settings.topic(ROUTED)])
                partition = partition_of(case.encode(), len(ledger))
                lane = f"{ROUTED}-{partition}"
                root = await self._records.root_place(lane, offset)
                if root is None:
                    raise _not_yet()
                signed = await self._root(reader, root)
                lines = await self._lines(reader, partition, root)
        except (BrokerAway, LookupError) as error:
            raise Rejected(
                503,
                "evidence_away",
                "证据暂不可读，请稍后再查",
                "evidence cannot be read now, ask again later",
                retry_after_s=RETRY_AFTER_S,
            ) from error
        return receipt(case, lane, offset, root.sequence, lines, signed)

    async def _root(self, reader: Reader, place: RootPlace) -> SignedRoot:
        topic = TopicPartition(self._settings.topic(ROOTS), place.partition)
        async for records in reader.read_to({topic: place.offset}, {topic: place.offset + 1}):
            return msgspec.json.decode(records[0].value, type=SignedRoot)
        raise LookupError(f"{topic}@{place.offset}")

    async def _lines(self, reader: Reader, partition: int, place: RootPlace) -> list[Record]:
        topic = TopicPartition(self._settings.topic(ROUTED), partition)
        lines: list[Record] = []
        async for records in reader.read_to({topic: place.first_offset}, {topic: place.last_offset + 1}):
            lines += records
            if len(lines) > INTERVAL_RECORDS_MAX:
                raise LookupError(f"{topic}@{place.first_offset}: over {INTERVAL_RECORDS_MAX} lines")
        return lines


def receipt(
    case: str, lane: str, offset: int, sequence: int, lines: list[Record], signed: SignedRoot
) -> Document:
    """An evidence file of one line. Raises LookupError when the ledger is not what was signed."""
    leaves = [leaf_text(lane, line.offset, line.timestamp, line.value) for line in lines]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    index = next((at for at, line in enumerate(lines) if line.offset == offset), None)
    if index is None or root_of(hashes) != RootStatement.from_bytes(signed.statement.encode()).root:
        raise LookupError(f"{lane}@{offset}: 台账与所签的根不符 / the ledger is not what was signed")
    return Document(
        format=FORMAT,
        case=case,
        exported_at="",
        messages=[],
        handovers=[
            HandOver(
                lane=lane,
                sequence=sequence,
                index=index,
                hash=hashes[index].hex(),
                proof=[step.hex() for step in inclusion_proof(hashes, index)],
                leaf=msgspec.json.decode(leaves[index]),
            )
        ],
        roots=[signed],
    )


def routes(callers: Callers, status: Status, receipts: Receipts) -> list[ControllerRouterHandler]:
    """The handler; signed, for whoever may see the message's status."""

    @get("/v1/messages/{message_id:str}/evidence")
    async def evidence(request: Request[Any, Any, Any], message_id: FromPath[str]) -> Response[bytes]:
        caller = callers.signed(
            headers_of(request.scope), "GET", path_and_query(request.scope), b"", address_of(request.scope)
        )
        await status.message(caller, message_id)
        document = await receipts.of(message_id)
        return Response(msgspec.json.encode(document), media_type="application/json")

    return [evidence]


def _not_yet() -> Rejected:
    return Rejected(
        404,
        "evidence_pending",
        "该消息的台账行尚未封存签名，请稍后再查",
        "the line of this message is not under a signed root yet, ask again later",
        retry_after_s=RETRY_AFTER_S,
    )
