"""A study goes on with other nodes by `wardround nodes`; `test_next_nodes.py` has a round of theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.chain.ledger import study_id
from pipeline.domain import Address, NodeName
from pipeline.errors import EvidenceRejected, Misconfigured, Refused
from pipeline.setup import members
from pipeline.study.study import Study
from tests.support.offices import ALDER, BIRCH, CEDAR, STUDIES, Office

pytestmark = pytest.mark.anvil

DOGWOOD = NodeName("dogwood")
NEXT = (ALDER, BIRCH, DOGWOOD)


def _name(file: Path, *nodes: NodeName) -> Study:
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"nodes": list(nodes)}))
    return Study.load(file)


def _with_dogwood(owner: Office) -> None:
    """As `wardround up` does for a node that a study newly names."""
    studies = {name: _name(owner.settings.studies / f"{name}.yaml", *NEXT) for name in STUDIES}
    both = members.members(studies)
    members.create_actors(owner.settings, both)
    members.publish(owner.settings, both, owner.members.ledger, lambda _: "127.0.0.1:2")


def _signed(owner: Office, folder: Path, *signers: NodeName) -> list[str]:
    files = {signer: str(folder / f"{signer}.json") for signer in signers}
    for signer, file in files.items():
        owner.says("nodes", "sign", "second", "--as", signer, "-o", file)
    return list(files.values())


def test_a_majority_also_of_nodes_that_leave_gives_a_study_other_nodes(owner: Office, tmp_path: Path) -> None:
    study = study_id("second")
    before = owner.members
    with pytest.raises(Refused, match="name the next ones there first"):
        _signed(owner, tmp_path, BIRCH)
    _name(owner.settings.studies / "second.yaml", *NEXT)
    with pytest.raises(Misconfigured, match="'dogwood' has no key in the consortium file"):
        _signed(owner, tmp_path, BIRCH)
    _with_dogwood(owner)
    assert CEDAR not in owner.members.nodes
    with pytest.raises(Refused, match="want one of study second's present nodes"):
        _signed(owner, tmp_path, DOGWOOD)

    files = _signed(owner, tmp_path, BIRCH, CEDAR)
    for few in (files[:1], [files[1], files[1]]):
        with pytest.raises(Refused, match="1 nodes of study second signed the change, want 2"):
            owner.says("nodes", "send", *few, "--as", BIRCH)
    said = owner.says("nodes", "send", *files, "--as", BIRCH)
    assert "approve the study again (`wardround study approve second --as NAME`)" in said
    now = owner.ledger.study(study)
    assert now.nodes == tuple(Address(owner.members.node(name).address) for name in NEXT)
    assert (now.threshold, now.changes) == (2, 1)
    read = Study.load(owner.settings.studies / "second.yaml")
    _name(owner.settings.studies / "second.yaml", ALDER, BIRCH, CEDAR)
    assert Study.load(owner.settings.studies / "second.yaml").digest(before) != read.digest(owner.members)
    height = owner.ledger.height()
    owner.says("nodes", "send", *files, "--as", BIRCH)
    assert owner.ledger.height() == height, "nothing was sent twice"


def test_signatures_to_another_set_or_number_or_while_a_round_runs_change_nothing(
    owner: Office, tmp_path: Path
) -> None:
    _with_dogwood(owner)
    files = _signed(owner, tmp_path, BIRCH, CEDAR)
    good = [Path(file).read_text() for file in files]
    dogwood = owner.members.node(DOGWOOD).address
    alder = owner.members.node(ALDER).address
    changed = {
        "not all about one thing": [good[0].replace(dogwood, alder), good[1]],
        "got a signature by": [text.replace(dogwood, owner.ledger.provider()) for text in good],
        "got change 2 of study second, want 1": [text.replace('"change": 1', '"change": 2') for text in good],
        "nodes": [text.replace(dogwood, dogwood[:-1]) for text in good],
    }
    for match, texts in changed.items():
        for file, text in zip(files, texts, strict=True):
            Path(file).write_text(text)
        with pytest.raises(EvidenceRejected, match=match):
            owner.says("nodes", "send", *files, "--as", BIRCH)
    for file, text in zip(files, good, strict=True):
        Path(file).write_text(text)
    owner.open_round()
    with pytest.raises(Refused, match="round 1 of study second is running"):
        owner.says("nodes", "send", *files, "--as", BIRCH)
    assert owner.ledger.study(study_id("second")).changes == 0
