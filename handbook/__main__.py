"""Writes docs/reference, the threat model's attacks, tables of steps, metrics and a site's files, the comments
of studies/.

`python -m handbook`; a test holds them current.
"""

from __future__ import annotations

from pathlib import Path

from handbook import attacks, commands, metrics, parts, steps, study
from pipeline.study.study_file import commented

PROJECT = Path(__file__).parent.parent
ROUND = PROJECT / "docs" / "explanation" / "how-a-round-works.md"
ALIVE = PROJECT / "docs" / "how-to" / "keep-a-site-alive.md"
THREATS = PROJECT / "docs" / "explanation" / "threat-model.md"
HEAD = "<!-- Made by `python -m handbook`: change the code that it describes, not this page. -->\n\n"


def rendered() -> dict[Path, str]:
    """Every file that is made, with its text."""
    pages = {"commands": commands.page(), "study": study.page()}
    docs = {PROJECT / "docs" / "reference" / f"{name}.md": HEAD + text for name, text in pages.items()}
    docs[ALIVE] = metrics.filled(parts.filled(ALIVE.read_text()))
    docs[ROUND] = steps.filled(ROUND.read_text())
    docs[THREATS] = attacks.filled(THREATS.read_text(), PROJECT / "tests")
    return docs | {
        file: commented(file.read_text(), file.stem) for file in sorted((PROJECT / "studies").glob("*.yaml"))
    }


if __name__ == "__main__":
    for path, text in rendered().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
