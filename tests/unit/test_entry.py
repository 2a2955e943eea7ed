from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pipeline.site.settings import PROJECT
from tests.support.interrupts import heed_interrupts


def test_a_loaded_command_answers_an_interrupt_itself() -> None:
    code = "import signal, pipeline.cli as cli; from pipeline.entry import main;"
    code += "cli.app = lambda: print(signal.getsignal(signal.SIGINT) is signal.default_int_handler); main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=heed_interrupts,
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_the_command_that_people_type_starts_there() -> None:
    script = Path(sys.executable).with_name("wardround").read_text()
    assert "from pipeline.entry import main" in script, "run `make setup`"
