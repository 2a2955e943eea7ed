"""Install at the same time what is missing of a set of tools.

`python -m pipeline.tools [runtime | hospital | node | provider | auditor | provider-image | development | bft |
docs]`: `runtime` is for all sites on one machine, a site's own set for a machine of that one site, and `provider-image`
for a container that installs nothing when it starts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from pipeline.errors import Misconfigured
from pipeline.site.settings import Settings
from pipeline.tools import development, runtime, toolchains

_HEARTBEAT_SECONDS = 20

_PYTHON: Mapping[str, Callable[[Settings], object]] = {"Python environment": runtime.python_environment}
_NO_TORCH: Mapping[str, Callable[[Settings], object]] = {
    "Python environment": lambda settings: runtime.python_environment(settings, trains=False)
}

# The longest first.
SETS: Mapping[str, Mapping[str, Callable[[Settings], object]]] = {
    "runtime": {
        "object store": runtime.usual_store_server,
        "store's guard": runtime.guard_environment,
        "Python environment": runtime.python_environment,
        "SPU environment": runtime.spu_environment,
        "npm packages": runtime.npm_packages,
    },
    "hospital": _PYTHON,
    "node": {**_NO_TORCH, "SPU environment": runtime.spu_environment},
    # The development chain's packages come with `wardround up`, where the ledger is to stand on one, and PostgreSQL
    # where the machine has none.
    "provider": {
        "object store": runtime.usual_store_server,
        "store's guard": runtime.guard_environment,
        **_NO_TORCH,
    },
    # A container gets no network namespace, in which MinIO would be shut in.
    "provider-image": {
        "object store": lambda settings: runtime.store_server(settings, "versitygw"),
        "store's guard": runtime.guard_environment,
        "PostgreSQL": runtime.postgres_environment,
        "npm packages": runtime.npm_packages,
        **_NO_TORCH,
    },
    "auditor": _NO_TORCH,
    "development": {
        "MinIO": lambda settings: runtime.store_server(settings, "minio"),
        "versitygw": lambda settings: runtime.store_server(settings, "versitygw"),
        "store's guard": runtime.guard_environment,
        "Python environment": lambda settings: runtime.python_environment(settings, develop=True),
        "SPU environment": runtime.spu_environment,
        "PostgreSQL": runtime.postgres_environment,
        "Slither environment": development.slither_environment,
        "npm packages": lambda settings: runtime.npm_packages(settings, develop=True),
    },
    "bft": {"BFT validator": development.bft_validator},
    "docs": {"environment of the docs": development.docs_environment},
}
"""What is installed together: title to what makes it."""


def main(names: Sequence[str]) -> int:
    """Install the named set, saying what is ready and what still runs; the exit code."""
    name, *more = names or ["runtime"]
    if more or name not in SETS:
        _say(f"got {' '.join(names)}, want one of {', '.join(SETS)}")
        return 2
    settings = Settings.of_environment()
    try:
        # Before anything that takes minutes.
        toolchains.python(settings)
    except Misconfigured as none:
        _say(str(none))
        return 1
    started = time.monotonic()
    failed = False
    with ThreadPoolExecutor(max_workers=len(SETS[name])) as pool:
        waiting = {pool.submit(make, settings): title for title, make in SETS[name].items()}
        while waiting:
            done, _ = wait(waiting, timeout=_HEARTBEAT_SECONDS, return_when=FIRST_COMPLETED)
            seconds = time.monotonic() - started
            for future in done:
                title = waiting.pop(future)
                error = future.exception()
                failed = failed or error is not None
                _say(f"{title}: {error}" if error else f"{title}: ready ({seconds:.0f} s)")
            if not done:
                _say(f"at work for {seconds:.0f} s: {', '.join(waiting.values())}")
    return int(failed)


def _say(text: str) -> None:
    sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
