"""Round records: canonical bytes that contradict themselves nowhere, and what nodes vote for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipeline.audit.round_record import RoundRecord
from pipeline.evidence.canonical import canonical_json, sha256
from tests.vectors.files import Given

ABOUT = (
    "given.stored is a record's bytes as text; want.sha256 its digest, want.result what a node that agrees with it"
    " votes for. A record is refused unless its bytes are canonical and its fields agree with one another"
)

_HOSPITALS = ("northgate", "eastfield", "westbrook", "southmoor", "hillside")
_NODES = ("alder", "birch", "cedar")
_VERDICTS = dict.fromkeys(_HOSPITALS[:3], "accepted") | {"southmoor": "rejected", "hillside": "absent"}
_RECORD: dict[str, Any] = {
    "round": 7,
    "study": "wisconsin",
    "study_digest": "11" * 32,
    "previous_model": "22" * 32,
    "commit_root": "33" * 32,
    "engine": "spu",
    "protocol": "aby3",
    "classes": ["benign", "malignant"],
    "hospitals": [{"name": name, "address": f"0x{index:040x}"} for index, name in enumerate(_HOSPITALS, 1)],
    "nodes": [{"name": name, "address": f"0x{index:040x}"} for index, name in enumerate(_NODES, 17)],
    "min_accepted": 3,
    "strike_rule": {"strikes": 4, "window": 5},
    "inputs": {name: sha256(name.encode()) for name in _HOSPITALS[:4]},
    "absent": {"hillside": "no_manifest"},
    "verdicts": _VERDICTS,
    "failed": {},
    "budget": None,
    "next_budget": 1 << 40,
    "strikes": {"southmoor": [6, 7]},
    "quarantined": [],
    "new_model": "44" * 32,
    "averaged": 3,
    "programs": "55" * 32,
    "course": None,
    "subgroups": None,
    "panel": None,
    "seed": None,
}
_SUBGROUPS: dict[str, Any] = {
    "floor": 10,
    "scored": False,
    "hospitals": list(_HOSPITALS[:3]),
    "uncounted": [],
    "broke": [],
    "groups": [
        {"column": "sex", "name": "women", "counts": [14, 2, 3, 17, 16, 19]},
        {"column": "sex", "name": "men", "counts": [20, 1, 4, 11, 20, 15]},
        {"column": "ward", "name": "surgery", "counts": None},
        {"column": "ward", "name": "medicine", "counts": None},
    ],
}
_GOOD = {
    "first_round": {},
    "later_round": {"budget": 1 << 39},
    "names_the_failed_condition": {"failed": {"southmoor": "direction"}},
    "of_a_study_with_a_course": {
        "course": {
            "target": {"measure": "sensitivity", "of": "ill", "value": "0.95"},
            "patience": 4,
            "most_rounds": 30,
        }
    },
    "counts_by_subgroup": {"subgroups": _SUBGROUPS},
    "opens_no_totals_by_subgroup": {
        "subgroups": _SUBGROUPS | {"uncounted": ["northgate"], "broke": ["southmoor"], "groups": None}
    },
    "large_model": {"seed": "66" * 32},
    "panel_for_each_model": {"panel": 3, "seed": "66" * 32},
    "panel_of_a_round_that_measures_inputs": {"panel": 3, "next_budget": None},
}
_BAD: dict[str, tuple[dict[str, Any], str]] = {
    "bad_a_verdict_is_missing": (
        {"verdicts": {name: _VERDICTS[name] for name in _HOSPITALS[:4]}},
        "verdicts: got",
    ),
    "bad_verdict_of_an_absent_hospital": ({"verdicts": _VERDICTS | {"hillside": "rejected"}}, "inputs, absent: want"),
    "bad_verdict_unknown": ({"verdicts": _VERDICTS | {"southmoor": "tolerated"}}, "verdicts"),
    "bad_too_few_accepted": ({"verdicts": _VERDICTS | {"northgate": "rejected"}}, "got 2 accepted hospitals"),
    "bad_averages_more_than_accepted": ({"averaged": 4}, "averaged: got 4"),
    "bad_failed_of_an_accepted_hospital": ({"failed": {"northgate": "size"}}, "failed: want none"),
    "bad_quarantined_stranger": ({"quarantined": ["lakeview"]}, "quarantined, strikes"),
    "bad_hospital_twice": ({"hospitals": _RECORD["hospitals"][:1] + _RECORD["hospitals"]}, "hospitals: want every"),
    "bad_node_twice": ({"nodes": _RECORD["nodes"][:1] + _RECORD["nodes"]}, "nodes: want every"),
    "bad_of_one_class": ({"classes": ["benign"]}, "classes"),
    "bad_another_field": ({"finished_at": 1790000000}, "finished_at"),
    "bad_round_zero": ({"round": 0}, "round"),
    "bad_round_is_text": ({"round": "7"}, "round"),
    "bad_negative_budget": ({"next_budget": -1}, "next_budget"),
    "bad_course_without_an_end": ({"course": {"target": None, "patience": None, "most_rounds": None}}, "course"),
    "bad_stranger_whose_counts_broke_their_bounds": (
        {"subgroups": _SUBGROUPS | {"broke": ["lakeview"]}},
        "subgroups.broke",
    ),
    "bad_stranger_that_counted_nothing": (
        {"subgroups": _SUBGROUPS | {"uncounted": ["hillside"]}},
        "subgroups.broke, uncounted",
    ),
    "bad_group_twice": (
        {"subgroups": _SUBGROUPS | {"groups": [*_SUBGROUPS["groups"], _SUBGROUPS["groups"][3]]}},
        "every group of a column once",
    ),
    "bad_groups_of_a_column_apart": (
        {"subgroups": _SUBGROUPS | {"groups": _SUBGROUPS["groups"][1:] + _SUBGROUPS["groups"][:1]}},
        "one after another",
    ),
    "bad_group_with_a_count_too_few": (
        {"subgroups": _SUBGROUPS | {"groups": [{"column": "sex", "name": "men", "counts": [20, 1, 4, 11, 20]}]}},
        "want 6 counts of each group",
    ),
    "bad_count_beyond_the_cap": (
        {"subgroups": _SUBGROUPS | {"groups": [{"column": "sex", "name": "men", "counts": [1 << 18] * 6}]}},
        "subgroups.groups.0.counts.0",
    ),
    "bad_floor_below_that_of_any_study": ({"subgroups": _SUBGROUPS | {"floor": 9}}, "subgroups.floor"),
    "bad_negative_count": (
        {"subgroups": _SUBGROUPS | {"groups": [{"column": "sex", "name": "men", "counts": [-1]}]}},
        "subgroups.groups.0.counts.0",
    ),
    "bad_panel_that_nothing_drew": ({"panel": 3}, "seed: got none"),
    "bad_panel_of_nobody": ({"panel": 0, "seed": "66" * 32}, "panel"),
    "bad_upper_case_digest": ({"new_model": "AA" * 32}, "new_model"),
}
_BAD_TEXTS = {
    "bad_spaces": (lambda text: text.replace(",", ", ", 1), "not canonical"),
    "bad_key_twice": (lambda text: text.replace('"absent":', '"absent":{},"absent":', 1), "not canonical"),
    "bad_truncated": (lambda text: text[:-1], "round record"),
    "bad_float": (lambda text: text.replace('"averaged":3', '"averaged":3.0'), "averaged"),
}
REFUSED = {name: says for name, (_, says) in (_BAD | _BAD_TEXTS).items()}


def given(kept: Mapping[str, Given]) -> dict[str, Given]:
    changes = _GOOD | {name: change for name, (change, _) in _BAD.items()}
    texts = {name: _stored(change) for name, change in changes.items()}
    texts |= {name: damage(_stored({})) for name, (damage, _) in _BAD_TEXTS.items()}
    return {name: {"stored": text} for name, text in texts.items()}


def answer(given: Given) -> dict[str, Any]:
    record = RoundRecord.from_bytes(given["stored"].encode())
    return {"sha256": record.digest, "result": asdict(record.result)}


def _stored(change: Mapping[str, Any]) -> str:
    return canonical_json(_RECORD | change).decode()
