"""A case's evidence from the topics: its ledger lines with proofs, the signed roots, the messages. Reads
topics only; judges nothing.
"""

import itertools
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from hub import envelope, ids
from hub.config import Settings
from hub.errors import HubError
from hub.evidence.document import FORMAT, HANDOVERS_MAX, LINKS_MAX, Anchored, Content, Document, HandOver
from hub.evidence.exchange import ANCHORS, KeptAnchor
from hub.evidence.lane import LEAVES, ROOTS
from hub.evidence.leaves import LEDGERS, Part, SignedRoot, canonical, joined, read_part
from hub.gateway.intake import without_nulls
from hub.kafka import Reader, Record, TopicPartition, open_reader, partition_of
from schemas.codec import decode
from schemas.errors import ContractError
from signing.anchors import Anchor
from signing.evidence import RootStatement, inclusion_proof, leaf_hash

_ORIGINATED: Final = "case.events"
_INBOUND: Final = "case.inbound"


class NoEvidence(HubError):
    """There is nothing on record of this case."""


async def export(settings: Settings, case: str) -> Document:
    """Everything on record of a case. Raises NoEvidence, BrokerAway."""
    async with open_reader(settings) as reader:
        count = len(await reader.partitions([settings.topic(ROOTS)]))
        if not count:
            raise NoEvidence("没有证据主题 / no evidence topics: govhub topics apply")
        partition = partition_of(case.encode(), count)
        roots = await _roots(settings, reader, partition)
        handovers = await _hand_overs(settings, reader, partition, case, roots)
        unsigned = await _unsigned(settings, reader, partition, case, roots)
        messages = await _messages(settings, reader, partition, case)
    if not (handovers or unsigned):
        raise NoEvidence(f"没有该办件的记录 / nothing on record of case {case}")
    used = {(one.lane, one.sequence) for one in handovers}
    anchored = await _anchors(settings, roots, used)
    return Document(
        format=FORMAT,
        case=case,
        exported_at=datetime.now(UTC).isoformat(timespec="seconds"),
        messages=messages,
        handovers=handovers,
        roots=[root for place, root in sorted(roots.items()) if place in used],
        anchors=anchored,
        unsigned=unsigned,
    )


async def _anchors(
    settings: Settings, roots: dict[tuple[str, int], SignedRoot], used: set[tuple[str, int]]
) -> list[Anchored]:
    """The first anchor that a peer countersigned and that lies above all roots of the file, with the
    statements between; none while there is none."""
    newest: dict[str, int] = {}
    oldest: dict[str, int] = {}
    for lane, sequence in used:
        newest[lane] = max(newest.get(lane, 0), sequence)
        oldest[lane] = min(oldest.get(lane, sequence), sequence)
    async with open_reader(settings) as reader:
        async for record in _records(settings, reader, ANCHORS, 0):
            kept = msgspec.json.decode(record.value, type=KeptAnchor)
            lanes = Anchor.from_bytes(kept.anchor.statement.encode()).lanes
            if not kept.countersigned or any(lanes.get(lane, (-1, ""))[0] < n for lane, n in newest.items()):
                continue
            between = [
                (lane, n) for lane in sorted(newest) for n in range(oldest[lane] + 1, lanes[lane][0] + 1)
            ]
            missing = [place for place in between if place not in used]
            if len(missing) > LINKS_MAX or any(place not in roots for place in missing):
                return []
            return [
                Anchored(
                    text=kept.anchor.statement,
                    signature=kept.anchor.signature,
                    certificate=kept.anchor.certificate,
                    timestamp=kept.anchor.timestamp,
                    countersigned=kept.countersigned,
                    links=[roots[place].statement for place in missing],
                )
            ]
    return []


async def _records(
    settings: Settings, reader: Reader, topic: str, partition: int, first: int = 0
) -> AsyncIterator[Record]:
    place = TopicPartition(settings.topic(topic), partition)
    start = max(first, (await reader.start_offsets([place]))[place])
    async for records in reader.read_to_stable({place: start}):
        for record in records:
            yield record


async def _roots(settings: Settings, reader: Reader, partition: int) -> dict[tuple[str, int], SignedRoot]:
    found = {}
    async for record in _records(settings, reader, ROOTS, partition):
        root = msgspec.json.decode(record.value, type=SignedRoot)
        statement = RootStatement.from_bytes(root.statement.encode())
        found[statement.lane, statement.sequence] = root
    return found


async def _hand_overs(
    settings: Settings,
    reader: Reader,
    partition: int,
    case: str,
    roots: dict[tuple[str, int], SignedRoot],
) -> list[HandOver]:
    """Lines of the case with their proofs, in the order of the log."""
    found: list[HandOver] = []
    gathering: list[Part] = []
    async for record in _records(settings, reader, LEAVES, partition):
        part = read_part(record.value)
        if gathering and (part.lane, part.sequence) != (gathering[0].lane, gathering[0].sequence):
            found.extend(of_case(gathering, case))
            gathering.clear()
        gathering.append(part)
        if len(found) > HANDOVERS_MAX:
            raise NoEvidence(f"超过 {HANDOVERS_MAX} 条 / over {HANDOVERS_MAX} hand-overs")
    if gathering:
        found.extend(of_case(gathering, case))
    return [one for one in found if (one.lane, one.sequence) in roots]


def of_case(parts: list[Part], case: str) -> Iterator[HandOver]:
    """The lines of one case in one interval. parts: all of the interval."""
    leaves = joined(parts)
    # As it stands in the canonical text of a line; what only quotes it is sorted out below.
    sought = b'"caseNo":' + canonical(case)
    places = [index for index, leaf in enumerate(leaves) if sought in leaf]
    hashes = [leaf_hash(leaf) for leaf in leaves] if places else []
    for index in places:
        leaf = msgspec.json.decode(leaves[index])
        if leaf.get("line", {}).get("caseNo") == case:
            yield HandOver(
                lane=parts[0].lane,
                sequence=parts[0].sequence,
                index=index,
                hash=hashes[index].hex(),
                proof=[step.hex() for step in inclusion_proof(hashes, index)],
                leaf=leaf,
            )


async def _unsigned(
    settings: Settings,
    reader: Reader,
    partition: int,
    case: str,
    roots: dict[tuple[str, int], SignedRoot],
) -> int:
    """How many lines of the case are not under a root yet."""
    count = 0
    for topic in LEDGERS:
        lane = f"{topic}-{partition}"
        signed = [number for name, number in roots if name == lane]
        first = 0
        if signed:
            newest = roots[lane, max(signed)].statement.encode()
            first = RootStatement.from_bytes(newest).last_offset + 1
        async for record in _records(settings, reader, topic, partition, first):
            count += record.key == case.encode()
    return count


async def _messages(settings: Settings, reader: Reader, partition: int, case: str) -> list[Content]:
    """Each message of the case once: as it came in, or as the hub made it."""
    found: dict[str, Content] = {}
    for topic in (_INBOUND, _ORIGINATED):
        async for record in _records(settings, reader, topic, partition):
            if record.key != case.encode():
                continue
            try:
                message = envelope.from_record(record.headers, record.value)
            except ValueError:
                continue  # the router parked it: its line in the ledger says so
            found.setdefault(message.id, content_of(message))
    return list(found.values())


def content_of(message: envelope.Message) -> Content:
    """A message with the content that gives its digest; without, where no written form gives it."""
    try:
        contract, body = decode(message.value)
    except ContractError:
        return Content(id=message.id, type=message.type)
    submitted = {"body": without_nulls(body), "caseNo": message.subject, "occurredAt": message.time_ms}
    forms: tuple[Any, ...] = (submitted, without_nulls(body), body)
    # What the hub asks about a submission carries the submission's own bytes and digest.
    for type_, form in itertools.product((message.type, contract.name), forms):
        if ids.content_digest(type_, form) == message.digest:
            return Content(id=message.id, type=type_, content=msgspec.json.decode(canonical(form)))
    return Content(id=message.id, type=message.type)
