"""How much a newcomer types: whoever plays it between machines is `tests/sites/test_walk.py`."""

from __future__ import annotations

from tests.support.walk import lines


def test_a_hospital_joins_by_five_commands_and_edits_no_file() -> None:
    typed = lines("how-to/join-as-a-hospital.md", "Five commands")
    assert typed[0] == "make setup SITE=hospital"
    assert [line.removeprefix(".venv/bin/wardround ").split(" ")[0] for line in typed[1:]] == [
        "site",
        "site",
        "up",
        "study",
    ]
    editors = ("vi ", "vim ", "nano ", "sed ", "echo ", "cat ", "tee ", ">")
    assert not [line for line in typed if any(editor in line for editor in editors)]
