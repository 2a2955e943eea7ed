"""SPU executables of the programs, compiled once per shape and kept in the user's cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime import libspu, load_compiler

from pipeline.host.files import locked, write_secret


def executable(task: Mapping[str, Any], cached: Path) -> libspu.Executable:
    """The executable of `task` from the file `cached`, compiled into it where there is none."""
    with locked(cached.with_suffix(".lock")):
        if not cached.exists():
            write_secret(cached, _compile(task))
    loaded = libspu.Executable()
    loaded.ParseFromString(cached.read_bytes())
    return loaded


def _compile(task: Mapping[str, Any]) -> bytes:
    load_compiler()
    import jax
    import numpy as np
    from spu.utils import frontend

    jax.config.update("jax_enable_x64", True)
    inputs = [*task["secret"], *task["public"]]
    visibility = [libspu.Visibility.VIS_SECRET] * len(task["secret"]) + [libspu.Visibility.VIS_PUBLIC] * len(
        task["public"]
    )
    compiled, _ = frontend.compile(
        frontend.Kind.JAX,
        _program(task),
        [np.zeros(array["shape"], np.int64) for array in inputs],
        {},
        [array["name"] for array in inputs],
        visibility,
        lambda outputs: [f"output{index}" for index in range(len(outputs))],
    )
    serialised: bytes = compiled.SerializeToString()
    return serialised


def _program(task: Mapping[str, Any]) -> Any:
    from pipeline.layers.table import from_plain

    if task["program"] in {"verify", "verify_projected"}:
        import verify
        import verify_projected

        return {"verify": verify, "verify_projected": verify_projected}[task["program"]].program(
            from_plain(task["network"]),
            task["samples"],
            tuple(task["input_range"]),
            task["first_round"],
            task["names_condition"],
            task["panel"],
        )
    if task["program"] == "check_range":
        import check_range

        return check_range.program()
    import trimmed_mean

    return trimmed_mean.program(task["hospitals"])
