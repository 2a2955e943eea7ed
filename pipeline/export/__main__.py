"""Write one exported file in a process of its own: `python -m pipeline.export FORM CONTENT FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.errors import WardroundError
from pipeline.export.content import Content
from pipeline.export.forms import FORMS


def main(form: str, content: str, file: str) -> int:
    """Write `file` from `content`; the exit code."""
    try:
        Path(file).write_bytes(FORMS[form].write(Content.from_json(Path(content).read_bytes())))
    except WardroundError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
