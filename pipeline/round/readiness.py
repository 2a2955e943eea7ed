"""Whether a round can happen at all, asked before anything of it stands on the ledger.

It concerns what lies on this machine: of members elsewhere it supposes the best, and the round shows whether they come.
"""

from __future__ import annotations

from pipeline.datasets import records
from pipeline.errors import Misconfigured
from pipeline.mpc.engines import engine
from pipeline.site import identity
from pipeline.site.settings import Settings
from pipeline.study.study import Study


def require(study: Study, settings: Settings) -> None:
    """Check that a round can happen at all.

    Raises Misconfigured, saying what to do, where too few hospitals have records or a node here lacks the engine.
    """
    here = [name for name in study.hospitals if identity.is_here(settings.hospital(name))]
    without = [name for name in here if not records.kept(settings.hospital(name), study.dataset)]
    able = len(study.hospitals) - len(without)
    if able < study.accepted_floor:
        raise Misconfigured(
            f"study {study.name}: got no records of {study.dataset} at {', '.join(without)}, "
            f"so {able} of {len(study.hospitals)} hospitals could take part, want at least {study.accepted_floor}; "
            "run `wardround up` with a network, or with WARDROUND_DATA naming a folder that holds the data set, "
            f"or put each hospital's own into data/records/{study.dataset} of its folder"
        )
    nodes = [name for name in study.nodes if identity.is_here(settings.node(name))]
    if nodes and (problems := engine(study.engine, settings).problems()):
        raise Misconfigured(f"study {study.name}: its engine {study.engine} cannot run here: {problems[0]}")
