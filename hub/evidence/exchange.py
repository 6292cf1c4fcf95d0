"""Roots are exchanged with peers, so that history cannot be rewritten alone: from time to time one anchor
over the newest roots of all lanes goes to every member that wants it, and what comes back signed is kept.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
import msgspec
import structlog

from hub import directory
from hub.books.closing import commit_alone
from hub.config import Settings
from hub.errors import BrokerAway, Fenced, UnknownOutcome
from hub.evidence.document import Countersigned
from hub.evidence.lane import ROOTS, Signer
from hub.evidence.leaves import SignedRoot
from hub.evidence.stamps import StampAway
from hub.kafka import Output, TopicPartition, open_reader
from signing.anchors import NO_ANCHOR, Anchor, Countersignature
from signing.certificates import parse_certificate
from signing.errors import SigningError
from signing.evidence import RootStatement
from signing.provider import Provider

log = structlog.get_logger()

ANCHORS: Final = "evidence.anchors"
PATH: Final = "/hub/evidence/anchors"
_ANSWER_BYTES_MAX: Final = 64 * 1024
_TIMEOUT_S: Final = 15.0


class KeptAnchor(msgspec.Struct, frozen=True, kw_only=True):
    """One record of evidence.anchors. positions: next offset of evidence.roots by partition."""

    anchor: SignedRoot
    countersigned: list[Countersigned]
    positions: dict[str, int]


class PeerRefuses(Exception):
    """A peer holds another history than ours, or cannot take the anchor."""


def peers(settings: Settings, env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Members that want our roots -> where they take them (`HUB_MEMBER_<ID>_EVIDENCE_URL`)."""
    known = directory.load(settings.directory_dir).members
    found = {}
    for id_, member in known.items():
        url = env.get(f"HUB_MEMBER_{id_.upper().replace('-', '_')}_EVIDENCE_URL", "")
        if member.evidence_roots and url:
            found[id_] = url.rstrip("/")
        elif member.evidence_roots:
            log.warning("evidence.peer_without_address", member=id_)
    return found


class Exchange:
    """One process's exchange; only the owner of the first evidence lane works, and only one can commit."""

    def __init__(self, settings: Settings, signer: Signer, peers: Mapping[str, str]) -> None:
        self._settings = settings
        self._signer = signer
        self._peers = dict(peers)
        self.trouble = ""

    async def run(self, mine: Callable[[], bool]) -> None:
        """Until cancelled."""
        while self._peers:
            await asyncio.sleep(self._settings.evidence_exchange_ms / 1000)
            try:
                if mine():
                    await self.once()
            except (BrokerAway, Fenced, UnknownOutcome, StampAway) as error:
                log.warning("evidence.not_exchanged", reason=f"{type(error).__name__}: {error}")

    async def once(self) -> KeptAnchor | None:
        """One anchor over what is new; None when nothing is. Raises StampAway, Fenced, BrokerAway."""
        last = await self._last()
        before = None if last is None else Anchor.from_bytes(last.anchor.statement.encode())
        lanes, positions = await self._newest({} if last is None else last.positions)
        if not lanes:
            return None
        known = {} if before is None else dict(before.lanes)
        anchor = Anchor(
            hub=self._signer.identity.certificate.subject_text,
            number=0 if before is None else before.number + 1,
            at_ms=max(int(time.time() * 1000), 0 if before is None else before.at_ms),
            previous=NO_ANCHOR if before is None else before.digest(),
            lanes=known | lanes,
        )
        signed = await self._signer.sign(anchor.to_bytes())
        kept = KeptAnchor(anchor=signed, countersigned=await self._send(anchor, signed), positions=positions)
        now_ms = int(time.time() * 1000)
        outputs: list[Output] = [(b"%d" % anchor.number, msgspec.json.encode(kept), [], now_ms)]
        await commit_alone(self._settings, ANCHORS, {(self._settings.topic(ANCHORS), 0): outputs})
        return kept

    async def _last(self) -> KeptAnchor | None:
        place = TopicPartition(self._settings.topic(ANCHORS), 0)
        async with open_reader(self._settings) as reader:
            start = (await reader.start_offsets([place]))[place]
            end = (await reader.stable_offsets([place]))[place]
            found = None
            # Markers occupy offsets: a little further back than the last record.
            async for records in reader.read_to({place: max(start, end - 8)}, {place: end}):
                found = msgspec.json.decode(records[-1].value, type=KeptAnchor)
            return found

    async def _newest(
        self, positions: Mapping[str, int]
    ) -> tuple[dict[str, tuple[int, str]], dict[str, int]]:
        """The newest statement of each lane that has a new one, and where evidence.roots was read to."""
        lanes: dict[str, tuple[int, str]] = {}
        async with open_reader(self._settings) as reader:
            places = await reader.partitions([self._settings.topic(ROOTS)])
            starts = await reader.start_offsets(places)
            ends = await reader.stable_offsets(places)
            first = {
                place: max(start, positions.get(str(place.partition), 0)) for place, start in starts.items()
            }
            async for records in reader.read_to(first, ends):
                for record in records:
                    root = msgspec.json.decode(record.value, type=SignedRoot)
                    statement = RootStatement.from_bytes(root.statement.encode())
                    lanes[statement.lane] = (statement.sequence, statement.digest().hex())
        return lanes, {str(place.partition): end for place, end in ends.items()}

    async def _send(self, anchor: Anchor, signed: SignedRoot) -> list[Countersigned]:
        found, refused = [], []
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as http:
            for peer, url in self._peers.items():
                try:
                    found.append(await self._one(http, peer, url, anchor, signed))
                except PeerRefuses as error:
                    log.error("evidence.peer_refuses", member=peer, reason=str(error))
                    refused.append(f"{peer}: {error}")
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    log.warning("evidence.peer_away", member=peer, reason=repr(error))
        self.trouble = "；".join(refused)
        return found

    async def _one(
        self, http: aiohttp.ClientSession, peer: str, url: str, anchor: Anchor, signed: SignedRoot
    ) -> Countersigned:
        body = msgspec.json.encode(signed)
        async with http.post(url + PATH, data=body, headers={"Content-Type": "application/json"}) as response:
            raw = await response.content.read(_ANSWER_BYTES_MAX)
            if response.status >= 500:
                raise aiohttp.ClientError(f"HTTP {response.status}")
            if response.status != 200:
                raise PeerRefuses(f"HTTP {response.status} {raw[:500].decode('utf-8', 'replace')}")
        try:
            given = msgspec.json.decode(raw, type=Countersigned)
        except msgspec.DecodeError as bad:
            raise PeerRefuses(f"答复无法读取 / the answer cannot be read: {bad}") from bad
        if not countersigned(given, anchor, self._signer.provider) or given.peer != peer:
            raise PeerRefuses("会签不符 / the countersignature does not fit")
        return given


def countersigned(given: Countersigned, anchor: Anchor, provider: Provider) -> bool:
    """Whether the peer's signature is over this anchor. Whose certificate it is, is not asked."""
    try:
        said = Countersignature.from_bytes(given.text.encode())
        certificate = parse_certificate(given.certificate)
        return (
            said.anchor == anchor.digest()
            and said.peer == given.peer
            and provider.verify(certificate.public_key, given.text.encode(), given.signature)
        )
    except SigningError:
        return False
