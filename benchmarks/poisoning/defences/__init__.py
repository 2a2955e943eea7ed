"""The defences of the literature by name; Wardround's own rule stands in `benchmarks.poisoning.wardround`."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.poisoning.defences.accuracy_filter import accuracy_filter
from benchmarks.poisoning.defences.bulyan import bulyan
from benchmarks.poisoning.defences.centred_clipping import centred_clipping
from benchmarks.poisoning.defences.dnc import dnc
from benchmarks.poisoning.defences.fedavg import fedavg
from benchmarks.poisoning.defences.flame import flame
from benchmarks.poisoning.defences.fltrust import fltrust
from benchmarks.poisoning.defences.median import median
from benchmarks.poisoning.defences.multi_krum import multi_krum
from benchmarks.poisoning.defences.norm_clipping import norm_clipping
from benchmarks.poisoning.defences.rfa import rfa
from benchmarks.poisoning.defences.trimmed_mean import trimmed_mean
from benchmarks.poisoning.kinds import Defence

DEFENCES: Mapping[str, Defence] = {
    "fedavg": fedavg,
    "median": median,
    "trimmed_mean": trimmed_mean,
    "multi_krum": multi_krum,
    "bulyan": bulyan,
    "fltrust": fltrust,
    "flame": flame,
    "rfa": rfa,
    "centred_clipping": centred_clipping,
    "norm_clipping": norm_clipping,
    "dnc": dnc,
    "accuracy_filter": accuracy_filter,
}
