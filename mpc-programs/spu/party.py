"""One party of an SPU computation as a process of its own; `pipeline.mpc.engines.spu.engine` starts it.

Standard input   the task as one line of JSON; then the arrays' raw bytes (pairs of components, public values); then,
when all parties have met and agree, the line "start". Its end ends this process, so that no party outlives its node.
First argument   number of the file descriptor for results: {"ready": digest of the executable}, then {"outputs": ...,
costs}. Nothing is written to disk but the log (standard error), and no share ever leaves memory or the TLS connections,
of which there are none before that line.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any


def main(results: IO[str]) -> None:
    """Run one computation."""
    # A core dump would hold every share.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    task = json.loads(sys.stdin.buffer.readline())
    import shares
    from compiled import executable
    from links import connect
    from runtime import api, libspu

    program = executable(task, Path(task["executable"]))
    report(results, {"ready": hashlib.sha256(program.SerializeToString()).hexdigest()})
    # int64: a pair of components per secret value, one word per public one
    sizes = {array["name"]: 16 * math.prod(array["shape"]) for array in task["secret"]}
    sizes |= {array["name"]: 8 * math.prod(array["shape"]) for array in task["public"]}
    content = {name: sys.stdin.buffer.read(size) for name, size in sizes.items()}
    if sys.stdin.buffer.readline() != b"start\n":
        return
    threading.Thread(target=end_with_starter, daemon=True).start()

    start, sent = time.monotonic(), bytes_written()
    link = connect(task)
    config = libspu.RuntimeConfig(protocol=libspu.ProtocolKind.ABY3, field=libspu.FieldType.FM64)
    runtime = api.Runtime(link, config)
    for array in task["secret"]:
        runtime.set_var(array["name"], shares.replicated(content.pop(array["name"]), array["shape"]))
    for array in task["public"]:
        runtime.set_var(array["name"], shares.public(content.pop(array["name"]), array["shape"]))
    runtime.run(program)
    outputs = [shares.opened(runtime.get_var(name)) for name in program.output_names]
    used = resource.getrusage(resource.RUSAGE_SELF)
    costs = {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "wall_seconds": time.monotonic() - start,
        "bytes_sent": bytes_written() - sent,
        "rss_bytes": most_memory(),
    }
    report(results, {"outputs": outputs} | costs)
    # A peer may still need this party's last messages: the starter ends the process when all parties have their
    # results.
    while True:
        signal.pause()


def report(results: IO[str], content: dict[str, Any]) -> None:
    """One line of JSON to the starter."""
    results.write(json.dumps(content) + "\n")
    results.flush()


def end_with_starter() -> None:
    """End this process when its starter has gone."""
    sys.stdin.buffer.read(1)
    os._exit(1)


def bytes_written() -> int:
    """Bytes that this process has written so far, to sockets almost all of them."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


def most_memory() -> int:
    """The most bytes that this process has held; getrusage would count what its starter held when it forked."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].removesuffix("kB")) * 1024


if __name__ == "__main__":
    with os.fdopen(int(sys.argv[1]), "w") as pipe:
        main(pipe)
