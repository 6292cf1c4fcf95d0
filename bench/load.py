"""The messages every benchmark works on: case routing of design §3 (10 headers, bodies of about 600 bytes).
No timing here."""

import asyncio
from collections.abc import Iterator

from hub import directory, envelope, ids
from hub.config import Settings
from hub.kafka import partition_of, write_records
from schemas import codec, contracts, samples, validate

BODY_BYTES = 600
_BASE_MS = 1_700_000_000_000


def plain_item() -> tuple[str, str, str, str]:
    """An item without a credit query: code, a region, its owner and the owner's organisation code."""
    known = directory.load()
    for item in known.items.values():
        if item.credit == "none":
            region, owner = next(iter(item.owners.items()))
            return item.code, region, owner, known.members[owner].org_code
    raise LookupError("the directory has no item without a credit query")


def case_messages(cases: int, steps: int) -> Iterator[envelope.Message]:
    """Submissions of all cases, their acceptances, then `steps` process steps a case, interleaved over the
    cases."""
    item, region, owner, org = plain_item()
    values = {name: _value(name) for name in ("case.submitted", "case.accepted", "case.process_step")}
    numbers = [ids.case_number("platform", "bench", str(n)) for n in range(cases)]
    for step in range(steps + 2):
        type_ = ("case.submitted", "case.accepted")[step] if step < 2 else "case.process_step"
        source = "platform" if step == 0 else owner
        place = {"item": item, "region": region} if step == 0 else {"item": "", "region": ""}
        attributes = {"party": "p" * 32} if step == 0 else {"org": org}
        for case in numbers:
            key = f"{case}/{step}"
            yield envelope.Message(
                id=ids.message_id(source, "bench", key, type_, 1),
                source=source,
                type=type_,
                subject=case,
                time_ms=_BASE_MS + step * 1_000,
                value=values[type_],
                source_key=key,
                digest=ids.content_digest(type_, key),
                attributes=attributes,
                **place,
            )


def _value(type_: str) -> bytes:
    """A valid body, filled up to BODY_BYTES."""
    contract = contracts.load().by_type(type_)
    body = samples.body(type_)
    for name in ("opinion", "docNo"):
        if name in body and name == "opinion":
            body[name] = "同意" * 90
    return codec.encode(contract, validate.check(contract, body))


async def fill(settings: Settings, messages: list[envelope.Message], partitions: int) -> None:
    """Put the messages on case.inbound, each case on its partition."""
    placed: dict[int, list[tuple[bytes, bytes, list[tuple[str, bytes]]]]] = {}
    for message in messages:
        key = message.subject.encode()
        placed.setdefault(partition_of(key, partitions), []).append(
            (key, message.value, envelope.to_headers(message))
        )
    await asyncio.gather(
        *(write_records(settings, "case.inbound", p, records) for p, records in placed.items())
    )
