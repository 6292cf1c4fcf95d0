"""`govhub ofd show|sign|verify`: names, options and exit codes. 0 = valid or done, 1 = not.
What they do is in signing/ofd and hub/seals; nothing here decides anything.
"""

from __future__ import annotations

from pathlib import Path

import click

from hub.cli_seal_options import (
    BOOK,
    BY,
    FILE,
    IDENTITY,
    JSON,
    NEW_FILE,
    TRUST,
    book_at,
    circumstances,
    identity,
    leave,
    print_data,
    read_bounded,
    told,
    write_new,
)
from signing.ofd.package import PACKAGE_BYTES_MAX
from signing.seals.model import SEAL_BYTES_MAX


@click.group("ofd")
def ofd() -> None:
    """版式文档：查看、签章、验证 / OFD documents: show, seal, verify."""


@ofd.command("show")
@click.argument("file", type=FILE)
@JSON
def show(file: Path, as_json: bool) -> None:
    """显示文档与签章的内容，不作判断 / what a document says of itself; nothing is judged."""
    from hub.seals.show_ofd import ofd_data, ofd_lines
    from signing.ofd.reading import read_ofd

    with told():
        found = read_ofd(read_bounded(file, PACKAGE_BYTES_MAX))
    lines = [*ofd_lines(found), "（仅解析，未验证 / parsed only, not judged）"]
    print_data(ofd_data(found), as_json, lines)


@ofd.command("verify")
@click.argument("file", type=FILE)
@TRUST
@BOOK
@click.option(
    "--at-signing", is_flag=True, help="以签章时刻的有效性为退出码 / exit by validity at signing time"
)
@JSON
def verify(
    file: Path,
    anchors: tuple[Path, ...],
    chain: tuple[Path, ...],
    crls: tuple[Path, ...],
    folder: Path | None,
    at_signing: bool,
    as_json: bool,
) -> None:
    """逐步验证每枚签章，全部有效才返回 0 / every step of every seal by name; exit 0 only for valid."""
    from hub.seals.show_ofd import verdict_data, verdict_lines
    from signing.ofd.checking import check_ofd

    with told():
        data = read_bounded(file, PACKAGE_BYTES_MAX)
        withdrawn = book_at(folder).read()[1].withdrawn() if folder else None
        verdict = check_ofd(data, circumstances(anchors, chain, crls, withdrawn))
    print_data(verdict_data(verdict), as_json, verdict_lines(verdict))
    leave(verdict.valid_at_signing if at_signing else verdict.valid)


@ofd.command("sign")
@click.argument("file", type=FILE)
@click.option("--seal", "seal_file", required=True, type=FILE, help="印章 / the seal to set")
@click.option("--out", required=True, type=NEW_FILE, help="签章后的文档写入 / where the sealed document goes")
@click.option("--page", type=click.IntRange(1, 5_000), default=1, show_default=True, help="页码 / page")
@click.option(
    "--x-mm", type=float, default=150.0, show_default=True, help="印章中心距页左 / centre from the left"
)
@click.option(
    "--y-mm", type=float, default=240.0, show_default=True, help="印章中心距页上 / centre from the top"
)
@IDENTITY
@TRUST
@BY
@BOOK
def sign_(
    file: Path,
    seal_file: Path,
    out: Path,
    page: int,
    x_mm: float,
    y_mm: float,
    cert: Path,
    key: Path,
    passphrase_file: Path | None,
    anchors: tuple[Path, ...],
    chain: tuple[Path, ...],
    crls: tuple[Path, ...],
    by: str,
    folder: Path | None,
) -> None:
    """加盖印章；已有的签章保持不变 / set a seal; what is there, seals too, stays byte for byte."""
    from hub.seals.acts import sign
    from signing.ofd.sealing import Place, seal_ofd

    with told():
        given = circumstances(anchors, chain, crls)
        signer = identity(cert, key, passphrase_file)
        seal = read_bounded(seal_file, SEAL_BYTES_MAX)
        book = book_at(folder)
        sealed = seal_ofd(
            read_bounded(file, PACKAGE_BYTES_MAX),
            seal,
            (Place(page, x_mm, y_mm),),
            lambda original, about: sign(book, seal, signer, by, original, about, given),
            given,
        )
        write_new(out, sealed)
    click.echo(f"已签章 / sealed: {out}（{len(sealed)} 字节 / bytes）")
