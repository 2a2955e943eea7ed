"""Writes the README's tables from results/: `python -m benchmarks.readme`; a test holds that they are up to date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"
RESULTS = Path(__file__).parent / "results"
_BEGIN, _END = "<!-- figures: made by `python -m benchmarks.readme` -->", "<!-- end of figures -->"


_POISONING_BEGIN, _POISONING_END = "<!-- poisoning: made by `python -m benchmarks.readme` -->", "<!-- end of poisoning -->"
_LAB_LIMITS = "rows with fewer than 5 seeds are first looks, and settings without a row were not run."
_BASELINES_BEGIN, _BASELINES_END = "<!-- baselines: made by `python -m benchmarks.readme` -->", "<!-- end of baselines -->"
_MPC_BEGIN, _MPC_END = "<!-- mpc: made by `python -m benchmarks.readme` -->", "<!-- end of mpc -->"


def rendered(text: str) -> str:
    """The README's text with its tables made anew; raises ValueError when the markers are gone."""
    text = _between(text, _BEGIN, _END, "\n".join((_rounds(_read("round")["rows"]), _gas(_read("gas")))))
    text = _between(text, _MPC_BEGIN, _MPC_END, _mpc(_read("mpc")))
    found = [json.loads(file.read_text()) for file in sorted((RESULTS / "baselines").glob("*.json"))]
    text = _between(text, _BASELINES_BEGIN, _BASELINES_END, _baselines(found))
    return _between(text, _POISONING_BEGIN, _POISONING_END, _poisoning(json.loads((RESULTS / "poisoning.json").read_text())))


def _poisoning(found: dict[str, Any]) -> str:
    defences = ("wardround", "wardround_without_inference", "fedavg", "accuracy_filter", "multi_krum", "fltrust", "flame")
    lines = []
    for dataset, hospitals in sorted({(row["dataset"], row["n"]) for row in found["rows"]}):
        own = [row for row in found["rows"] if (row["dataset"], row["n"]) == (dataset, hospitals)]
        by_name = {(row["attack"], row["defence"]): row for row in own}
        shown = [name for name in defences if any(row["defence"] == name for row in own)]
        heads = " | ".join(name.replace("_", " ") for name in shown)
        lines += [
            f"{dataset}, {hospitals} hospitals, test accuracy (worst seed; seeds):",
            "",
            f"| attack | {heads} | kept out | false rejects | backdoor success, natural miss |",
            "|---" * (len(shown) + 4) + "|",
        ]
        for attack in dict.fromkeys(row["attack"] for row in own):
            rows = [by_name.get((attack, name)) for name in shown]
            cells = [f"{row['accuracy_mean']} ({row['accuracy_worst']}; {row['seeds']})" if row else "not run" for row in rows]
            ours = by_name.get((attack, "wardround"))
            kept = [f"{ours[name]}" if ours and ours[name] is not None else "" for name in ("rejected", "false_rejects")]
            success = f"{ours['asr']}, {ours['natural_miss']}" if ours else ""
            lines.append(f"| {attack} | {' | '.join(cells)} | {kept[0]} | {kept[1]} | {success} |")
        lines.append("")
    return "\n".join([*lines, f"Runs of commit {found['commit']}; {_LAB_LIMITS}"]) + "\n"


def _between(text: str, begin: str, end: str, table: str) -> str:
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{table}\n{end}{after}"


def _mpc(result: dict[str, Any]) -> str:
    lines = [
        "| Model, pooling | Models x images | Engine, protocol | Round trip ms | CPU s, all nodes | Wall s | Rounds | MB | MB RSS a node "
        "| PyTorch CPU s | Equal to the reference |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        layout = f" ({row['profile']})" if row["profile"] else ""
        lines.append(
            f"| {row['model']}, {row['pooling']} | {row['models']} x {row['images']} | {row['engine']} {row['protocol']}{layout} "
            f"| {row['round_trip_ms']} | {row['cpu_s']:.2f} | {row['wall_s']} | {row['rounds'] or 'not told'} | {row['mb']} "
            f"| {row['rss_mb']} | {row['plain_cpu_s']:.5f} | {'yes' if row['equal_to_reference'] else 'no'} |"
        )
    ratios = result["ratios"]
    said = [
        f"MP-SPDZ's own layers take {ratios['stock_over_ours']} times our CPU",
        f"SPU {ratios['spu_over_ours']} times",
        f"rep4-ring {ratios['rep4_over_semi_honest']} times replicated-ring",
    ]
    over = ", ".join(f"{name}: {times}" for name, times in ratios["encrypted_over_plain"].items())
    return (
        "\n".join(lines)
        + f"\n\nSmall CNN with average pooling, 5 models x 64 images: {'; '.join(said)}. Encrypted over plain CPU: {over}. "
        "Our rows and SPU's are the whole rule, MP-SPDZ's own layers the counts alone. All nodes on one machine of "
        f"{result['machine']['cores']} cores at load {result['machine']['load']}. `make bench-mpc` measures it again.\n"
    )


def _baselines(results: list[dict[str, Any]]) -> str:
    columns = [
        ("own SVM", "hospital", "svm"),
        ("own LR", "hospital", "logistic_regression"),
        ("own tree", "hospital", "decision_tree"),
        ("pooled SVM", "pooled", "svm"),
        ("pooled LR", "pooled", "logistic_regression"),
        ("pooled tree", "pooled", "decision_tree"),
        ("pooled network", "pooled", "network"),
        ("**federated network**", "federated", "network"),
    ]
    lines = ["| Study | Seeds, rounds | " + " | ".join(title for title, _, _ in columns) + " | below pooled network |"]
    lines.append("|" + "---|" * (len(columns) + 3))
    for result in results:
        cells = []
        for _, where, model in columns:
            score = result[where][model]["all"]
            cells.append(f"{score['accuracy']:.1%}" + (f" ± {100 * score['deviation']:.1f}" if where == "federated" else ""))
        first = (result["study"], f"{len(result['seeds'])}, {result['rounds']}")
        lines.append(f"| {' | '.join((*first, *cells))} | {result['points_below_pooled']} points |")
    refused = ", ".join(f"{result['honest_rejected']} of {result['honest_verdicts']} ({result['study']})" for result in results)
    return "\n".join([*lines, "", f"Verdicts that rejected an honest hospital: {refused}."]) + "\n"


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return content


def _gas(found: dict[str, Any]) -> str:
    lines = ["| Gas on the ledger | 5 hospitals | 20 | 100 |", "|---|---|---|---|"]
    for name, key in (
        (f"a round ({found['nodes']} nodes), three transactions", "round"),
        ("the least that these can cost", "floor"),
        ("a round of 4 nodes", "round_of_4_nodes"),
        ("the least", "floor_of_4_nodes"),
    ):
        lines.append(f"| {name} | " + " | ".join(f"{found[key][count]:,}" for count in ("5", "20", "100")) + " |")
    said = (
        f"A hospital registers for {found['register']:,} gas and is authorised for {found['authorise_in_batch']:,} in a batch of "
        f"{found['batch']}. Measured on anvil, fork {found['hardfork']}; the least is the transactions, their calldata, storage, events "
        "and signatures without one instruction between them. `benchmarks/gas.py` measures it again."
    )
    return "\n".join([*lines, "", said]) + "\n"


def _rounds(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| Study | Engine | Hospitals, samples each | Parameters | s per verified round | of it verify, aggregate "
        "| plain averaging, s | ratio | accuracy, plain averaging |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        stages, accuracy = row["seconds_per_stage"], row["accuracy"]
        lines.append(
            f"| {row['study']} | {row['engine']} {row['protocol']} | {row['hospitals']}, {row['samples_per_hospital']} "
            f"| {row['parameters']} "
            f"| {row['seconds_per_round']} | {stages.get('verify')}, {stages.get('aggregate')} | {row['seconds_plain_averaging']} "
            f"| {row['ratios']['verified_over_plain']} | {accuracy['verified']:.1%}, {accuracy['plain_averaging']:.1%} |"
        )
    machine = f"{rows[0]['cores']} cores, everything on one machine" if rows else "no machine"
    return (
        "\n".join([*lines, "", f"Measured on {machine}; one of the hospitals flips its labels. `benchmarks/round.py` measures it again."])
        + "\n"
    )


if __name__ == "__main__":
    README.write_text(rendered(README.read_text()))
