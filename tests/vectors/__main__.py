"""Writes the vectors that are missing, and ends with 1 where a file is not what the code says."""

from __future__ import annotations

import sys

from tests.vectors.files import FORMATS, path, text


def main() -> int:
    """Number of files that differ, which stay as they are."""
    differing = 0
    for form in FORMATS:
        file = path(form)
        said = text(form)
        if not file.exists():
            file.write_text(said)
            print(f"{file.name}: written")
        elif file.read_text() != said:
            differing += 1
            print(
                f"{file.name}: got another file than the code gives; mend the code, or delete the file", file=sys.stderr
            )
    return differing


if __name__ == "__main__":
    sys.exit(min(main(), 1))
