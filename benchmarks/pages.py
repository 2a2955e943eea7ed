"""Writes the tables of README and docs/reference/results from results/: `python -m benchmarks.pages`.

A test holds them current.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.tables import (
    audit,
    baselines,
    defaults,
    front,
    gas,
    hpmpc,
    large,
    mpc,
    panels,
    pictures,
    poisoning,
    rounds,
    scores,
    sites,
    work,
)
from pipeline.mpc import price

PROJECT = Path(__file__).parent.parent
DOCUMENTS = (PROJECT / "README.md", *sorted((PROJECT / "docs" / "reference" / "results").glob("*.md")))
RESULTS = Path(__file__).parent / "results"

_BLOCK = re.compile(
    r"(?P<begin><!-- (?P<name>[a-z ]+): made by `python -m benchmarks\.pages` -->)(?:.*?(?P<end><!-- end of (?P=name)"
    r" -->))?",
    re.DOTALL,
)


def rendered(text: str) -> str:
    """A document's text with its tables made anew.

    Raises ValueError for a table that has no end or that nobody makes.
    """
    tables = _tables()

    def made(block: re.Match[str]) -> str:
        name = block["name"]
        if name not in tables:
            raise ValueError(f"got a table {name!r}, want one of {', '.join(sorted(tables))}")
        if not block["end"]:
            raise ValueError(f"table {name!r} has no line `<!-- end of {name} -->` below it")
        return f"{block['begin']}\n\n{tables[name]}\n{block['end']}"

    return _BLOCK.sub(made, text)


def _tables() -> dict[str, str]:
    return {
        "results": front.table(*(_read(name) for name in ("round", "poisoning", "mpc", "hpmpc", "gas", "audit"))),
        "rounds": rounds.table(_read("round")),
        "audit": audit.table(_read("audit")),
        "gas": gas.table(_read("gas")),
        "verification": mpc.table(_read("mpc"), _read("mpc_grid")),
        "engines of others": hpmpc.table(_read("hpmpc")),
        "prices": work.table(_read("work"), json.loads(price.FILE.read_text())),
        "panels": panels.cost(_read("panels")),
        "misled panels": panels.odds(_read("panels")),
        "panels in the laboratory": poisoning.panels(_read("poisoning")),
        "large models": large.table(_read("large")),
        "baselines": baselines.table(
            [json.loads(file.read_text()) for file in sorted((RESULTS / "baselines").glob("*.json"))]
        ),
        "commits": poisoning.commits(*(_read(f"poisoning{part}") for part in ("", "-separability", "-encrypted"))),
        "poisoning in short": poisoning.summary(_read("poisoning"), poisoning.BEST_KNOWN),
        "long studies": poisoning.long_studies(_read("poisoning")),
        "head in short": poisoning.head_in_short(_read("poisoning")),
        "head": poisoning.head(_read("poisoning")),
        "large mode": poisoning.large(_read("poisoning"), "large"),
        "large mode later": poisoning.large(_read("poisoning"), "large_late"),
        "each defence": poisoning.summary(_read("poisoning")),
        "all attacks": poisoning.whole(_read("poisoning")),
        "other defences": poisoning.others(_read("poisoning")),
        "privacy floor": poisoning.privacy_floor(_read("poisoning")),
        "defaults": defaults.table(_read("defaults")),
        "files of other people": pictures.table(_read("pictures")),
        "sites": sites.sites(_read("sites")),
        "faults between machines": sites.faults(_read("sites")),
        "scores": scores.table(_read("scores")),
        "separability": poisoning.separability(_read("poisoning-separability")),
        "attacked studies under encryption": poisoning.encrypted(_read("poisoning-encrypted")),
    }


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return content


if __name__ == "__main__":
    for document, text in [(document, rendered(document.read_text())) for document in DOCUMENTS]:
        document.write_text(text)
