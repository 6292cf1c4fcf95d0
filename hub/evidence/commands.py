"""`govhub evidence`: keys, export and verify, as a person at a terminal sees them."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from hub.config import Settings
from hub.evidence.document import NoDocument, read, to_bytes
from hub.evidence.export import export
from hub.evidence.identity import make_directory, read_anchors
from hub.evidence.verify import Report, verify
from signing.errors import SigningError
from signing.provider import SoftwareProvider
from signing.timestamps import CERTIFICATES_MAX

__all__ = ["export_case", "new_keys", "verify_file"]


def new_keys(directory: Path, passphrase: bytes, name: str, members: tuple[str, ...]) -> None:
    """Make a directory of keys for demonstrations and closed networks. Raises ClickException."""
    if len(members) > CERTIFICATES_MAX:
        raise click.ClickException(f"最多 / at most {CERTIFICATES_MAX} --member")
    try:
        make_directory(directory, passphrase, name, members)
    except (OSError, SigningError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"已生成 / made: {directory}")


async def export_case(settings: Settings, case: str, file: Path | None) -> None:
    """Write a case's evidence to a file or to standard output. Raises NoEvidence, BrokerAway."""
    document = await export(settings, case)
    data = to_bytes(document)
    if file is None:
        click.echo(data.decode(), nl=False)
        return
    await asyncio.to_thread(file.write_bytes, data)
    click.echo(
        f"{file}: {len(document.handovers)} 条台账行 / ledger lines, "
        f"{len(document.messages)} 条消息 / messages, {len(document.roots)} 个根 / roots, "
        f"{document.unsigned} 条未封存 / not yet under a root"
    )


def verify_file(file: Path, anchors: Path, as_json: bool) -> bool:
    """Print what a file proves; True when all it claims is proven."""
    try:
        trust = read_anchors(anchors)
        document = read(file)
    except (OSError, SigningError, NoDocument) as error:
        raise click.ClickException(str(error)) from error
    report = verify(document, trust, SoftwareProvider(), now=datetime.now(UTC))
    if as_json:
        answer = msgspec.structs.asdict(report) | {"ok": report.ok}
        click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2))
    else:
        show(report)
    return report.ok


def show(report: Report) -> None:
    """The report for people: what fails first."""
    for finding in report.findings:
        if not finding.ok:
            click.echo(f"不成立 / FAILS  {finding.part}: {finding.zh} / {finding.en}")
    click.echo(f"办件 / case {report.case}: 已证明 / proven {len(report.proven)}")
    for one in report.proven:
        moment = datetime.fromtimestamp(one.recorded_at_ms / 1000, UTC).isoformat(timespec="seconds")
        by = f"，接收方签名 / signed by the receiver {one.receiver}" if one.receiver else ""
        where = f" → {one.member} {one.dispatch_id}" if one.dispatch_id else f" ← {one.member}"
        click.echo(f"  {moment} {one.what} {one.message_id}{where}: {one.result}{by}")
    for signer in sorted({one.signed_by for one in report.proven}):
        click.echo(f"签名 / signed by: {signer}")
    for stamper in sorted({one.stamped_by for one in report.proven}):
        click.echo(f"时间戳 / stamped by: {stamper}")
    for witness in sorted(set(report.witnesses)):
        click.echo(f"会签 / countersigned by: {witness}")
    click.echo("未证明 / not proven:")
    for zh, en in report.unproven:
        click.echo(f"  {zh} / {en}")
    click.echo(summary(report))


def summary(report: Report) -> str:
    """The verdict in one line."""
    failed = sum(not finding.ok for finding in report.findings)
    signed = sum(bool(one.receiver) for one in report.proven)
    return (
        f"evidence: case={report.case} proven={len(report.proven)} receivers_signed={signed} "
        f"countersigned={len(report.witnesses)} failed={failed} ok={'yes' if report.ok else 'no'}"
    )
