"""The seal and the keys that notices are signed with: a folder of files, and a trial set of them.
The folder holds seal.esl, signer.pem and .key (SM2), pdf.pem and .key (EC), root.pem, picture.png; the
passphrase of the keys comes from the settings and lies nowhere beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from hub.notices.layout import Laid
from hub.notices.pdf import write_pdf
from hub.notices.picture import SIDE_MM
from hub.seals.book import SealBook
from signing.certificates import Certificate, parse_pem
from signing.errors import SigningError
from signing.issuing import Identity, issue, make_authority
from signing.keys import load_key, write_key
from signing.ofd.sealing import Place, seal_ofd, sign_with
from signing.ofd.writing import write_ofd
from signing.pdf.sealing import Stamp, sign_pdf
from signing.pem import certificate_pem
from signing.provider import Provider, SoftwareProvider
from signing.seals.checking import Circumstances, check_seal
from signing.seals.making import SealPlan, make_seal
from signing.seals.model import Picture
from signing.trust import Trust, check_path

TRIAL_DAYS: Final = 365
_A4_HEIGHT_MM: Final = 297


@dataclass(frozen=True)
class Sealer:
    """Makes the two forms of a notice. A blocking call of some ten milliseconds: not for the event loop."""

    seal: bytes
    signer: Identity
    pdf_signer: Identity
    picture: bytes
    trust: Trust
    provider: Provider
    book: SealBook | None = None

    def problem(self, now: datetime) -> str:
        """Why nothing can be sealed now (expired, revoked, reported lost), or an empty text. Raises
        SigningError when the seal book does not hold."""
        given = self._given(now)
        for step in check_seal(self.seal, given).steps:
            if step.outcome in ("failed", "unknown"):
                return f"{step.zh} / {step.en} ({step.name})"
        for name, identity in (("signer.pem", self.signer), ("pdf.pem", self.pdf_signer)):
            path = check_path(identity.certificate, self.trust, self.provider, at=now, now=now)
            if not path.ok:
                return f"{name}: {path.zh} / {path.en}"
        return ""

    def _given(self, now: datetime) -> Circumstances:
        withdrawn = self.book.withdrawn() if self.book else None
        return Circumstances(self.trust, self.provider, now, withdrawn)

    def ofd(self, laid: Laid, now: datetime) -> bytes:
        """The sealed OFD. Raises SigningError: expired, lost or destroyed, not valid, not to be laid out."""
        given = self._given(now)
        place = Place(laid.seal_page, laid.seal_x_mm, laid.seal_y_mm)
        plain = write_ofd(laid.drawing, now.date())
        return seal_ofd(plain, self.seal, (place,), sign_with(self.seal, self.signer, given), given)

    def pdf(self, laid: Laid, now: datetime) -> bytes:
        """The signed PDF with the same picture at the same place. Raises SigningError."""
        half = SIDE_MM / 2
        bottom = _A4_HEIGHT_MM - laid.seal_y_mm - half
        stamp = Stamp(self.picture, laid.seal_page - 1, laid.seal_x_mm - half, bottom, SIDE_MM, SIDE_MM)
        plain = write_pdf(laid.drawing)
        return sign_pdf(plain, self.pdf_signer, self.provider, at=now, stamp=stamp, final=True)


def open_sealer(folder: Path, passphrase: bytes, book: SealBook | None = None) -> Sealer:
    """The folder's seal and keys; with the seal book a lost or destroyed seal seals nothing.
    Raises OSError, SigningError naming the file."""
    provider = SoftwareProvider()
    (root, *_) = parse_pem((folder / "root.pem").read_bytes())
    return Sealer(
        seal=(folder / "seal.esl").read_bytes(),
        signer=_identity(folder, "signer", passphrase, provider),
        pdf_signer=_identity(folder, "pdf", passphrase, provider),
        picture=(folder / "picture.png").read_bytes(),
        trust=Trust((root,)),
        provider=provider,
        book=book,
    )


def _identity(folder: Path, name: str, passphrase: bytes, provider: SoftwareProvider) -> Identity:
    (certificate, *_) = parse_pem((folder / f"{name}.pem").read_bytes())
    return Identity(certificate, load_key(folder / f"{name}.key", passphrase, provider))


def make_trial_folder(folder: Path, passphrase: bytes, name: str, picture: bytes, now: datetime) -> None:
    """A trial root, maker, signers and seal. Never for real notices: nobody licensed stands behind them.
    Raises FileExistsError rather than overwrite a key, SigningError."""
    provider = SoftwareProvider()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    start, end = now.astimezone(UTC) - timedelta(minutes=5), now.astimezone(UTC) + timedelta(days=TRIAL_DAYS)
    root_name = {"C": "CN", "CN": f"{name} 试用根 trial root"}
    root = make_authority(provider, provider.generate(), root_name, not_before=start, not_after=end)

    def certified(title: str, key_kind: str) -> Identity:
        key = provider.generate("SM2" if key_kind == "SM2" else "EC")
        subject = {"C": "CN", "CN": title}
        made: Certificate = issue(provider, root, key.public, subject, not_before=start, not_after=end)
        return Identity(made, key)

    maker = certified("试用制章者 trial maker", "SM2")
    signers = {"signer": certified(name, "SM2"), "pdf": certified(name, "EC")}
    plan = SealPlan(
        es_id=f"TRIAL{signers['signer'].certificate.serial % 10**9:09d}",
        type=1,
        name=name,
        vendor="govhub",
        signers=(signers["signer"].certificate,),
        picture=Picture("PNG", picture, SIDE_MM, SIDE_MM),
        created_at=start,
        valid_from=start,
        valid_until=end,
    )
    given = Circumstances(Trust((root.certificate,)), provider, now)
    seal = make_seal(plan, maker, given)
    if len(passphrase) == 0:
        raise SigningError("passphrase", "is missing")
    for title, identity in signers.items():
        write_key(folder / f"{title}.key", identity.key, passphrase)
        (folder / f"{title}.pem").write_bytes(certificate_pem(identity.certificate))
    (folder / "root.pem").write_bytes(certificate_pem(root.certificate))
    (folder / "picture.png").write_bytes(picture)
    (folder / "seal.esl").write_bytes(seal)
