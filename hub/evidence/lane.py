"""The work on one evidence lane: both ledgers of one partition read in order, leaves gathered, a root signed
when an interval is full or old. One transaction an interval; signing and stamping stay outside it.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from hub.config import Settings
from hub.errors import LaneStopped
from hub.evidence.leaves import (
    LEDGERS,
    ROUTED,
    Book,
    ChainBroken,
    Interval,
    LedgerLane,
    SignedRoot,
    parts_of,
    stamped_bytes,
)
from hub.evidence.stamps import StampAway, Stamper
from hub.kafka import Output
from hub.lanes.lane import Lane
from signing.evidence import NO_STATEMENT
from signing.issuing import Identity
from signing.provider import Provider

log = structlog.get_logger()

LEAVES: Final = "evidence.leaves"
ROOTS: Final = "evidence.roots"
_BOOK: Final = b"b"
_STAMP_RETRY_S: Final = 2.0
_NEW: Final = Book(0, NO_STATEMENT, b"")


class EvidenceStats(msgspec.Struct):
    """What the console and /metrics show of a lane. trouble: why roots are late, "" when they are not."""

    leaves: int = 0
    roots: int = 0
    trouble: str = ""


class Signer(msgspec.Struct, frozen=True):
    """Who signs roots, and who stamps them."""

    provider: Provider
    identity: Identity
    stamper: Stamper

    async def sign(self, statement: bytes) -> SignedRoot:
        """Raises StampAway."""
        signature = self.provider.sign(self.identity.key, statement)
        token = await self.stamper.stamp(stamped_bytes(statement, signature))
        return SignedRoot(
            statement=statement.decode(),
            signature=signature,
            certificate=self.identity.certificate.raw,
            timestamp=token,
        )


class EvidenceLane:
    """Gathers and signs on one open lane. Opened and closed by its owner (hub/evidence/role.py)."""

    def __init__(
        self,
        settings: Settings,
        lane: Lane,
        signer: Signer,
        stats: EvidenceStats,
        signed: Callable[[SignedRoot], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._lane = lane
        self._signer = signer
        self._stats = stats
        self._signed = signed
        partition = lane.spec.partition
        names = [f"{topic}-{partition}" for topic in LEDGERS]
        stored = lane.get_many([_BOOK + name.encode() for name in names])
        self._ledgers = {
            settings.topic(topic): LedgerLane(
                name,
                msgspec.msgpack.decode(raw, type=Book) if raw is not None else _NEW,
                chained=topic == ROUTED,
            )
            for topic, name, raw in zip(LEDGERS, names, stored, strict=True)
        }
        self._since: dict[str, float] = {}

    async def run(self) -> None:
        """Work until cancelled. Raises what Lane.commit raises, and LaneStopped when a ledger is not what the
        router wrote: somebody changed it, and nothing more is signed over it."""
        settings = self._settings
        while True:
            full = any(
                ledger.waiting >= 2 * settings.evidence_leaves_max for ledger in self._ledgers.values()
            )
            if full and self._stats.trouble:
                await asyncio.sleep(_STAMP_RETRY_S)
            else:
                await self._read()
            for ledger in self._ledgers.values():
                if self._due(ledger):
                    await self._close(ledger)

    async def _read(self) -> None:
        records = await self._lane.poll(self._settings.poll_wait_ms, self._settings.evidence_leaves_max)
        for record in records:
            ledger = self._ledgers[record.topic]
            self._since.setdefault(ledger.name, time.monotonic())
            try:
                ledger.take(record)
            except ChainBroken as error:
                raise LaneStopped(
                    f"台账与路由所写不符，不再签发 / the ledger was changed, nothing more is signed: {error}"
                ) from error
        await asyncio.sleep(0)

    def _due(self, ledger: LedgerLane) -> bool:
        if ledger.waiting >= self._settings.evidence_leaves_max and not ledger.ready:
            ledger.take_unchained()
        age_s = time.monotonic() - self._since.get(ledger.name, time.monotonic())
        old = age_s * 1000 >= self._settings.evidence_interval_ms
        return bool(ledger.ready) and (old or ledger.ready >= self._settings.evidence_leaves_max)

    async def _close(self, ledger: LedgerLane) -> None:
        interval, book = ledger.close(int(time.time() * 1000))
        try:
            root = await self._signer.sign(interval.statement.to_bytes())
        except StampAway as error:
            # Evidence may come late; it may not come without its time.
            self._stats.trouble = f"时间戳服务不可用 / no time stamp: {error}"
            log.warning("evidence.no_stamp", lane=ledger.name, reason=str(error))
            await asyncio.sleep(_STAMP_RETRY_S)
            return
        changes = {_BOOK + ledger.name.encode(): msgspec.msgpack.encode(book)}
        await self._lane.commit(self._outputs(interval, root), changes, [interval.last])
        ledger.closed(book)
        self._since.pop(ledger.name, None)
        if ledger.waiting:
            self._since[ledger.name] = time.monotonic()
        self._stats.leaves += interval.statement.size
        self._stats.roots += 1
        self._stats.trouble = ""
        self._signed(root)

    def _outputs(self, interval: Interval, root: SignedRoot) -> dict[tuple[str, int], list[Output]]:
        key, partition = interval.statement.lane.encode(), self._lane.spec.partition
        at_ms = interval.statement.closed_at_ms
        return {
            (self._settings.topic(LEAVES), partition): [
                (key, part, [], at_ms) for part in parts_of(interval)
            ],
            (self._settings.topic(ROOTS), partition): [(key, msgspec.json.encode(root), [], at_ms)],
        }
