"""What `make test-sites` saw, for the docs: rounds between machines beside the same on one, and each fault's end.

`make test-sites && python -m benchmarks.sites && python -m benchmarks.pages`
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import psutil

from pipeline.host.files import write_atomic
from pipeline.site.settings import PROJECT

SEEN = PROJECT / "build" / "sites"
"""Where the tests write."""

RESULTS = Path(__file__).parent / "results" / "sites.json"


def gathered() -> dict[str, Any]:
    """One result of all that the tests wrote; FileNotFoundError where they did not run to their end."""
    one_machine, rounds, sites, faults = (
        json.loads((SEEN / f"{name}.json").read_text()) for name in ("one_machine", "rounds", "sites", "faults")
    )
    return {
        "cores": psutil.cpu_count(),
        "seconds_on_one_machine": [round(seconds, 1) for seconds in one_machine],
        "seconds_between_machines": [round(seconds, 1) for seconds in rounds],
        # While the first round ran between machines, they were looked at.
        "ratios": {
            "between_over_one": round(statistics.mean(rounds[1:]) / statistics.mean(one_machine[1:]), 2),
        },
        "sites": sites,
        "faults": [{**row, "seconds": row["seconds"] and round(row["seconds"])} for row in faults],
    }


if __name__ == "__main__":
    result = gathered()
    write_atomic(RESULTS, (json.dumps(result, indent=2, ensure_ascii=False) + "\n").encode())
    print(json.dumps(result["ratios"], indent=2))
