"""Lying judge: trains and updates honestly.

But mislabels every validation sample that it contributes, to have others rejected.

Every attacker of the laboratory does the latter beside its own attack; alone it shows what that costs the honest.
"""

from __future__ import annotations

from benchmarks.poisoning.kinds import Attack

ATTACK = Attack(
    "Wardround, docs/explanation/threat-model.md",
    "honest updates, mislabelled validation samples",
    harm="none",
    alters_own=True,
)
