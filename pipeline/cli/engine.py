"""`wardround engine`: engines of encrypted computation on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.domain import Sha256
from pipeline.errors import Misconfigured
from pipeline.site.settings import Settings

engine = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Install engines of encrypted computation."
)


@engine.callback()
def _group() -> None:
    """Install engines of encrypted computation."""


@engine.command()
def install(
    name: Annotated[str, typer.Argument(metavar="ENGINE", help="mp-spdz; SPU comes with `make setup`.")],
    sha256: Annotated[
        str | None,
        typer.Option(
            "--sha256", metavar="HEX", help="Digest of the archive; by default the one that its page publishes."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="An archive that you have, instead of a download.")
    ] = None,
) -> None:
    """Install the official release of MP-SPDZ.

    Check its digest, try both protocols, and let this installation go by it.
    """
    from pipeline.setup.engine import install as engine_install
    from pipeline.setup.engine import programs
    from pipeline.setup.progress import CONSOLE, note, step
    from pipeline.study.study_files import load_studies

    if name != "mp-spdz":
        raise Misconfigured(f"engine: got {name!r}, want mp-spdz")
    if sha256 is not None and not re.fullmatch("[0-9a-f]{64}", sha256 := sha256.lower()):
        raise Misconfigured(f"--sha256: got {sha256!r}, want 64 hexadecimal digits")
    settings = Settings.load()
    columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal)
    done = engine_install.install(settings, progress, expected=None if sha256 is None else Sha256(sha256), file=file)
    settings = Settings.load()
    with step("encrypted programs"):
        users = {name: study for name, study in load_studies(settings.studies).items() if study.engine == "mp-spdz"}
        for study, reason in programs.compile_programs(settings, users).items():
            note(f"study {study} cannot run on this machine: {reason}")
    note(f"MP-SPDZ is in {done.folder} (archive {done.digest}); workers use it from their next step on")
    if Settings.wanted().mp_spdz != done.folder:
        note("MP_SPDZ_HOME names another one in this shell: unset it, or the next `wardround up` goes by that again")
