"""`govhub notices trial`: a trial seal and keys for the role notices. Names and options only."""

from __future__ import annotations

from pathlib import Path

import click

from hub.cli_seal_options import now_utc, told


@click.group("notices")
def notices() -> None:
    """通知书 / notices to applicants."""


@notices.command("trial")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", default="govhub 试用", show_default=True, help="印章上的单位名称 / name on the seal")
@click.option(
    "--passphrase",
    envvar="HUB_NOTICES_PASSPHRASE",
    required=True,
    help="私钥口令，取自 HUB_NOTICES_PASSPHRASE / passphrase of the keys",
)
def trial(folder: Path, name: str, passphrase: str) -> None:
    """试用的印章、签章者与密钥，不得用于真实通知书 / a trial seal and keys; never for real notices."""
    from hub.notices.trial import write_trial

    with told():
        write_trial(folder, passphrase.encode(), name, now_utc())
    click.echo(f"已生成 / made: {folder}")
