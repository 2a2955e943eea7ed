"""A file that somebody proposed, inspected in a process of its own, which has an end to its time and memory.

What parses and runs it is C++, and a file of a few kilobytes may ask that for days, for all memory, or to crash. So no
process that has a member's keys, or that answers other people, reads a file that was not inspected.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from pipeline.datasets.backbone.graph import checked
from pipeline.datasets.backbone.running import NoFeatures, opened, run
from pipeline.errors import EvidenceRejected, Unavailable
from pipeline.evidence.canonical import canonical_json, read_object

_ROOT = Path(__file__).parents[3]
_SECONDS = 120
"""That an inspection may take, of which a network of 30 million parameters takes some five."""
_BYTES = 6 * 2**30
"""Address space of the process: libraries, some copies of the file, and the tensors of a batch of two."""
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_REFUSED, _EXHAUSTED = 5, 6
"""How the process ends for a bad file, and where it had no more memory."""
_LONGEST_SENTENCE = 600
_SEED = 31


def inspect_apart(data: bytes, output: str, shape: tuple[int, ...], features: int) -> None:
    """What `inspect` says, of a process of its own; EvidenceRejected too where that finds no end, or crashes.

    Raises Unavailable where the inspection itself does not run.
    """
    asked = {"output": output, "shape": list(shape), "features": features, "seconds": _SECONDS, "bytes": _BYTES}
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, canonical_json(asked)],
            cwd=_ROOT,
            env={"PATH": os.defpath, "PYTHONPATH": str(_ROOT), **_ONE_THREAD},
            input=data,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _unbounded() from None
    if done.returncode == _REFUSED:
        raise EvidenceRejected(_sentence(done.stdout.decode(errors="replace")))
    if done.returncode == _EXHAUSTED or done.returncode < 0:
        raise _unbounded()
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Unavailable(f"backbone: its inspection ended with code {done.returncode}: {_sentence(last)}; try again")


def main(asked: str) -> int:
    """Inspect standard input; the sentence of a refusal goes to standard output."""
    limits = read_object(asked.encode())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits["bytes"], limits["bytes"]))
    # Should whoever waits for it be gone.
    resource.setrlimit(resource.RLIMIT_CPU, (limits["seconds"], limits["seconds"]))
    try:
        inspect(sys.stdin.buffer.read(), limits["output"], tuple(limits["shape"]), limits["features"])
    except EvidenceRejected as refusal:
        sys.stdout.buffer.write(str(refusal).encode(errors="replace"))
        return _REFUSED
    except MemoryError:
        return _EXHAUSTED
    return 0


def inspect(data: bytes, output: str, shape: tuple[int, ...], features: int) -> None:
    """Raise EvidenceRejected unless `data` is a graph that makes features of pictures (channels, height, width).

    It is parsed and run here, so that only `inspect_apart` is for files of others.
    """
    checked(data, output, shape, features)
    session = opened(data)
    noise = np.random.default_rng(_SEED).standard_normal(shape)
    pictures = np.stack([np.zeros(shape), np.ones(shape), noise]).astype(np.float32)
    singles = []
    for picture in pictures:
        try:
            made, again = (run(session, output, picture[None]) for _ in range(2))
        except NoFeatures as error:
            raise EvidenceRejected(
                f"backbone: got {error} of a picture that was made up, want {features} finite numbers; export it again"
            ) from None
        if made.shape != (1, features):
            raise EvidenceRejected(
                f"backbone: got an output of shape {made.shape} of one picture, want (1, {features}); export it again"
            )
        if not np.array_equal(made, again):
            raise EvidenceRejected(
                "backbone: got other features of the same picture at the second run, want equal ones; take a network"
                " without chance"
            )
        singles.append(made)
    # Whoever takes the model out asks many pictures at once.
    two = [0, 2]
    try:
        together = run(session, output, pictures[two])
    except NoFeatures as error:
        raise _of_one_picture(f"{error} of two pictures at once") from None
    alone = np.concatenate([singles[row] for row in two])
    if together.shape != alone.shape or not np.allclose(together, alone, rtol=1e-3, atol=1e-4):
        raise _of_one_picture("other features of two pictures at once than of each by itself")


def _of_one_picture(got: str) -> EvidenceRejected:
    return EvidenceRejected(
        f"backbone: got {got}, want a batch that is dynamic, in which no picture's features depend on another; export"
        " it with a dynamic batch"
    )


def _unbounded() -> EvidenceRejected:
    return EvidenceRejected(
        f"backbone: got a file whose inspection took longer than {_SECONDS} seconds or more than {_BYTES >> 30} GB, or"
        " crashed what reads it, want one that is read and run within both; take a smaller network"
    )


def _sentence(said: str) -> str:
    """What a file names may be long, and no text."""
    return "".join(one if one.isprintable() else "?" for one in said[:_LONGEST_SENTENCE])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
