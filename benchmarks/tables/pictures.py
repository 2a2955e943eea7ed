"""Which files of other people are read right, refused, or wrong."""

from __future__ import annotations

from collections import Counter
from typing import Any


def table(measured: dict[str, Any]) -> str:
    """Files by their compression and by the reason for which they are refused."""
    rows = measured["rows"]
    outcomes = Counter(row["outcome"] for row in rows)
    read = [row for row in rows if row["outcome"] != "refused"]
    lines = ["| transfer syntax | read right | wrong | largest difference, of 255 levels |", "|---|---|---|---|"]
    for name in sorted({row["compression"] for row in read}):
        kind = [row for row in read if row["compression"] == name]
        right = sum(row["outcome"] == "right" for row in kind)
        lines.append(f"| {name} | {right} | {len(kind) - right} | {max(row['levels'] for row in kind)} |")
    refused = Counter(row["reason"] for row in rows if row["outcome"] == "refused")
    lines += ["", "| refused, since the file | files |", "|---|---|"]
    lines += [f"| {reason} | {count} |" for reason, count in refused.most_common()]
    readers = " and ".join(f"{name} {version}" for name, version in measured["second_readers"].items())
    ours = ", ".join(f"{name} {version}" for name, version in measured["versions"].items())
    said = (
        f"All {len(rows)} files that pydicom ships for its tests: {outcomes['right']} read right, {outcomes['refused']}"
        f" refused, {outcomes['wrong']} wrong. Right is what a second reader shows, {readers}, within 1 of 255 levels,"
        f" and within 2 after a compression with a loss. Ours: {ours}."
    )
    return "\n".join([said, "", *lines]) + "\n"
