"""SPU's runtime without JAX.

The package imports that at once, which is most of a party's start, and only the compiler needs it.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec, module_from_spec

_spec = find_spec("spu")
if _spec is None or _spec.loader is None:
    raise ModuleNotFoundError("spu: got no such package, want SPU's environment; run `make setup`")
_loader = _spec.loader
_package = sys.modules.setdefault("spu", module_from_spec(_spec))
"""Where the package's modules belong; its own code has not run."""

api = importlib.import_module("spu.api")
libspu = importlib.import_module("spu.libspu")
api.check_cpu_feature()


def load_compiler() -> None:
    """Run the package's own code, with which JAX and the compiler come."""
    _loader.exec_module(_package)
