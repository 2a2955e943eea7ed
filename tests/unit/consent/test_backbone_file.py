"""A study's backbone on its way to its members: refused before a round where it is not what the study names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.consent import approval, backbone_file
from pipeline.datasets.backbone import backbone_path
from pipeline.domain import Sha256
from pipeline.errors import EvidenceRejected, InvalidStudy, Misconfigured, NotApproved, Refused
from pipeline.evidence.canonical import sha256
from pipeline.host.files import write_atomic
from pipeline.site.identity import Identity
from pipeline.store import object_keys
from pipeline.study.study import Study
from tests.support.backbones import backbone, graph, lay_beside, study_lines, written
from tests.support.fixtures import cheap_passphrases
from tests.support.installed import STUDY
from tests.support.memory.site import MemorySite

__all__ = ["cheap_passphrases"]

NAME = "stripes"
OTHER = written(graph(channels=3))
NO_GRAPH = backbone()[:-400]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySite]:
    made = MemorySite(tmp_path_factory.mktemp("memory") / "home")
    with made.reached():
        yield made


@pytest.fixture
def owner(site: MemorySite) -> Iterator[Identity]:
    owner = Identity.load(site.settings.hospital("aster"))
    yield owner
    for file in (*owner.home.glob("backbones/*"), *site.settings.studies.glob("*.onnx")):
        file.unlink()


def study(site: MemorySite, data: bytes | None = None, **changes: Any) -> Study:
    file = site.settings.studies / f"{NAME}.yaml"
    content = {**STUDY, **study_lines(backbone() if data is None else data, **changes)}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return Study.load(file)


def publish(site: MemorySite, read: Study) -> None:
    backbone_file.publish(read, site.settings.studies, site.store(site.settings.provider))


def approve(site: MemorySite, owner: Identity, read: Study) -> None:
    backbone_file.obtain(owner, read, site.settings)
    approval.approve(owner, read, site.members)


def test_a_member_gets_the_file_from_the_store_by_its_digest(site: MemorySite, owner: Identity) -> None:
    lay_beside(site.settings.studies, backbone())
    read = study(site)
    publish(site, read)
    (site.settings.studies / "public.onnx").unlink()
    approve(site, owner, read)
    assert backbone_path(owner.home, sha256(backbone())).read_bytes() == backbone()
    approval.require(owner, NAME, read.digest(site.members), site.members.ledger)


def test_nothing_is_approved_whose_backbone_is_not_at_hand(site: MemorySite, owner: Identity) -> None:
    with pytest.raises(Refused, match="not on this machine yet: it is fetched before it is approved"):
        approval.approve(owner, study(site, OTHER), site.members)


def test_a_file_that_nobody_has_is_named(site: MemorySite, owner: Identity) -> None:
    with pytest.raises(EvidenceRejected, match=r"nor a file public.onnx with that digest beside the study"):
        approve(site, owner, study(site, OTHER))


def test_a_renamed_file_is_not_found(site: MemorySite, owner: Identity) -> None:
    lay_beside(site.settings.studies, OTHER, "renamed.onnx")
    with pytest.raises(Misconfigured, match=r"public.onnx: got no file, want the backbone of study stripes"):
        publish(site, study(site, OTHER))


def test_what_the_store_has_needs_no_file_beside_the_study_any_longer(site: MemorySite, owner: Identity) -> None:
    read = study(site)
    lay_beside(site.settings.studies, backbone())
    publish(site, read)
    (site.settings.studies / "public.onnx").unlink()
    publish(site, read)
    lay_beside(site.settings.studies, OTHER)  # the name is a later study's by now
    publish(site, read)
    approve(site, owner, read)
    assert backbone_path(owner.home, sha256(backbone())).read_bytes() == backbone()


def test_a_damaged_copy_of_a_member_is_fetched_again(site: MemorySite, owner: Identity) -> None:
    read = study(site)
    lay_beside(site.settings.studies, backbone())
    file = backbone_path(owner.home, sha256(backbone()))
    for damaged in (b"", backbone()[:-400], OTHER):
        write_atomic(file, damaged)
        backbone_file.obtain(owner, read, site.settings)
        assert file.read_bytes() == backbone()


def test_nothing_of_a_file_is_read_before_the_owner_s_digest_is_compared(site: MemorySite, owner: Identity) -> None:
    lay_beside(site.settings.studies, NO_GRAPH)
    read = study(site, NO_GRAPH)
    backbone_file.obtain(owner, read, site.settings)
    with pytest.raises(Refused, match="it has changed; read what it is now"):
        approval.approve(owner, read, site.members, Sha256("0" * 64))
    with pytest.raises(EvidenceRejected, match="no whole ONNX file"):
        approval.approve(owner, read, site.members)


def test_another_file_under_the_name_is_refused_by_provider_and_member(site: MemorySite, owner: Identity) -> None:
    lay_beside(site.settings.studies, backbone())
    read = study(site, OTHER)
    with pytest.raises(EvidenceRejected, match=rf"got a file with SHA-256 {sha256(backbone())}, want"):
        publish(site, read)
    with pytest.raises(EvidenceRejected, match=r"nor a file public.onnx with that digest beside the study"):
        approve(site, owner, read)


def test_a_network_of_other_pictures_is_refused_by_provider_and_member(site: MemorySite, owner: Identity) -> None:
    lay_beside(site.settings.studies, OTHER)
    read = study(site, OTHER)
    for act in (lambda: publish(site, read), lambda: approve(site, owner, read)):
        with pytest.raises(EvidenceRejected, match="got any x 3 x 32 x 32, want any x 1 x 32 x 32"):
            act()
    with pytest.raises(NotApproved):
        approval.require(owner, NAME, read.digest(site.members), site.members.ledger)


def test_a_file_that_was_changed_at_a_member_is_refused_at_approval(site: MemorySite, owner: Identity) -> None:
    read = study(site)
    write_atomic(backbone_path(owner.home, sha256(backbone())), OTHER)
    with pytest.raises(EvidenceRejected, match="another network, or cut off on its way"):
        backbone_file.require(owner, read)


def test_what_the_store_holds_under_another_key_is_not_taken(site: MemorySite, owner: Identity) -> None:
    read = study(site, OTHER)
    place = object_keys.backbone()
    site.buckets.lay_over(place.bucket, place.key(sha256(OTHER)), backbone())
    with pytest.raises(EvidenceRejected, match="somebody changed the object"):
        backbone_file.obtain(owner, read, site.settings)


def test_no_member_but_the_provider_writes_a_backbone(site: MemorySite, owner: Identity) -> None:
    lay_beside(site.settings.studies, OTHER)
    for home in (owner.home, site.settings.node("north")):
        with pytest.raises(Refused):
            site.store(home).put_once(object_keys.MODELS, object_keys.backbone().key(sha256(OTHER)), OTHER)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"backbone": {"onnx": "../public.onnx"}}, "backbone.onnx"),
        ({"backbone": {"sha256": "abc"}}, "backbone.sha256"),
        ({"backbone": {"features": 0}}, "backbone.features"),
        ({"backbone": {"deviation": 0}}, "backbone.deviation"),
        ({"images": {"size": [32, 32], "classes": ["clear", "striped"]}}, "images.mean: got 'nothing'"),
        ({"images": None, "dataset": "breast_cancer"}, "backbone: got 'no `images`'"),
    ],
)
def test_a_study_that_names_its_backbone_wrongly_is_refused(
    site: MemorySite, changes: dict[str, Any], wanted: str
) -> None:
    content: dict[str, Any] = {**STUDY, **study_lines(backbone())}
    for field, value in changes.items():
        content[field] = {**content[field], **value} if field == "backbone" else value
    file = Path(site.settings.studies / "wrong.yaml")
    file.write_text(yaml.safe_dump({field: value for field, value in content.items() if value is not None}))
    try:
        with pytest.raises(InvalidStudy) as refusal:
            Study.load(file)
        assert wanted in str(refusal.value)
    finally:
        file.unlink()


def test_terms_are_read_back_as_the_study_that_they_are_of(site: MemorySite) -> None:
    read = study(site)
    terms = read.terms(site.members)
    assert Study.of_terms(terms) == read
    assert terms["study"]["backbone"]["sha256"] == sha256(backbone())
