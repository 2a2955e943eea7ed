"""Consent on the pages: signed where the hospital's key lies, to what the page showed, and seen by all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from starlette.testclient import TestClient
from typer.testing import CliRunner

from pipeline.cli import commands
from pipeline.consent import approval, consent_log
from pipeline.consent.consent_log import ConsentLog, Position
from pipeline.domain import HospitalName, Kind, Sha256
from pipeline.errors import NotApproved, Unavailable
from pipeline.evidence import signing
from pipeline.evidence.canonical import read_object
from pipeline.evidence.membership import study_digest
from pipeline.round.worker import hospital_worker
from pipeline.setup import demonstration
from pipeline.site.identity import Identity
from pipeline.store import object_keys
from pipeline.store.objects import Store
from pipeline.study.study import Study
from tests.adversary import attack
from tests.support.console import AUDITOR, PROVIDER, client, form_token, of_hospital
from tests.support.consortia import HOSPITALS, Site

pytestmark = [pytest.mark.store, pytest.mark.anvil]

ASTER = HOSPITALS[0]
BIRCH = HOSPITALS[1]
FERN = HOSPITALS[5]


def asking(site: Site, hospital: str) -> TestClient:
    return client(site.settings, of_hospital(hospital))


def study(site: Site, name: str) -> tuple[Study, Sha256]:
    read = Study.load(site.settings.studies / f"{name}.yaml")
    return read, read.digest(site.members)


def changed(site: Site, name: str, **changes: object) -> tuple[Study, Sha256]:
    """The study's next version, which nobody has approved."""
    path = site.settings.studies / f"{name}.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    return study(site, name)


def decide(site: Site, who: str, name: str, what: str, digest: str, **more: str) -> int:
    """The status of a hospital's decision by form."""
    form = {"csrf_token": form_token(f"hospital-{who}"), "digest": digest, **more}
    return asking(site, who).post(f"/studies/{name}/{what}", data=form).status_code


def owner(site: Site, name: str) -> Identity:
    return Identity.load(site.settings.hospital(name))


def kept(site: Site, who: str, name: str) -> list[bytes]:
    return [data for _, data in approval.statements(owner(site, who), name)]


def position(site: Site, read: Study, member: str) -> Position:
    found = ConsentLog(site.store()).positions(read, site.members)
    return next(each for each in found if each.name == member)


def in_force(site: Site, who: str, read: Study, digest: Sha256) -> bool:
    try:
        approval.require(owner(site, who), read.name, digest, site.members.ledger)
    except NotApproved:
        return False
    return True


@pytest.fixture(scope="module")
def heath(town: Site) -> str:
    """A study that all owners approved and published, of which there is a newer version since."""
    play = town.play("heath")
    demonstration.publish_consents(town.settings, town.services, {"heath": play.study})
    changed(town, "heath", training={"steps": 6, "batch_size": 16})
    return "heath"


def test_a_hospital_reads_what_changed_and_its_approval_is_the_command_s(
    town: Site, heath: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, digest = study(town, heath)
    page = asking(town, ASTER).get(f"/studies/{heath}").text
    assert "Training steps per round" in page
    assert f'name="digest" value="{digest}"' in page
    assert "Approve for aster" in page
    assert study_digest(read_object(asking(town, ASTER).get(f"/studies/{heath}/terms.json").content)) == digest
    assert decide(town, ASTER, heath, "approve", digest) == 303
    assert in_force(town, ASTER, read, digest)
    assert position(town, read, ASTER).approved(digest)
    home = town.settings.hospital(ASTER)
    by_page = kept(town, ASTER, heath)
    consent = home / "approvals" / f"{digest}.json"
    assert by_page[-1] == consent.read_bytes()
    consent.unlink()
    for file in (home / "decisions" / heath).glob("2.*"):
        file.unlink()
    monkeypatch.setenv("WARDROUND_HOME", str(town.settings.home))
    monkeypatch.setenv("WARDROUND_STUDIES", str(town.settings.studies))
    done = CliRunner().invoke(commands, ["study", "approve", heath, "--as", ASTER, "--digest", digest])
    assert done.exit_code == 0, done.output
    assert kept(town, ASTER, heath) == by_page
    assert consent.read_bytes() == by_page[-1]


def test_a_study_that_changed_since_the_page_was_read_is_refused(town: Site, heath: str) -> None:
    before = kept(town, BIRCH, heath)
    _, shown = study(town, heath)
    read, digest = changed(town, heath, title="Another title")
    form = {"csrf_token": form_token(f"hospital-{BIRCH}"), "digest": shown}
    answer = asking(town, BIRCH).post(f"/studies/{heath}/approve", data=form)
    assert answer.status_code == 409
    assert "it has changed" in answer.text
    assert kept(town, BIRCH, heath) == before
    assert not in_force(town, BIRCH, read, digest)
    assert decide(town, BIRCH, heath, "approve", "no digest") == 422


@attack(
    by="hospital",
    to="stop",
    tries="to approve or withdraw in another hospital's name",
    costs="nothing",
    seen="nothing: the form is refused",
)
def test_nobody_decides_for_another_hospital(town: Site, heath: str) -> None:
    read, digest = changed(town, heath, title="A third title")
    before = kept(town, ASTER, heath)
    token = form_token(f"hospital-{BIRCH}")
    for more in ({"hospital": ASTER}, {"as": ASTER}, {"role": "Provider"}):
        assert decide(town, BIRCH, heath, "approve", digest, **more) == 422
    form = {"csrf_token": token, "digest": digest}
    answer = asking(town, BIRCH).post(f"/studies/{heath}/approve?hospital={ASTER}&who={ASTER}", data=form)
    assert answer.status_code == 303
    assert kept(town, ASTER, heath) == before
    assert not in_force(town, ASTER, read, digest)
    assert in_force(town, BIRCH, read, digest)
    assert decide(town, FERN, heath, "approve", digest) == 403
    for who in (PROVIDER, AUDITOR):
        form = {"csrf_token": form_token(who.login), "digest": digest}
        assert client(town.settings, who).post(f"/studies/{heath}/approve", data=form).status_code == 403
    assert decide(town, ASTER, heath, "approve", digest, csrf_token=token) == 403
    assert decide(town, ASTER, heath, "withdraw", digest, csrf_token="") == 403


def test_a_withdrawal_stops_the_worker_is_seen_by_all_and_is_not_given_back_by_set_up(town: Site, heath: str) -> None:
    read, digest = changed(town, heath, title="A fourth title")
    assert decide(town, ASTER, heath, "withdraw", digest) == 409  # nothing to withdraw yet
    assert decide(town, ASTER, heath, "approve", digest) == 303
    hospital_worker(heath, ASTER, town.settings)
    assert decide(town, ASTER, heath, "withdraw", digest) == 303
    town.approve(read)
    with pytest.raises(NotApproved):
        hospital_worker(heath, ASTER, town.settings)
    assert not position(town, read, ASTER).approved(digest)
    page = client(town.settings, AUDITOR).get(f"/studies/{heath}").text
    assert '<span class="tag rejected">withdrawn</span>' in page
    assert decide(town, ASTER, heath, "approve", digest) == 303
    hospital_worker(heath, ASTER, town.settings)
    assert position(town, read, ASTER).approved(digest)


def test_a_decision_that_the_store_did_not_take_holds_and_is_published_with_the_next(town: Site, heath: str) -> None:
    read, digest = changed(town, heath, title="A fifth title")
    cedar = owner(town, HOSPITALS[2])
    approval.approve(cedar, read, town.members)
    with pytest.raises(Unavailable):
        consent_log.publish(Store("http://127.0.0.1:9", cedar.credentials), cedar, read)
    assert in_force(town, cedar.name, read, digest)
    assert "not published yet" in asking(town, cedar.name).get(f"/studies/{heath}").text
    assert not position(town, read, cedar.name).approved(digest)
    assert decide(town, cedar.name, heath, "withdraw", digest) == 303
    assert [each.given for each in position(town, read, cedar.name).decisions[-2:]] == [True, False]


def post(site: Site, read: Study, member: HospitalName, data: bytes) -> None:
    """Put something more into a hospital's place, by its own access."""
    site.board(site.settings.hospital(member)).post(object_keys.consents(read.name, member, node=False), data)


@attack(
    by="provider",
    to="change",
    tries="to publish a consent or withdrawal that its owner did not sign",
    costs="nothing",
    seen="a decision without its owner's signature",
)
def test_what_is_not_the_owner_s_counts_for_nothing_and_a_number_used_twice_counts_against_all(town: Site) -> None:
    play = town.play("moor")
    read, digest = study(town, "moor")
    demonstration.publish_consents(town.settings, town.services, {"moor": play.study})
    birch = owner(town, BIRCH)
    aster = owner(town, ASTER)
    context = approval._context(digest, town.members.ledger)
    body = {"study": "moor", "digest": digest, "number": 2}
    by_another = signing.sign(Kind.WITHDRAWAL, ASTER, body, context, birch.key)
    post(town, read, ASTER, signing.to_bytes(by_another))
    post(town, read, ASTER, b"no statement")
    assert position(town, read, ASTER).approved(digest)
    twice = signing.sign(Kind.WITHDRAWAL, ASTER, body | {"number": 1}, context, aster.key)
    post(town, read, ASTER, signing.to_bytes(twice))
    assert "under one number" in (position(town, read, ASTER).trouble or "")
    assert "does not count" in client(town.settings, PROVIDER).get("/studies/moor").text
    assert in_force(town, ASTER, read, digest)  # its worker asks its own folder alone


def test_where_the_folder_is_elsewhere_the_page_gives_the_command_with_the_digest(town: Site, heath: str) -> None:
    _, digest = study(town, heath)
    key = town.settings.hospital(HOSPITALS[3]) / "signing-key"
    away = key.rename(key.with_name("away"))
    try:
        page = asking(town, HOSPITALS[3]).get(f"/studies/{heath}").text
        assert f"wardround study approve {heath} --as dahlia --digest {digest}" in page
        assert "<form" not in page
        assert decide(town, HOSPITALS[3], heath, "approve", digest) == 409
    finally:
        Path(away).rename(key)


def test_there_is_a_page_for_every_study_and_none_for_what_is_no_study(town: Site, heath: str) -> None:
    pages = client(town.settings, AUDITOR)
    listed = pages.get("/studies").text
    assert 'href="/studies/heath"' in listed
    cost = r"tries of a model on a sample; .* all nodes together.* of the 1,000 million comparisons.* each model"
    assert re.search(cost, pages.get("/studies/heath").text)
    assert pages.get("/studies/nothing").status_code == 404
    assert pages.get("/studies/..%2fconsortium").status_code in {404, 422}
    (town.settings.studies / "broken.yaml").write_text("title: <b>no study</b>\n")
    try:
        assert "broken</strong> cannot be read" in pages.get("/studies").text
    finally:
        (town.settings.studies / "broken.yaml").unlink()
