"""The simulated nation keeps the hub's anchors: it takes only what follows, and signs the same twice."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from aiohttp import web

from hub.evidence.document import Countersigned
from hub.evidence.exchange import countersigned
from signing.anchors import NO_ANCHOR, Anchor
from stubs.storage import Storage
from stubs.witness import Witness
from tests.evidence_files import NOW_MS, PROVIDER, identity

FIRST = Anchor("hub", 0, NOW_MS, NO_ANCHOR, {"case.routed-0": (4, "aa" * 32)})
SECOND = Anchor("hub", 1, NOW_MS, FIRST.digest(), {"case.routed-0": (6, "bb" * 32)})


class Asked:
    """As much of a request as the witness looks at."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        return self._body


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    storage = Storage(tmp_path)
    yield Witness("nation", identity("nation"), storage)
    storage.close()


async def show(witness: Witness, anchor: Anchor, signer: str = "signer") -> tuple[int, Any]:
    text = anchor.to_bytes()
    who = identity(signer)
    body = {
        "statement": text.decode(),
        "signature": PROVIDER.sign(who.key, text),
        "certificate": who.certificate.raw,
    }
    response = await witness.take(cast(web.Request, Asked(msgspec.json.encode(body))))
    assert isinstance(response.body, bytes)
    return response.status, json.loads(response.body)


async def test_g7_what_follows_is_kept_and_countersigned(witness: Witness) -> None:
    for anchor in (FIRST, SECOND):
        status, given = await show(witness, anchor)
        assert status == 200
        assert countersigned(msgspec.convert(given, Countersigned), anchor, PROVIDER)
    _, again = await show(witness, FIRST)
    assert again["text"] == (await show(witness, FIRST))[1]["text"], (
        "the same moment, however often it is asked"
    )


@pytest.mark.parametrize(
    "other",
    [
        replace(SECOND, previous="c" * 64),
        replace(SECOND, lanes={"case.routed-0": (3, "bb" * 32)}),
        replace(SECOND, lanes={"case.routed-0": (4, "bb" * 32)}),
        replace(SECOND, lanes={}),
        replace(FIRST, lanes={"case.routed-0": (4, "cc" * 32)}),
        replace(SECOND, number=2, lanes={"case.routed-0": (3, "bb" * 32)}),
    ],
)
async def test_g7_another_history_is_refused(witness: Witness, other: Anchor) -> None:
    await show(witness, FIRST)
    status, given = await show(witness, other)
    assert status == 409, given


async def test_g7_who_signs_must_stay_the_same_and_nonsense_is_refused(witness: Witness) -> None:
    await show(witness, FIRST)
    assert (await show(witness, SECOND, "dept-a"))[0] == 409
    for body in (b"", b"{}", b'{"statement":"x","signature":"","certificate":""}'):
        assert (await witness.take(cast(web.Request, Asked(body)))).status == 400
