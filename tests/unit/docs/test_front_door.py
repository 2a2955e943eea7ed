"""README stays a front door: short, with pictures that are small and need nobody else's server."""

from __future__ import annotations

import re

from pipeline.site.settings import PROJECT

README = (PROJECT / "README.md").read_text()
PICTURES = [PROJECT / path for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)]


def test_readme_has_at_most_140_lines() -> None:
    assert len(README.splitlines()) <= 140


def test_its_pictures_are_files_of_ours_of_at_most_150_kilobytes() -> None:
    assert len(PICTURES) == 2
    assert [picture for picture in PICTURES if not 0 < picture.stat().st_size <= 150_000] == []


def test_no_drawing_takes_a_font_a_script_or_a_picture_from_elsewhere() -> None:
    drawings = {file.name: file.read_text() for file in (PROJECT / "docs" / "pictures").glob("*.svg")}
    assert drawings
    foreign = re.compile(r"<(script|image|use)\b|@import|url\((?!#)|href=", re.I)
    assert {name: found[0] for name, text in drawings.items() if (found := foreign.search(text))} == {}
