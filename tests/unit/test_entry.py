from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from pipeline.settings import PROJECT

_PATIENCE_SECONDS = 30


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:")]
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def test_an_interrupt_while_libraries_load_ends_the_command_without_a_traceback() -> None:
    # The pause stands for libraries that load slowly.
    code = "import sys, types; cli = types.ModuleType('pipeline.cli'); cli.__getattr__ = lambda name: __import__('time').sleep(60);"
    code += "sys.modules['pipeline.cli'] = cli; from pipeline.entry import main; print('started', flush=True); main()"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    end = time.monotonic() + _PATIENCE_SECONDS
    while catches(process.pid, signal.SIGINT):
        assert time.monotonic() < end, "still Python's own handler, which ends in a traceback"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=_PATIENCE_SECONDS)
    assert (process.returncode, *said) == (-signal.SIGINT, "", "")


def test_a_loaded_command_answers_an_interrupt_itself() -> None:
    code = "import signal, pipeline.cli as cli; from pipeline.entry import main;"
    code += "cli.app = lambda: print(signal.getsignal(signal.SIGINT) is signal.default_int_handler); main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_the_command_that_people_type_starts_there() -> None:
    script = Path(sys.executable).with_name("wardround").read_text()
    assert "from pipeline.entry import main" in script, "run `make setup`"
