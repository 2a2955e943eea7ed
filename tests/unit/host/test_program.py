"""The end of every `python -m pipeline.…`."""

from __future__ import annotations

import sys

import pytest

from pipeline.errors import Misconfigured
from pipeline.host import program


def test_a_known_error_is_one_message_and_exit_code_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        raise Misconfigured("got nothing, want something")

    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(SystemExit) as caught:
        program.run(main)
    assert caught.value.code == "error: got nothing, want something"


def test_a_program_of_several_commands_runs_the_named_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    app = program.commands()
    app.command("first")(lambda: ran.append("first"))
    app.command("second")(lambda: ran.append("second"))
    monkeypatch.setattr(sys, "argv", ["stage", "second"])
    with pytest.raises(SystemExit) as caught:
        program.run(app)
    assert (ran, caught.value.code) == (["second"], 0)
