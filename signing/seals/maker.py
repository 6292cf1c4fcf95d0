"""Where a seal-making system (制章系统) is attached: one port, and the maker that works on this machine.
What comes back from any maker is compared with what was applied for; how a system elsewhere is reached is
its adapter's affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from signing.digest import sm3_hex
from signing.errors import SigningError
from signing.issuing import Identity
from signing.seals.checking import Circumstances, check_seal
from signing.seals.making import SealPlan, make_seal
from signing.seals.model import STANDARDS, Seal, SignerDigest
from signing.seals.reading import parse_seal

Withdrawal = Literal["lost", "replaced", "destroyed"]


class SealMaker(Protocol):
    """A seal-making system. Both calls are idempotent by the seal's number: asked again it answers the same.
    They raise SigningError when the system refuses, and what their transport raises when it is away."""

    async def make(self, plan: SealPlan) -> bytes:
        """The made seal in DER."""
        ...

    async def withdraw(self, es_id: str, kind: Withdrawal, at: datetime, reason: str) -> None:
        """Tell the system that a seal must not sign any more."""
        ...


@dataclass(frozen=True, slots=True)
class LocalMaker:
    """Making with a key of our own: for closed networks, tests and demonstrations. It keeps no list."""

    maker: Identity
    given: Circumstances

    async def make(self, plan: SealPlan) -> bytes:
        return make_seal(plan, self.maker, self.given)

    async def withdraw(self, es_id: str, kind: Withdrawal, at: datetime, reason: str) -> None:
        """Nothing to tell: the book itself is the list."""


def accept_made(data: bytes, plan: SealPlan, given: Circumstances) -> Seal:
    """The seal that a maker returned, when it is valid at its beginning and says what was applied for.
    Raises SigningError naming the first difference."""
    report = check_seal(data, given, at=plan.valid_from)
    bad = next((step for step in report.steps if step.outcome in ("failed", "unknown")), None)
    if bad is not None:
        raise SigningError(
            f"made seal: {bad.name}", bad.en, STANDARDS[plan.version], zh=f"制成的印章无效：{bad.zh}"
        )
    seal = parse_seal(data)
    applied: dict[str, tuple[object, object]] = {
        "esID": (seal.es_id, plan.es_id),
        "version": (seal.version, plan.version),
        "type": (seal.type, plan.type),
        "name": (seal.name, plan.name),
        "validStart": (seal.valid_from, plan.valid_from),
        "validEnd": (seal.valid_until, plan.valid_until),
        "picture": (seal.picture, plan.picture),
        "certList": (_signers(seal), sorted(c.fingerprint for c in plan.signers)),
    }
    for name, (made, asked) in applied.items():
        if made != asked:
            raise SigningError(
                f"made seal: {name}",
                "is not what was applied for",
                STANDARDS[plan.version],
                zh=f"制成的印章与申请不符：{name}",
            )
    return seal


def _signers(seal: Seal) -> list[str]:
    """SM3 of every certificate the seal names, sorted."""
    return sorted(
        entry.value.hex() if isinstance(entry, SignerDigest) else sm3_hex(entry) for entry in seal.signers
    )
