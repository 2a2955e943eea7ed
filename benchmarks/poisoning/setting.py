"""What the rows of one table or picture share: the consortium, how skewed it is, how many attack and from when on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, order=True)
class Setting:
    """What a table's rows share."""

    dataset: str
    n: int
    attackers: int
    alpha: float
    rounds: int
    first_attack: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Setting:
        """A row's own."""
        return cls(**{field.name: row[field.name] for field in fields(cls)})

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether the row belongs into this table.

        A row without attackers belongs into each table of the same hospitals.
        """
        setting = Setting.of(row)
        if row["attack"] == "none":
            setting = replace(setting, attackers=self.attackers, first_attack=self.first_attack)
        return setting == self

    @property
    def title(self) -> str:
        """In words."""
        skew = "each with its own patients" if self.alpha == 0 else f"Dirichlet {self.alpha:g}"
        bad = "1 attacker" if self.attackers == 1 else f"{self.attackers} attackers"
        late = f" from round {self.first_attack + 1} on" if self.first_attack else ""
        return f"{self.dataset}, {self.n} hospitals ({skew}), {bad}{late}, {self.rounds} rounds"


MAIN = (Setting("heart_disease", 4, 1, 0.0, 12, 0), Setting("pneumonia", 10, 3, 0.5, 12, 0))
"""Those of the page's tables, in which every attack is played."""

ON_FEATURES = replace(MAIN[1], dataset="pneumonia_head")
"""The second of them for a head before a public backbone's features."""


def attacked(rows: Iterable[Mapping[str, Any]]) -> list[Setting]:
    """The settings of these rows in which somebody attacks, in order."""
    return sorted({Setting.of(row) for row in rows if row["attack"] != "none"})
