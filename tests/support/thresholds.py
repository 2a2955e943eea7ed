"""The rule's thresholds for studies of tests, whose few samples make each answer many points."""

from __future__ import annotations

from collections.abc import Mapping

FOR_FEW_SAMPLES: Mapping[str, int] = {
    "below_global_early_percent": 40,
    "below_peers_early_percent": 40,
    "below_global_percent": 15,
    "below_peers_percent": 20,
    "weakest_class_below_global_early_percent": 75,
    "weakest_class_below_global_percent": 75,
    "weakest_class_below_peers_early_percent": 75,
    "weakest_class_below_peers_percent": 75,
}
