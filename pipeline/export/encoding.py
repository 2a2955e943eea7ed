"""A content as the bytes of a file: the same for everybody who exports it with the same packages."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import EvidenceRejected, Misconfigured, Refused, Unavailable, WardroundError
from pipeline.export.content import Content
from pipeline.export.forms.base import Form
from pipeline.site.settings import PROJECT

KINDS: Mapping[int, type[WardroundError]] = {3: Misconfigured, 4: Refused, 5: EvidenceRejected, 6: Unavailable}
"""How the process ends on an error, the last line that it says being the error's message."""

_LONGEST_SECONDS = 900
_STEADY = {"PYTHONHASHSEED": "0"}


def encoded(content: Content, form: Form) -> bytes:
    """The file of a content in one form.

    Raises what the form raises, Misconfigured where this machine has not what writes it, Unavailable where that does
    not end well.
    """
    if not form.made_with:
        return form.write(content)
    with tempfile.TemporaryDirectory(prefix="wardround-export-") as folder:
        given = Path(folder) / "content.json"
        file = Path(folder) / form.file
        given.write_bytes(content.to_json())
        command = [sys.executable, "-m", "pipeline.export", form.name, str(given), str(file)]
        try:
            done = subprocess.run(
                command,
                cwd=PROJECT,
                env={**os.environ, **_STEADY},
                capture_output=True,
                timeout=_LONGEST_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{form.name}: took longer than {_LONGEST_SECONDS} seconds and was ended") from None
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        if done.returncode in KINDS:
            raise KINDS[done.returncode](last)
        if done.returncode:
            raise Unavailable(f"{form.name}: the export ended with code {done.returncode}: {last}")
        return file.read_bytes()
