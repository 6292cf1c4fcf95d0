"""What the seal commands share: options, reading files within bounds, one line for a refusal.
No command stands here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from signing.certificates import Certificate, parse_certificate, parse_crl, parse_pem
from signing.errors import SigningError
from signing.issuing import Identity
from signing.keys import load_key
from signing.provider import SoftwareProvider
from signing.seals.checking import Circumstances
from signing.seals.maker import SealMaker
from signing.seals.model import SEAL_BYTES_MAX
from signing.trust import Trust

PICTURE_BYTES_MAX = 2 * 1024 * 1024
DOCUMENT_BYTES_MAX = 256 * 1024 * 1024
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)


def options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def put(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return put


BOOK = click.option(
    "--book",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="印章簿目录，默认在数据目录下 / the seal book, by default in the data directory",
)
BY = click.option("--by", required=True, help="经办人，记入印章簿 / who acts; recorded")
JSON = click.option("--json", "as_json", is_flag=True, help="输出 JSON / print JSON")
REASON = click.option("--reason", required=True, help="原因，记入印章簿 / why; recorded")
TRUST = options(
    click.option(
        "--anchor", "anchors", multiple=True, type=FILE, help="信任锚证书 / trusted root certificates (PEM)"
    ),
    click.option("--chain", multiple=True, type=FILE, help="中间证书 / intermediate certificates (PEM)"),
    click.option("--crl", "crls", multiple=True, type=FILE, help="吊销列表 / revocation list (DER)"),
)


def identity_options(required: bool) -> Callable[[Any], Any]:
    """Certificate and key of who signs."""
    return options(
        click.option("--cert", required=required, type=FILE, help="证书 / certificate (PEM)"),
        click.option("--key", required=required, type=FILE, help="加密的私钥文件 / encrypted key file"),
        click.option(
            "--passphrase-file",
            type=FILE,
            help="口令文件；不给则提示输入 / file with the key's passphrase, else asked",
        ),
    )


IDENTITY = identity_options(required=True)
MAKER = options(
    click.option("--maker", "url", default="", help="制章系统地址 / address of the seal-making system"),
    click.option(
        "--maker-client", "client", default="govhub", show_default=True, help="本方标识 / who we are"
    ),
    click.option("--maker-key-file", "client_key", type=FILE, help="共享密钥文件 / file with the shared key"),
)


@contextmanager
def told() -> Any:
    """A refusal is one line and exit code 1, never a trace."""
    try:
        yield
    except SigningError as bad:
        raise click.ClickException(f"{bad.zh} / {bad.en}") from bad
    except OSError as bad:
        raise click.ClickException(f"{bad.filename}: {bad.strerror}") from bad


def book_at(folder: Path | None) -> Any:
    from hub.seals.book import SealBook

    return SealBook(folder or Path(os.environ.get("HUB_DATA_DIR") or "data") / "seals")


def now_utc() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def read_bounded(path: Path, bytes_max: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise SigningError(path.name, f"longer than {bytes_max} bytes")
    return data


def certificates(paths: Iterable[Path]) -> tuple[Certificate, ...]:
    found: list[Certificate] = []
    for path in paths:
        data = read_bounded(path, SEAL_BYTES_MAX)
        found += [parse_certificate(data)] if data[:1] == b"\x30" else parse_pem(data)
    return tuple(found)


def circumstances(
    anchors: tuple[Path, ...],
    chain: tuple[Path, ...],
    crls: tuple[Path, ...],
    withdrawn: dict[str, datetime] | None = None,
) -> Circumstances:
    trust = Trust(
        certificates(anchors),
        certificates(chain),
        tuple(parse_crl(read_bounded(path, SEAL_BYTES_MAX)) for path in crls),
    )
    return Circumstances(trust, SoftwareProvider(), now_utc(), withdrawn)


def identity(cert: Path, key: Path, passphrase_file: Path | None) -> Identity:
    if passphrase_file:
        passphrase = read_bounded(passphrase_file, 1024).strip()
    else:
        passphrase = click.prompt(f"{key.name} 口令 / passphrase", hide_input=True).encode()
    (certificate, *_) = certificates([cert])
    return Identity(certificate, load_key(key, passphrase, SoftwareProvider()))


def print_data(data: dict[str, Any], as_json: bool, lines: Iterable[str]) -> None:
    click.echo(json.dumps(data, ensure_ascii=False, indent=2) if as_json else "\n".join(lines))


def write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)


def leave(good: bool) -> None:
    raise SystemExit(0 if good else 1)


def maker_at(url: str, client: str, client_key: Path | None) -> SealMaker:
    """The seal-making system at an address."""
    from adapters.rest.seal_maker import HttpSealMaker

    if client_key is None:
        raise SigningError("maker-key-file", "is missing", zh="缺少共享密钥文件 --maker-key-file")
    return HttpSealMaker(url, client, read_bounded(client_key, 1024).strip())
