"""Writes the tables of README and docs from results/: `python -m benchmarks.readme`; a test holds that they are up to date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.tables import audit, baselines, gas, mpc, poisoning, rounds

PROJECT = Path(__file__).parent.parent
DOCUMENTS = (PROJECT / "README.md", PROJECT / "docs" / "reference" / "results" / "poisoning.md")
RESULTS = Path(__file__).parent / "results"


def rendered(text: str) -> str:
    """A document's text with its tables made anew."""
    for name, table in _tables().items():
        begin, end = f"<!-- {name}: made by `python -m benchmarks.readme` -->", f"<!-- end of {name} -->"
        if begin in text:
            before, rest = text.split(begin)
            _, after = rest.split(end)
            text = f"{before}{begin}\n\n{table}\n{end}{after}"
    return text


def _tables() -> dict[str, str]:
    return {
        "rounds": rounds.table(_read("round")),
        "audit": audit.table(_read("audit")),
        "gas": gas.table(_read("gas")),
        "verification": mpc.table(_read("mpc"), _read("mpc_grid")),
        "baselines": baselines.table([json.loads(file.read_text()) for file in sorted((RESULTS / "baselines").glob("*.json"))]),
        "poisoning in short": poisoning.summary(_read("poisoning")),
        "poisoning": poisoning.table(_read("poisoning")),
        "all attacks": poisoning.whole(_read("poisoning")),
        "other defences": poisoning.others(_read("poisoning")),
        "privacy floor": poisoning.privacy_floor(_read("poisoning")),
        "separability": poisoning.separability(_read("poisoning-separability")),
        "attacked studies under encryption": poisoning.encrypted(_read("poisoning-encrypted")),
    }


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return content


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(rendered(document.read_text()))
