"""A study file: the shipped ones load, and a wrong one is refused with file, field, value and what is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.domain import HospitalName, NodeName
from pipeline.errors import InvalidStudy, Misconfigured
from pipeline.site.consortium import Consortium, LedgerLocation, Node
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study

SHIPPED = sorted((PROJECT / "studies").glob("*.yaml"))
TOO_LARGE = [{"Flatten": {}}, {"Linear": {"out_features": 200}}, {"Linear": {"out_features": 2}}]
WIDE = [
    *(
        {"Conv2d": {"out_channels": 64, "kernel_size": 5, "padding": 2}},
        {"ReLU": {}},
        {"MaxPool2d": {"kernel_size": 4}},
    ),
    *({"Flatten": {}}, {"Linear": {"out_features": 55}}, {"ReLU": {}}, {"Linear": {"out_features": 2}}),
]
"""11,040,551 parameters on pictures of 224 x 224."""
LENET = [
    *({"Conv2d": {"out_channels": 20, "kernel_size": 5}}, {"MaxPool2d": {"kernel_size": 2}}, {"ReLU": {}}),
    *({"Conv2d": {"out_channels": 50, "kernel_size": 5}}, {"MaxPool2d": {"kernel_size": 2}}, {"ReLU": {}}),
    *({"Flatten": {}}, {"Linear": {"out_features": 500}}, {"ReLU": {}}, {"Linear": {"out_features": 2}}),
]
BASE: dict[str, Any] = yaml.safe_load((PROJECT / "studies" / "pneumonia.yaml").read_text())


def changed(folder: Path, **changes: Any) -> Path:
    """A study file that differs from pneumonia's in the named fields; `a__b` is field b of a, None drops a field."""
    content = yaml.safe_load(yaml.safe_dump(BASE))
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = content
        for parent in parents:
            place = place[parent]
        if value is None:
            place.pop(last)
        else:
            place[last] = value
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.mark.parametrize("file", SHIPPED, ids=[file.stem for file in SHIPPED])
def test_a_shipped_study_loads_and_names_its_hospitals_and_the_nodes_that_its_protocol_takes(file: Path) -> None:
    study = Study.load(file)
    natural = study.dataset == "heart_disease"
    assert study.hospitals == (study.source.sites if natural else ("aster", "birch", "cedar", "dahlia", "elm"))
    assert study.accepted_floor == 3
    assert study.data_contract.min_per_class >= (5 if natural else 10)
    assert (study.engine, study.protocol, len(study.nodes)) in {("spu", "aby3", 3), ("mp-spdz", "rep4-ring", 4)}


def test_a_study_is_named_by_its_file(tmp_path: Path) -> None:
    assert Study.load(changed(tmp_path)).name == "mine"


def _block(*layers: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"Residual": {"layers": list(layers)}}]


@pytest.mark.parametrize(
    ("changes", "field", "got", "wanted"),
    [
        ({"nodes": ["north", "east", "aster"]}, "nodes", "aster", "names that no hospital has"),
        ({"nodes": ["north", "east", "record"]}, "nodes", "record", "no words of the store's paths"),
        ({"title": "two\nseed: 9"}, "title", "two", "match pattern"),
        ({"title": ""}, "title", "''", "at least 1 character"),
        ({"dataset": "lungs"}, "dataset", "'lungs'", "one of breast_cancer, heart_disease, pneumonia"),
        ({"model": [{"Conv3d": {}}]}, "model.0", "Conv3d", "one layer of AvgPool2d, Conv2d, "),
        (
            {"model": [{"Flatten": {}}, {"Linear": {"out_features": 2, "colour": 1}}]},
            "model.1",
            "colour",
            "one layer of",
        ),
        ({"model": [{"Flatten": {}}, {"Linear": {"out_features": -2}}]}, "model.1", "-2", "from 1"),
        (
            {"model": [{"Conv2d": {"out_channels": 4, "kernel_size": 5, "stride": 0}}]},
            "model.0",
            "'stride': 0",
            "from 1",
        ),
        (
            {"model": [{"Conv2d": {"out_channels": 4, "kernel_size": 5, "padding": -1}}]},
            "model.0",
            "'padding': -1",
            "padding from 0",
        ),
        ({"model": [{"Linear": {"out_features": 2}}]}, "model", "Linear", "put a Flatten before it"),
        (
            {"model": [{"Flatten": {}}, {"Linear": {"out_features": 3}}]},
            "model",
            "3 outputs",
            "2, one per class of pneumonia",
        ),
        (
            {"model": [{"Flatten": {}}, {"Linear": {"out_features": "two"}}]},
            "model.1.Linear.out_features",
            "'two'",
            "valid integer",
        ),
        (
            {"model": TOO_LARGE},
            "model",
            "157402",
            "at most 100000, the limit for the encrypted rule; `mode: large` checks less, on more",
        ),
        ({"mode": "quick"}, "mode", "'quick'", "'full' or 'large'"),
        ({"rule__panel": 5}, "rule.panel", "5", "fewer than the 5 hospitals; without this line all of them try"),
        ({"rule__panel": 2}, "rule.panel", "2", "greater than or equal to 3"),
        ({"mode": "large"}, "model", "3938 parameters in mode large", "more than 100000 and at most 16000000"),
        (
            {"mode": "large", "model": TOO_LARGE, "rule__images_per_hospital": 2},
            "rule.images_per_hospital",
            "2",
            "greater than or equal to 4",
        ),
        ({"model": [{"Flatten": {}, "ReLU": {}}]}, "model.0", "Flatten", "one layer of"),
        ({"model": _block({"Conv3d": {}})}, "model.0", "Residual", "Conv3d has no encrypted form"),
        ({"model": _block({"ReLU": {}, "Flatten": {}})}, "model.0.Residual.layers.0", "Flatten", "at most 1 item"),
        ({"model": _block({"ReLU6": {"out": 1}})}, "model.0", "Residual", "unexpected keyword"),
        ({"model": _block()}, "model.0", "layers", "at least one layer"),
        ({"model": [{"Residual": {}}]}, "model.0", "Residual", "layers"),
        ({"model": [{"Residual": {"layers": 3}}]}, "model.0", "Residual", "layers takes a list of layers"),
        ({"model": [{"Linear": {"out_features": []}}]}, "model.0", "out_features", "out_features takes a whole number"),
        (
            {"model": [{"Flatten": {}}, *_block({"Linear": {"out_features": 9}})]},
            "model",
            "Residual",
            "layer 1 (Residual) takes a block that answers in its input's shape (784,), got one that answers (9,)",
        ),
        (
            {"model": _block(*_block({"ReLU": {}}))},
            "model.0.Residual.layers.0.Residual.layers",
            "ReLU",
            "valid integer",
        ),
        ({"model": []}, "model", "[]", "at least 1 item"),
        ({"training__steps": -12}, "training.steps", "-12", "greater than or equal to 1"),
        ({"training__steps": "twelve"}, "training.steps", "'twelve'", "valid integer"),
        ({"training__learning_rate": float("nan")}, "training.learning_rate", "nan", "finite"),
        ({"training__epochs": 3}, "training.epochs", "3", "Extra inputs are not permitted"),
        ({"rule__images_per_hospital": 2}, "rule.images_per_hospital", "2", "greater than or equal to 4"),
        ({"rule__strikes": 6}, "rule.strikes", "6", "at most strike_window (5)"),
        ({"data_contract__min_per_class": 0}, "data_contract.min_per_class", "0", "greater than or equal to 1"),
        ({"partition__per_class": -1}, "partition.per_class", "-1", "greater than or equal to 0"),
        ({"partition__alpha": 0}, "partition.alpha", "0", "greater than or equal to 0.001"),
        ({"partition__by": "site"}, "partition", "'alpha'", "alpha and per_class go with `by: class`"),
        ({"partition": {"by": "site"}}, "partition.by", "aster", "hospitals named as the data set's sites: none"),
        (
            {"dataset": "heart_disease", "partition": {"by": "site"}},
            "partition.by",
            "elm",
            "cleveland, hungary, switzerland, long-beach",
        ),
        ({"deadlines__result_seconds": 189}, "deadlines", "189", "must exceed commit_seconds (180) by 10 or more"),
        ({"engine": "tea"}, "engine", "'tea'", "'spu' or 'mp-spdz'"),
        ({"protocol": "rep4-ring"}, "protocol", "'rep4-ring'", "one of aby3 for engine spu"),
        ({"engine": "mp-spdz", "protocol": "rep4-ring"}, "nodes", "'west'", "4 nodes for protocol rep4-ring"),
        ({"nodes": ["north", "east"]}, "nodes", "'east'", "at least 3 items"),
        ({"nodes": ["north", "east", "north"]}, "nodes", "'north'", "every name once"),
        ({"hospitals": ["aster", "birch"]}, "hospitals", "'birch'", "at least 3 items"),
        ({"hospitals": ["aster", "birch", "../elm"]}, "hospitals.2", "'../elm'", "pattern"),
        ({"hospitals": ["aster", "birch", "aster"]}, "hospitals", "'birch'", "every name once"),
        ({"min_accepted": 2}, "min_accepted", "2", "at least 3 and a majority of 5 hospitals"),
        ({"min_accepted": 6}, "min_accepted", "6", "no more than there are"),
        ({"training__steps": 100_000_000_000}, "training.steps", "100000000000", "less than or equal to 100000"),
        (
            {"deadlines__commit_seconds": 99999999999999},
            "deadlines.commit_seconds",
            "99999999999999",
            "less than or equal to 604800",
        ),
        (
            {"model": [{"Flatten": {}}, {"Linear": {"out_features": 10**30}}]},
            "model.1.Linear.out_features",
            "10000",
            "less than or equal",
        ),
        (
            {"schedule": "0 3 * * 0 * *"},
            "schedule",
            "'0 3 * * 0 * *'",
            "five fields of cron, such as 0 3 * * 0, or @daily: got 7 fields",
        ),
        ({"schedule": "60 3 * * *"}, "schedule", "'60 3 * * *'", "out of range"),
        ({"schedule": "0 3 30 2 *"}, "schedule", "'0 3 30 2 *'", "failed to find next date"),
        ({"schedule": "sometimes"}, "schedule", "'sometimes'", "five fields of cron"),
        ({"title": "a" * 10_000}, "title", "'aaa", "at most 200 characters"),
        ({"seed": -1}, "seed", "-1", "greater than or equal to 0"),
        ({"course": {}}, "course", "{}", "target, patience or most_rounds"),
        ({"course": {"patience": 0}}, "course.patience", "0", "greater than or equal to 1"),
        ({"course": {"target": {"measure": "accuracy", "value": 85}}}, "course.target.value", "85", "less than 1"),
        (
            {"course": {"target": {"measure": "luck", "value": 0.9}}},
            "course.target.measure",
            "luck",
            "accuracy, balanced_accuracy, auc, sensitivity, specificity",
        ),
        (
            {"course": {"target": {"measure": "sensitivity", "value": 0.9}}},
            "course.target.of",
            "nothing",
            "the class that it is about: ",
        ),
        (
            {"course": {"target": {"measure": "accuracy", "of": "malignant", "value": 0.9}}},
            "course.target.of",
            "malignant",
            "no such line",
        ),
        (
            {"measures": "accuracy", "course": {"target": {"measure": "balanced_accuracy", "value": 0.9}}},
            "course.target.measure",
            "balanced_accuracy",
            "`measures: confusion`, without which nobody tells it",
        ),
        ({"colour": "blue"}, "colour", "'blue'", "Extra inputs are not permitted"),
        ({"title": None}, "title", "", "required"),
        ({"name": "another"}, "name", "'another'", "the file's own name, mine"),
    ],
)
def test_a_wrong_field_is_refused_with_its_name_its_value_and_what_is_allowed(
    changes: dict[str, Any], field: str, got: str, wanted: str, tmp_path: Path
) -> None:
    file = changed(tmp_path, **changes)
    with pytest.raises(InvalidStudy) as caught:
        Study.load(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: {field}: got ")
    assert got in message.partition(", want ")[0]
    assert wanted in message.partition(", want ")[2]
    assert "\n" not in message


@pytest.mark.parametrize(("content", "got"), [("model: [1", "plain YAML"), ("- a list", "list"), ("", "nothing")])
def test_a_file_that_is_no_mapping_is_refused(content: str, got: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    with pytest.raises(InvalidStudy, match=got):
        Study.load(file)


def bounds(schema: Any, where: str = "") -> Iterator[tuple[str, bool]]:
    """Every number of a study's schema, and whether it has a largest value."""
    if isinstance(schema, list):
        for item in schema:
            yield from bounds(item, where)
    if isinstance(schema, dict):
        if schema.get("type") in ("integer", "number"):
            yield where, {"maximum", "exclusiveMaximum", "enum"} & schema.keys() != set()
        for key, item in schema.items():
            yield from bounds(item, f"{where}.{key}")


def test_every_number_of_a_study_is_bounded() -> None:
    found = dict(bounds(Study.model_json_schema()))
    assert len(found) > 30
    assert [field for field, bounded in found.items() if not bounded] == []


@pytest.mark.parametrize("schedule", ["0 3 * * 0", "@daily", "*/20 8-18 * * mon-fri"])
def test_a_schedule_that_the_scheduler_reads_is_taken(schedule: str, tmp_path: Path) -> None:
    assert Study.load(changed(tmp_path, schedule=schedule)).schedule == schedule


def test_a_large_model_is_taken_in_the_mode_that_says_so_with_the_whole_rule_s_lines(tmp_path: Path) -> None:
    study = Study.load(changed(tmp_path, mode="large", model=TOO_LARGE))
    assert (study.network.size, study.rule) == (157_402, Study.load(changed(tmp_path)).rule)


def pictures(folder: Path, **changes: Any) -> Path:
    """A study of a large model on the hospitals' own pictures of 224 x 224."""
    own = {"size": [224, 224], "classes": ["normal", "pneumonia"]}
    return changed(folder, dataset=None, images=own, mode="large", model=WIDE, **changes)


def test_a_model_that_takes_more_work_than_the_rule_allows_is_refused_with_what_it_takes(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidStudy, match=r"rule\.most_work: got 1000, want 1769 \(million comparisons\) or more .* layer 2 \(Max"
    ) as told:
        Study.load(pictures(tmp_path))
    assert "`backbone`, fewer `images_per_hospital`" in str(told.value)
    with pytest.raises(InvalidStudy, match="got 1768, want 1769"):
        Study.load(pictures(tmp_path, rule__most_work=1768))


def test_owners_may_allow_more_work_and_fewer_samples_take_less(tmp_path: Path) -> None:
    allowed = Study.load(pictures(tmp_path, rule__most_work=1769))
    assert (allowed.work, allowed.tries, allowed.network.size) == (1769, 6 * 5 * 16, 11_040_551)
    assert Study.load(pictures(tmp_path, rule__images_per_hospital=8)).work == 885


def test_the_work_of_many_hospitals_grows_with_their_square(tmp_path: Path) -> None:
    hospitals = [f"hospital-{number}" for number in range(200)]
    few, many = (
        Study.load(changed(tmp_path, rule__most_work=10_000, hospitals=some)) for some in (hospitals[:50], hospitals)
    )
    assert many.tries / few.tries == (201 * 200) / (51 * 50)
    with pytest.raises(InvalidStudy, match=rf"got 1000, want {many.work} "):
        Study.load(changed(tmp_path, hospitals=hospitals))


def test_with_a_panel_work_grows_with_the_hospitals_and_fifty_take_ten_times_what_five_do(tmp_path: Path) -> None:
    hospitals = [f"hospital-{number}" for number in range(50)]
    few, many = (Study.load(changed(tmp_path, **fields)) for fields in ({}, {"hospitals": hospitals, "rule__panel": 5}))
    assert (few.tries, many.tries) == (6 * 5 * 16, 50 * 6 * 16)
    assert not few.draws_seed
    assert many.draws_seed


@pytest.mark.parametrize("images", [16, 32, 256])
def test_lenet_passes_in_mode_large_whatever_the_samples(images: int, tmp_path: Path) -> None:
    study = Study.load(changed(tmp_path, mode="large", model=LENET, rule__images_per_hospital=images))
    assert study.work < study.rule.most_work == 1000


def test_what_work_the_rule_allows_is_part_of_what_owners_approve(tmp_path: Path) -> None:
    digests = {Study.load(changed(tmp_path, rule__most_work=most)).digest(members()) for most in (1000, 1001)}
    assert len(digests) == 2


def test_a_missing_file_is_answered_with_the_studies_that_there_are() -> None:
    with pytest.raises(
        InvalidStudy, match="one of the studies there: breast_cancer, heart_disease, pneumonia, pneumonia_mp_spdz"
    ):
        Study.load(PROJECT / "studies" / "none.yaml")


def members(**changes: Node) -> Consortium:
    study = Study.load(PROJECT / "studies" / "pneumonia.yaml")
    nodes = {
        name: Node(address=f"0x{index:040x}", certificate_sha256=f"{index:064x}", host=f"node-{name}:9000")
        for index, name in enumerate(study.nodes, start=1)
    }
    return Consortium(
        ledger=LedgerLocation(chain_id=31337, contract="0x" + "0" * 39 + "9", development=True),
        hospitals={name: f"0x{index:040x}" for index, name in enumerate(study.hospitals, start=16)},
        nodes=nodes | {NodeName(name): node for name, node in changes.items()},
    )


def test_a_node_or_hospital_without_a_key_is_named() -> None:
    study = Study.load(PROJECT / "studies" / "pneumonia.yaml")
    everybody = members()
    fewer = everybody.model_copy(
        update={"nodes": {name: node for name, node in everybody.nodes.items() if name != "west"}}
    )
    with pytest.raises(Misconfigured, match="node 'west' has no key in the consortium file, which lists north, east"):
        study.digest(fewer)
    fewer = everybody.model_copy(
        update={"hospitals": {HospitalName("aster"): everybody.hospitals[HospitalName("aster")]}}
    )
    with pytest.raises(Misconfigured, match="hospital 'birch' has no key in the consortium file, which lists aster"):
        study.digest(fewer)


def test_the_digest_changes_with_every_field_of_the_study_and_with_a_nodes_key(tmp_path: Path) -> None:
    study = Study.load(PROJECT / "studies" / "pneumonia.yaml")
    everybody = members()
    other_key = members(west=everybody.nodes[NodeName("west")].model_copy(update={"address": "0x" + "a" * 40}))
    variants = [
        study,
        study.model_copy(update={"seed": 2}),
        study.model_copy(update={"mode": "large"}),
        study.model_copy(
            update={"training": study.training.model_copy(update={"learning_rate": np.nextafter(0.05, 1)})}
        ),
        study.model_copy(update={"rule": study.rule.model_copy(update={"below_peers_percent": 21})}),
        study.model_copy(update={"deadlines": study.deadlines.model_copy(update={"commit_seconds": 181})}),
    ]
    digests = {variant.digest(everybody) for variant in variants} | {study.digest(other_key)}
    assert len(digests) == 7
    assert study.digest(everybody) == study.digest(members())
