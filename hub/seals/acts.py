"""What a person does with a seal, step by step: each act is allowed by the book, done, and written down.
No option, prompt or output text of the command line lives here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hub.seals.book import SealBook
from signing.certificates import Certificate, parse_certificate
from signing.digest import sm3_hex
from signing.errors import SigningError
from signing.issuing import Identity
from signing.seals.checking import Circumstances
from signing.seals.lifecycle import STAGES_ZH, STANDARD, Entry, SealLife, Stage
from signing.seals.maker import SealMaker, accept_made
from signing.seals.making import SealPlan, seal_document
from signing.seals.model import Picture, Version
from signing.seals.reading import parse_seal


@dataclass(frozen=True, slots=True)
class Wish:
    """What an applicant asks for. `renews` is the number of the seal in use that this one will replace."""

    es_id: str
    name: str
    holder: str
    type: int
    version: Version
    vendor: str
    signers: Sequence[Certificate]
    picture: Picture
    valid_from: datetime
    valid_until: datetime
    renews: str = ""


def apply(book: SealBook, wish: Wish, by: str, at: datetime) -> Entry:
    """申请: keep the picture and the certificates by digest and write the application down."""
    if not wish.valid_from < wish.valid_until:
        raise SigningError("valid_until", "must be after valid_from", STANDARD)
    detail: dict[str, object] = {
        "name": wish.name,
        "holder": wish.holder,
        "type": wish.type,
        "version": wish.version,
        "vendor": wish.vendor,
        "signers": [book.keep(certificate.raw) for certificate in wish.signers],
        "picture": book.keep(wish.picture.data),
        "picture_kind": wish.picture.kind,
        "width_mm": wish.picture.width_mm,
        "height_mm": wish.picture.height_mm,
        "valid_from": wish.valid_from.isoformat(),
        "valid_until": wish.valid_until.isoformat(),
    }
    if wish.renews:
        detail["renews"] = wish.renews
    return book.add("apply", wish.es_id, by, at, detail)


def plan_of(book: SealBook, life: SealLife) -> SealPlan:
    """The plan that an application says. Raises SigningError when an attachment is missing or was changed."""
    said: Mapping[str, object] = life.application
    signers, version = said.get("signers"), said.get("version")
    if not isinstance(signers, list) or version not in (1, 4):
        raise SigningError("application", "names no signers or an unknown version", STANDARD)
    valid_from = datetime.fromisoformat(str(said["valid_from"]))
    return SealPlan(
        es_id=life.es_id,
        type=_whole(said, "type"),
        name=str(said["name"]),
        vendor=str(said["vendor"]),
        signers=tuple(parse_certificate(book.kept(str(digest))) for digest in signers),
        picture=Picture(
            str(said["picture_kind"]),
            book.kept(str(said["picture"])),
            _whole(said, "width_mm"),
            _whole(said, "height_mm"),
        ),
        created_at=valid_from,
        valid_from=valid_from,
        valid_until=datetime.fromisoformat(str(said["valid_until"])),
        version=1 if version == 1 else 4,
    )


def _whole(said: Mapping[str, object], name: str) -> int:
    value = said.get(name)
    if not isinstance(value, int):
        raise SigningError(f"application.{name}", "must be a whole number", STANDARD)
    return value


async def make(
    book: SealBook, es_id: str, by: str, at: datetime, maker: SealMaker, given: Circumstances
) -> bytes:
    """制作: only an approved application is sent to the maker, and only what was applied for is taken."""
    life = _must_be(book, es_id, "approved")
    plan = plan_of(book, life)
    seal = await maker.make(plan)
    accept_made(seal, plan, given)
    book.add("make", es_id, by, at, {"seal": book.keep(seal)})
    return seal


async def tell(book: SealBook, es_id: str, maker: SealMaker) -> Stage:
    """Tell the seal-making system that a seal was lost, replaced or destroyed, as the book has it. May be
    repeated until it answers: in force here is what the book says, told or not."""
    life = book.life(es_id)
    if life.stage not in ("lost", "replaced", "destroyed"):
        raise _not(es_id, life.stage, "lost")
    act = {"lost": "lose", "destroyed": "destroy"}.get(life.stage, "issue")
    lines = [line for line in book.read()[0] if line.es_id == es_id and line.act == act]
    reason = str(lines[-1].detail.get("reason", "")) if lines else ""
    await maker.withdraw(es_id, life.stage, life.since, reason)
    return life.stage


def sign(
    book: SealBook, seal: bytes, signer: Identity, by: str, document: bytes, about: str, given: Circumstances
) -> bytes:
    """签章: only a seal in use, byte for byte as made; written down before the signature is given out."""
    es_id = parse_seal(seal).es_id
    life = _must_be(book, es_id, "issued")
    if life.seal != sm3_hex(seal):
        raise SigningError(
            "seal", f"is not the one made for {es_id}", STANDARD, zh=f"不是为 {es_id} 制作的印章"
        )
    withdrawn = book.read()[1].withdrawn()
    signature = seal_document(seal, signer, document, about, replace(given, withdrawn=withdrawn))
    detail = {"document": sm3_hex(document), "signer": signer.certificate.fingerprint, "about": about}
    book.add("sign", es_id, by, given.now, detail)
    return signature


def _must_be(book: SealBook, es_id: str, stage: Stage) -> SealLife:
    life = book.life(es_id)
    if life.stage != stage:
        raise _not(es_id, life.stage, stage)
    return life


def _not(es_id: str, found: Stage, wanted: Stage) -> SigningError:
    return SigningError(
        "stage",
        f"{es_id} is {found}, must be {wanted}",
        STANDARD,
        zh=f"印章 {es_id} {STAGES_ZH[found]}，须为{STAGES_ZH[wanted]}",
    )
