"""Who signs evidence: key and certificates in one directory, read once. Also makes such directories for
demonstrations, tests and closed networks; a province's real certificates come from its licensed authority.

Layout: signer.key, signer.crt; tsa.key, tsa.crt (only where the hub stamps by itself); anchors/*.crt.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from hub.config import Settings, SettingsError
from signing.certificates import Certificate, parse_pem
from signing.errors import SigningError
from signing.issuing import Identity, issue, make_authority
from signing.keys import load_key, write_key
from signing.pem import certificate_pem
from signing.provider import SoftwareProvider
from signing.timestamps import USAGE_TIME_STAMPING
from signing.trust import Trust

SIGNER: Final = "signer"
STAMPER: Final = "tsa"
ANCHORS: Final = "anchors"
ANCHORS_MAX: Final = 64
_VALID_DAYS: Final = 3_650
_BACKDATED: Final = timedelta(minutes=5)


def load_identity(directory: Path, name: str, passphrase: bytes, provider: SoftwareProvider) -> Identity:
    """`<name>.key` and `<name>.crt`. Raises SettingsError naming the file: missing, unreadable, wrong
    passphrase, or a certificate of another key."""
    key_file, certificate_file = directory / f"{name}.key", directory / f"{name}.crt"
    try:
        certificate = parse_pem(certificate_file.read_bytes())[0]
        key = load_key(key_file, passphrase, provider)
    except (OSError, SigningError, IndexError) as error:
        raise SettingsError(f"HUB_EVIDENCE_DIR: {directory / name}.key/.crt: {error}") from error
    if certificate.spki != key.public.spki:
        raise SettingsError(
            f"HUB_EVIDENCE_DIR: {certificate_file}: 证书与密钥不配 / the certificate is another key's"
        )
    return Identity(certificate, key)


def load_signer(settings: Settings, provider: SoftwareProvider) -> Identity:
    """The hub's evidence identity. Raises SettingsError."""
    if settings.evidence_dir is None:
        raise SettingsError("缺少环境变量 / missing environment variable: HUB_EVIDENCE_DIR")
    return load_identity(settings.evidence_dir, SIGNER, settings.evidence_passphrase, provider)


def read_anchors(directory: Path) -> Trust:
    """Every certificate of the *.crt, *.pem and *.cer files of a directory. Raises SigningError, OSError."""
    anchors: list[Certificate] = []
    for path in sorted(directory.iterdir()):
        if path.suffix in (".crt", ".pem", ".cer"):
            anchors += parse_pem(path.read_bytes())
    if not 0 < len(anchors) <= ANCHORS_MAX:
        raise SigningError("anchors", f"the directory must hold 1 to {ANCHORS_MAX} certificates")
    return Trust(tuple(anchors))


def make_directory(
    directory: Path,
    passphrase: bytes,
    hub_name: str,
    others: Iterable[str] = (),
    *,
    now: datetime | None = None,
) -> None:
    """A new directory: an authority, whose key is thrown away at once, and under it a signer, a time-stamp
    service and one identity for each of `others` (members that sign). Files that exist are never overwritten
    (FileExistsError)."""
    provider = SoftwareProvider()
    begin = (now or datetime.now(UTC)).replace(microsecond=0) - _BACKDATED
    end = begin + timedelta(days=_VALID_DAYS)
    name = {"C": "CN", "O": hub_name, "CN": f"{hub_name} 证据根"}
    root = make_authority(provider, provider.generate(), name, not_before=begin, not_after=end)
    (directory / ANCHORS).mkdir(parents=True, exist_ok=True)
    _write_certificate(directory / ANCHORS / "root.crt", root.certificate)
    for who in (SIGNER, STAMPER, *others):
        key = provider.generate()
        organisation = hub_name if who in (SIGNER, STAMPER) else who
        certificate = issue(
            provider,
            root,
            key.public,
            {"C": "CN", "O": organisation, "CN": f"{hub_name} {who}"},
            not_before=begin,
            not_after=end,
            extra=[USAGE_TIME_STAMPING] if who == STAMPER else [],
        )
        write_key(directory / f"{who}.key", key, passphrase)
        _write_certificate(directory / f"{who}.crt", certificate)


def _write_certificate(path: Path, certificate: Certificate) -> None:
    with path.open("xb") as file:
        file.write(certificate_pem(certificate))
