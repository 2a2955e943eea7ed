from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pipeline.site.settings import PROJECT
from tests.support.interrupts import heed_interrupts

OF_STEPS = {"airflow", "dvc", "great_expectations", "matplotlib", "pandas", "scipy", "sklearn", "torch"}
"""Libraries that take seconds to load."""


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


def loaded(code: str) -> set[str]:
    """Libraries and packages that a fresh process has after `code`."""
    program = f"import sys; {code}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_loads_no_library_before_it_is_known_which_is_asked_for() -> None:
    assert loaded("import pipeline.cli") & {"boto3", "httpx", "numpy", "py_ecc", "pydantic", "web3", *OF_STEPS} == set()


def test_no_command_loads_what_only_a_step_of_a_round_needs() -> None:
    assert loaded("import pipeline.cli as cli; list(cli.Commands().values())") & OF_STEPS == set()
