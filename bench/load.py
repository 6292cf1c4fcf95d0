"""The messages every benchmark works on: case routing as DESIGN.md defines it (10 headers, bodies of about
600 bytes, one record in a hundred a repeat). No timing here."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

from hub import directory, envelope, ids
from hub.config import Settings
from hub.directory.model import Item
from hub.kafka import partition_of, write_records
from schemas import codec, contracts, samples, validate

BODY_CHARACTERS = 180
REPEAT_EVERY = 100
_CHUNK_RECORDS = 20_000
# Yesterday: what is older than closed_case_keep_days is refused as archived.
_BASE_MS = int(time.time() * 1000) - 86_400_000


def plain_item() -> tuple[str, str, str, str]:
    """An item without a credit query: code, a region, its owner and the owner's organisation code."""
    return _describe(lambda item: item.credit == "none")


def quiet_item() -> tuple[str, str, str, str]:
    """An item whose cases concern one member besides the sender: no credit query, no copies to the nation or
    to supervision. A message of such a case has three outputs: dispatch, event, ledger line."""
    return _describe(lambda item: item.credit == "none" and not item.nation and not item.supervision)


def _describe(wanted: Callable[[Item], bool]) -> tuple[str, str, str, str]:
    known = directory.load()
    for item in known.items.values():
        if wanted(item):
            region, owner = next(iter(item.owners.items()))
            return item.code, region, owner, known.members[owner].org_code
    raise LookupError("the directory has no such item")


def case_messages(
    cases: int, steps: int, *, quiet: bool = True, repeated: bool = False
) -> Iterator[envelope.Message]:
    """Submissions of all cases, their acceptances, then `steps` process steps a case, interleaved over the
    cases. quiet: three outputs a message, otherwise four or five. repeated: every hundredth message comes
    again, unchanged, after its round."""
    item, region, owner, org = quiet_item() if quiet else plain_item()
    values = {name: _value(name) for name in ("case.submitted", "case.accepted", "case.process_step")}
    numbers = [ids.case_number("platform", "bench", str(n)) for n in range(cases)]
    for step in range(steps + 2):
        type_ = ("case.submitted", "case.accepted")[step] if step < 2 else "case.process_step"
        source = "platform" if step == 0 else owner
        place = {"item": item, "region": region} if step == 0 else {"item": "", "region": ""}
        attributes = {"party": "p" * 32} if step == 0 else {"org": org}
        repeats = []
        for number, case in enumerate(numbers):
            key = f"{case}/{step}"
            message = envelope.Message(
                id=ids.message_id(source, "bench", key, type_, 1),
                source=source,
                type=type_,
                subject=case,
                time_ms=_BASE_MS + step * 1_000,
                value=values[type_],
                source_key=key,
                digest=ids.content_digest(type_, key),
                correlation=case,
                attributes=attributes,
                **place,
            )
            if repeated and number % REPEAT_EVERY == 0:
                repeats.append(message)
            yield message
        yield from repeats


def distinct(cases: int, steps: int) -> int:
    """How many different messages `case_messages` yields."""
    return cases * (steps + 2)


def total(cases: int, steps: int) -> int:
    """How many messages it yields with its repeats."""
    return (cases + -(-cases // REPEAT_EVERY)) * (steps + 2)


def _value(type_: str) -> bytes:
    """A valid body, filled up with text."""
    contract = contracts.load().by_type(type_)
    body = samples.body(type_)
    if "opinion" in body:
        body["opinion"] = "同意" * (BODY_CHARACTERS // 2)
    return codec.encode(contract, validate.check(contract, body))


async def fill(settings: Settings, messages: Iterable[envelope.Message], partitions: int) -> None:
    """Put the messages on case.inbound, each case on its partition, in order."""
    left = iter(messages)
    while True:
        placed: dict[int, list[tuple[bytes, bytes, list[tuple[str, bytes]]]]] = {}
        for _, message in zip(range(_CHUNK_RECORDS), left, strict=False):
            key = message.subject.encode()
            placed.setdefault(partition_of(key, partitions), []).append(
                (key, message.value, envelope.to_headers(message))
            )
        if not placed:
            return
        await asyncio.gather(
            *(write_records(settings, "case.inbound", p, records) for p, records in placed.items())
        )
