"""`govhub seal apply|approve|reject|issue|lose|destroy|list|log`: the acts that only write the seal book.
What is allowed is decided in signing/seals/lifecycle.py.
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from hub.cli_seal_options import (
    BOOK,
    BY,
    FILE,
    JSON,
    MAKER,
    PICTURE_BYTES_MAX,
    REASON,
    book_at,
    certificates,
    leave,
    maker_at,
    now_utc,
    print_data,
    read_bounded,
    told,
)
from signing.errors import SigningError
from signing.seals.model import Picture

_KINDS = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPG", b"GIF8": "GIF", b"BM": "BMP"}


@click.command("apply")
@click.argument("es_id")
@click.option("--name", required=True, help="印章名称 / the seal's name")
@click.option("--holder", required=True, help="持有单位 / who it belongs to")
@click.option("--picture", required=True, type=FILE, help="印章图像 / the picture (PNG, JPG, GIF, BMP)")
@click.option(
    "--signer", "signers", required=True, multiple=True, type=FILE, help="签章者证书 / who may sign with it"
)
@click.option("--days", type=click.IntRange(1, 3660), default=365, show_default=True, help="有效天数 / term")
@click.option(
    "--size-mm", type=click.IntRange(1, 200), default=42, show_default=True, help="边长 / side on paper"
)
@click.option(
    "--type", "kind", type=click.IntRange(0, 1000), default=1, show_default=True, help="印章类型 / type"
)
@click.option("--gm0031", is_flag=True, help="旧格式 GM/T 0031-2014 / the older format")
@click.option("--renews", default="", metavar="ES_ID", help="续期：替换哪枚印章 / the seal this one replaces")
@BY
@BOOK
def apply_(
    es_id: str,
    name: str,
    holder: str,
    picture: Path,
    signers: tuple[Path, ...],
    days: int,
    size_mm: int,
    kind: int,
    gm0031: bool,
    renews: str,
    by: str,
    folder: Path | None,
) -> None:
    """申请一枚印章（或续期）/ apply for a seal, or for the renewal of one."""
    from hub.seals.acts import Wish, apply

    with told():
        data = read_bounded(picture, PICTURE_BYTES_MAX)
        form = next((name for start, name in _KINDS.items() if data.startswith(start)), "")
        if not form:
            raise SigningError("picture", f"must be one of {', '.join(_KINDS.values())}")
        now = now_utc()
        wish = Wish(
            es_id=es_id,
            name=name,
            holder=holder,
            type=kind,
            version=1 if gm0031 else 4,
            vendor="govhub",
            signers=certificates(signers),
            picture=Picture(form, data, size_mm, size_mm),
            valid_from=now,
            valid_until=now + timedelta(days=days),
            renews=renews,
        )
        entry = apply(book_at(folder), wish, by, now)
    click.echo(f"已申请 / applied: {es_id}（第 {entry.number} 行 / line {entry.number}）")


@click.command("approve")
@click.argument("es_id")
@BY
@BOOK
def approve(es_id: str, by: str, folder: Path | None) -> None:
    """审批，须为第二人 / approve; must be a second person."""
    _act(folder, "approve", es_id, by, {}, "已审批 / approved")


@click.command("reject")
@click.argument("es_id")
@REASON
@BY
@BOOK
def reject(es_id: str, reason: str, by: str, folder: Path | None) -> None:
    """驳回，须为第二人 / reject; must be a second person."""
    _act(folder, "reject", es_id, by, {"reason": reason}, "已驳回 / rejected")


@click.command("issue")
@click.argument("es_id")
@click.option("--to", required=True, help="领取人 / who receives it")
@BY
@BOOK
def issue_(es_id: str, to: str, by: str, folder: Path | None) -> None:
    """发放；续期的旧章从此停用 / hand out; a seal that it renews stops here."""
    _act(folder, "issue", es_id, by, {"to": to}, "已发放 / issued")


def _act(folder: Path | None, act: Any, es_id: str, by: str, detail: dict[str, object], done: str) -> None:
    with told():
        entry = book_at(folder).add(act, es_id, by, now_utc(), detail)
    click.echo(f"{done}: {es_id}（第 {entry.number} 行 / line {entry.number}）")


@click.command("lose")
@click.argument("es_id")
@REASON
@BY
@BOOK
def lose(es_id: str, reason: str, by: str, folder: Path | None) -> None:
    """挂失：此刻之后拒绝签章 / report lost: from now on it signs nothing."""
    _act(folder, "lose", es_id, by, {"reason": reason}, "已挂失 / lost")


@click.command("destroy")
@click.argument("es_id")
@REASON
@BY
@BOOK
def destroy(es_id: str, reason: str, by: str, folder: Path | None) -> None:
    """销毁：不可撤回 / destroy; cannot be taken back."""
    _act(folder, "destroy", es_id, by, {"reason": reason}, "已销毁 / destroyed")


@click.command("tell")
@click.argument("es_id")
@MAKER
@BOOK
def tell_(es_id: str, url: str, client: str, client_key: Path | None, folder: Path | None) -> None:
    """把挂失、替换或销毁告知制章系统，可重复 / tell the seal-making system; may be repeated."""
    from hub.seals.acts import tell

    with told():
        stage = asyncio.run(tell(book_at(folder), es_id, maker_at(url, client, client_key)))
    click.echo(f"已告知 / told: {es_id} {stage}")


@click.command("list")
@BOOK
@JSON
def list_(folder: Path | None, as_json: bool) -> None:
    """印章及其状态 / the seals and their stages."""
    from hub.seals.show import life_data

    with told():
        _, book = book_at(folder).read()
    seals = [life_data(life) for life in book.seals.values()]
    lines = [
        f"{one['es_id']}  {one['stage_zh']} {one['stage']}  {one['since']}  {one['name']}  "
        f"签章 / signatures: {one['signatures']}"
        for one in seals
    ]
    print_data({"head": book.head, "seals": seals}, as_json, [*lines, f"簿首 / head: {book.head}"])


@click.command("log")
@BOOK
@click.option(
    "--head", default="", help="早先记下的簿首，须在链中 / an earlier head that must be in the chain"
)
@JSON
def log(folder: Path | None, head: str, as_json: bool) -> None:
    """审计日志：逐行核对哈希链 / the audit log, its chain checked; exit 0 only if it holds."""
    from hub.seals.show import entry_data

    with told():
        entries, book = book_at(folder).read()
    lines = [
        f"{e.number:>6}  {e.at.isoformat()}  {e.act:<8} {e.es_id}  {e.by}  "
        f"{json.dumps(dict(e.detail), ensure_ascii=False)[:200]}"
        for e in entries
    ]
    known = not head or head in {e.digest for e in entries}
    if not known:
        lines.append(f"簿中没有 {head}：记录被截断或替换 / the book lacks it: lines were cut off or replaced")
    data = {"holds": known, "head": book.head, "entries": [entry_data(e) for e in entries]}
    print_data(data, as_json, [*lines, f"簿首 / head: {book.head}"])
    leave(known)


BOOK_COMMANDS = (apply_, approve, reject, issue_, lose, destroy, tell_, list_, log)
