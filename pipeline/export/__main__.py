"""Write one exported file in a process of its own: `python -m pipeline.export FORM CONTENT FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.export.content import Content
from pipeline.export.encoding import KINDS
from pipeline.export.forms import FORMS


def main(form: str, content: str, file: str) -> int:
    """Write `file` from `content`; the exit code, which tells an error's kind."""
    try:
        Path(file).write_bytes(FORMS[form].write(Content.from_json(Path(content).read_bytes())))
    except tuple(KINDS.values()) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return next(code for code, kind in KINDS.items() if isinstance(error, kind))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
