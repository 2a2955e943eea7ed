"""An experiment of one's own, as the DAG `poisoning_lab` asks for it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from benchmarks.poisoning.experiment import main
from pipeline.errors import Misconfigured


def test_an_experiment_leaves_rows_with_their_gap_to_attack_free_averaging_and_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(
        ["sign_flip"],
        ["wardround"],
        tmp_path,
        "breast_cancer",
        hospitals=5,
        attackers=1,
        alpha=100.0,
        rounds=2,
        seeds=1,
    )
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert {(row["attack"], row["defence"], row["seeds"]) for row in rows} == {
        ("none", "fedavg", 1),
        ("sign_flip", "wardround", 1),
    }
    (attacked,) = (row for row in rows if row["attack"] == "sign_flip")
    assert attacked["gap_mean"] is not None
    assert "sign_flip" in capsys.readouterr().out
    with (tmp_path / "accuracy-per-round.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    assert (tmp_path / "heat-map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("attack", {"attack": ["nonsense"]}),
        ("defence", {"defence": []}),
        ("dataset", {"dataset": "x"}),
        ("attackers", {"attackers": 10}),
    ],
)
def test_a_wrong_field_is_refused_with_what_is_allowed(tmp_path: Path, field: str, change: dict[str, object]) -> None:
    asked: dict[str, object] = {
        "attack": ["none"],
        "defence": ["fedavg"],
        "out": tmp_path / "out",
        "dataset": "breast_cancer",
    }
    with pytest.raises(Misconfigured, match=f"{field}: got .*, want "):
        main(**{**asked, "hospitals": 10, "attackers": 1, **change})  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
