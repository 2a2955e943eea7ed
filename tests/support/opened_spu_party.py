"""A party of SPU whose verification opens everything that a round keeps secret.

For tests alone (tests/support/opened_spu.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "mpc-programs" / "spu"))


def opened(task: Mapping[str, Any]) -> Any:
    """The verification, and after what it opens every quantity."""
    import jax.numpy as jnp
    import verify
    from spu.experimental import reveal

    from pipeline.layers.table import from_plain

    shape = (from_plain(task["network"]), task["samples"], tuple(task["input_range"]), task["first_round"])
    judge = verify.program(*shape, task["names_condition"], task["panel"])
    found_of = verify.quantities(*shape, task["panel"])

    def everything(*inputs: Any) -> Any:
        return *judge(*inputs), *(reveal(each.astype(jnp.int64)) for each in found_of(*inputs))

    return everything


if __name__ == "__main__":
    import compiled
    import party

    compiled._program = opened
    with os.fdopen(int(sys.argv[1]), "w") as results:
        party.main(results)
