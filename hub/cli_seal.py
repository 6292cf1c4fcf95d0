"""`govhub seal show|verify|new|sign|trial`: names, options and exit codes. 0 = valid or done, 1 = not.
What they do is in hub/seals and signing/; nothing here decides anything.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from hub.cli_seal_book import BOOK_COMMANDS
from hub.cli_seal_options import (
    BOOK,
    BY,
    DOCUMENT_BYTES_MAX,
    FILE,
    IDENTITY,
    JSON,
    MAKER,
    NEW_FILE,
    TRUST,
    book_at,
    circumstances,
    identity,
    identity_options,
    leave,
    maker_at,
    now_utc,
    print_data,
    read_bounded,
    told,
    write_new,
)
from signing.errors import SigningError
from signing.provider import SoftwareProvider
from signing.seals.checking import Circumstances, check_seal, check_signature
from signing.seals.model import SEAL_BYTES_MAX


@click.group("seal")
def seal() -> None:
    """电子印章：申请、审批、制作、发放、签章、验证、挂失、销毁 / electronic seals and their life."""


@seal.command("show")
@click.argument("file", type=FILE)
@JSON
def show(file: Path, as_json: bool) -> None:
    """显示印章或签章的内容，不作判断 / what a seal or a seal signature says of itself; nothing is judged."""
    from hub.seals.show import lines_of, seal_data, signature_data
    from signing.seals.reading import parse_seal, parse_signature

    with told():
        data = read_bounded(file, 2 * SEAL_BYTES_MAX)
        try:
            shown = seal_data(parse_seal(data))
        except SigningError as no_seal:
            try:
                shown = signature_data(parse_signature(data))
            except SigningError as no_signature:
                raise no_seal if _looks_like_seal(data) else no_signature from no_seal
    print_data(shown, as_json, [*lines_of(shown), "（仅解析，未验证 / parsed only, not judged）"])


def _looks_like_seal(data: bytes) -> bool:
    """Both are a SEQUENCE of 4 or 2 elements; only a signature begins with a version number."""
    from signing import der

    try:
        first = der.children(der.children(der.parse(data, "file"))[0])[0]
    except (SigningError, IndexError):
        return True
    return first.tag != der.INTEGER


@seal.command("verify")
@click.argument("file", type=FILE)
@click.option("--document", type=FILE, help="被签原文 / the protected original")
@TRUST
@BOOK
@click.option(
    "--at-signing", is_flag=True, help="以签章时刻的有效性为退出码 / exit by validity at signing time"
)
@JSON
def verify(
    file: Path,
    document: Path | None,
    anchors: tuple[Path, ...],
    chain: tuple[Path, ...],
    crls: tuple[Path, ...],
    folder: Path | None,
    at_signing: bool,
    as_json: bool,
) -> None:
    """逐步验证印章、签章或 PDF 签名，有效才返回 0 / every step by name; exit 0 only for valid."""
    from hub.seals.show import judged_data, report_data, report_lines

    with told():
        data = read_bounded(file, DOCUMENT_BYTES_MAX if document is None else 2 * SEAL_BYTES_MAX)
        withdrawn = book_at(folder).read()[1].withdrawn() if folder else None
        given = circumstances(anchors, chain, crls, withdrawn)
        original = read_bounded(document, DOCUMENT_BYTES_MAX) if document else None
    if data.startswith(b"%PDF"):
        _verify_pdf(data, given, at_signing, as_json)
    elif _looks_like_seal(data):
        report = check_seal(data, given)
        print_data(
            {"kind": "seal", "valid": report.valid, "now": report_data(report)},
            as_json,
            report_lines(report, "印章 seal"),
        )
        leave(report.valid)
    else:
        judged = check_signature(data, given, original=original)
        good = judged.at_signing.valid if at_signing else judged.now.valid
        lines = [
            *report_lines(judged.at_signing, "签章时 at signing"),
            *report_lines(judged.now, "现在 now"),
        ]
        print_data({"kind": "signature", "valid": good, **judged_data(judged)}, as_json, lines)
        leave(good)


def _verify_pdf(data: bytes, given: Circumstances, at_signing: bool, as_json: bool) -> None:
    from hub.seals.show import report_data, report_lines
    from signing.pdf.checking import check_pdf

    judged = check_pdf(data, given)
    good = judged.valid_at_signing if at_signing else judged.valid_now
    problem = f"{judged.problem.zh} / {judged.problem.en}" if judged.problem else ""
    if not judged.signatures and not problem:
        problem = "文件没有签名 / the document has no signature"
    found: list[dict[str, Any]] = []
    lines: list[str] = [problem] if problem else []
    for one in judged.signatures:
        found.append(
            {
                "field": one.field,
                "signer": one.signer,
                "now": report_data(one.now),
                "at_signing": report_data(one.at_signing),
            }
        )
        lines += report_lines(one.at_signing, f"{one.field} {one.signer} 签名时 at signing")
        lines += report_lines(one.now, f"{one.field} {one.signer} 现在 now")
    print_data({"kind": "pdf", "valid": good, "problem": problem, "signatures": found}, as_json, lines)
    leave(good)


@seal.command("new")
@click.argument("file", type=NEW_FILE)
@click.option("--id", "es_id", required=True, help="已审批的印章编号 / number of the approved application")
@identity_options(required=False)
@MAKER
@TRUST
@BY
@BOOK
def new(
    file: Path,
    es_id: str,
    cert: Path | None,
    key: Path | None,
    passphrase_file: Path | None,
    url: str,
    client: str,
    client_key: Path | None,
    anchors: tuple[Path, ...],
    chain: tuple[Path, ...],
    crls: tuple[Path, ...],
    by: str,
    folder: Path | None,
) -> None:
    """制作已审批的印章，写入 FILE / make an approved seal, with --cert and --key or by --maker."""
    from hub.seals.acts import make
    from signing.seals.maker import LocalMaker, SealMaker

    with told():
        given = circumstances(anchors, chain, crls)
        maker: SealMaker
        if url:
            maker = maker_at(url, client, client_key)
        elif cert and key:
            maker = LocalMaker(identity(cert, key, passphrase_file), given)
        else:
            raise SigningError(
                "maker", "needs --maker, or --cert and --key", zh="须给出 --maker，或 --cert 与 --key"
            )
        made = asyncio.run(make(book_at(folder), es_id, by, given.now, maker, given))
        write_new(file, made)
    click.echo(f"已制作 / made: {file}（{len(made)} 字节 / bytes）")


@seal.command("sign")
@click.argument("file", type=FILE)
@click.option("--document", required=True, type=FILE, help="原文 / the document to sign")
@click.option("--out", required=True, type=NEW_FILE, help="签章写入 / where the signature goes")
@click.option("--about", default="", help="原文标识，ASCII / what is signed; default the document's name")
@IDENTITY
@TRUST
@BY
@BOOK
def sign_(
    file: Path,
    document: Path,
    out: Path,
    about: str,
    cert: Path,
    key: Path,
    passphrase_file: Path | None,
    anchors: tuple[Path, ...],
    chain: tuple[Path, ...],
    crls: tuple[Path, ...],
    by: str,
    folder: Path | None,
) -> None:
    """用印章 FILE 对原文签章 / sign a document with the seal FILE; a lost or destroyed seal refuses."""
    from hub.seals.acts import sign

    with told():
        given = circumstances(anchors, chain, crls)
        signer = identity(cert, key, passphrase_file)
        original = read_bounded(document, DOCUMENT_BYTES_MAX)
        name = about or document.name.encode("ascii", "replace").decode()
        made = sign(book_at(folder), read_bounded(file, SEAL_BYTES_MAX), signer, by, original, name, given)
        write_new(out, made)
    click.echo(f"已签章 / signed: {out}（{len(made)} 字节 / bytes）")


@seal.command("trial")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def trial(folder: Path) -> None:
    """试用的根、制章者、签章者与密钥 / a trial root, maker and signer with keys; never for real seals."""
    from hub.seals.trial import write_trial

    with told():
        for path in write_trial(folder, SoftwareProvider(), now_utc()):
            click.echo(path)


for command in BOOK_COMMANDS:
    seal.add_command(command)
