"""`wardround backup` and `restore`: a site in one file under a passphrase, and the site again."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipeline.backup import backup as backups
from pipeline.errors import Misconfigured
from pipeline.host.secret import Secret
from pipeline.site.settings import Settings
from pipeline.site.site import SiteRole

_PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="PATH",
        exists=True,
        dir_okay=False,
        help="Its first line is the passphrase; only you may read it. Without one the terminal asks.",
    ),
]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, on another disk.")],
    passphrase_file: _PassphraseFile = None,
) -> None:
    """Write this site into one file under a passphrase; one that runs goes on, but for a moment.

    Whoever has both is this member.
    """
    made = backups.back_up(file, _passphrase(passphrase_file, new=True), Settings.load())
    for name in made.left_out:
        typer.echo(f"left out: {name}, a link to elsewhere")
    typer.echo(f"{file}: {made.site.queue}, {made.files} files; keep the passphrase apart from it")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The backup.")],
    passphrase_file: _PassphraseFile = None,
) -> None:
    """Make the site of a backup here, in an empty folder; the machine that it was on must not run any more."""
    settings = Settings.load()
    made = backups.restore(file, _passphrase(passphrase_file, new=False), settings)
    typer.echo(
        f"{settings.home}: {made.site.queue} as of {datetime.fromtimestamp(made.made, UTC):%Y-%m-%d %H:%M} UTC,"
        f" {made.files} files; next: `wardround up`"
    )
    if made.site.role in (SiteRole.HOSPITAL, SiteRole.NODE):
        typer.echo("it takes part from the next round on, once its owner has approved its studies again")


def _passphrase(file: Path | None, *, new: bool) -> Secret:
    if file is not None:
        return Secret(Secret.read(file).reveal().partition(b"\n")[0])
    if not sys.stdin.isatty():
        raise Misconfigured("passphrase: got no terminal to ask at, want --passphrase-file PATH")
    typed = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new)
    return Secret(str(typed).encode())
