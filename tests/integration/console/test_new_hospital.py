"""A hospital that is new to the consortium.

From its first key to a round of a study that names it, and to an answer about a picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from typer.testing import CliRunner

from pipeline.chain.ledger import HospitalStatus
from pipeline.cli import commands
from pipeline.domain import Address, HospitalName, NodeName, RoundId, Sha256
from pipeline.errors import EvidenceRejected, Refused
from pipeline.evidence.canonical import sha256
from pipeline.governance import enrolment
from pipeline.setup import demonstration, ledger, members, store
from pipeline.site.consortium import Consortium
from pipeline.site.site import Site as MemberSite
from pipeline.site.site import SiteRole
from pipeline.store import object_keys
from pipeline.store.objects import Store
from pipeline.study.study_files import load_studies
from pipeline.views.prediction import Predictor
from plugins.console.hospital_folder import LONGEST_SECONDS
from tests.support.browser import PASSWORD, chromium
from tests.support.console import of_hospital, served
from tests.support.consortia import Site
from tests.support.fab import accounts, portal
from tests.support.pictures import png
from tests.support.publisher import publish
from tests.support.rounds import Play

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.spu, pytest.mark.chromium]

NEW = HospitalName("wren")
PERSON = "ada@wren.org"
STUDY = "plumage"
FIELDS = """
hospitals: [aster, birch, wren]
dataset: pneumonia
model: [{Flatten: {}}, {Linear: {out_features: 2}}]
"""


def command(site: Site, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setenv("WARDROUND_HOME", str(site.settings.home))
    done = CliRunner().invoke(commands, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


def token(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found, page
    return found[1]


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def member(town: Site, play: Play, patched: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Address:
    """The hospital after all that docs/how-to/use-the-console.md tells it and the provider to do, in that order."""
    command(town, patched, "enrol", "prepare", "--as", NEW)
    word = dict(line.split(": ") for line in command(town, patched, "enrol", "vouch", PERSON, "--as", NEW).splitlines())
    with portal(tmp_path_factory.mktemp("door"), town.settings) as door:
        visitor = door.client()
        form = {
            "csrf_token": token(visitor.get("/wardround/register").text),
            "name": "Ada",
            "email": PERSON,
            "postal": "1 Ward Lane",
        }
        form |= {"hospital": NEW, "address": word["signing address"], "signature": word["signature"]}
        sent = visitor.post("/wardround/register", data=form | {"password": PASSWORD, "password_again": PASSWORD})
        assert sent.headers["location"] == "/wardround/registered", sent.text
        command(town, patched, "enrol", "register", "--as", NEW)
        provider = door.log_in("provider")
        account = accounts().find(PERSON)
        assert provider
        assert account
        csrf = {"csrf_token": token(provider.get("/wardround/people").text)}
        assert provider.post(f"/wardround/people/{account.number}/authorise", data=csrf).status_code == 303
        assert f"wardround enrol admit {NEW} {word['signing address']}" in provider.get("/wardround/people").text, (
            "for the other owners"
        )
        proposed = provider.post(
            "/wardround/experiments/write", data=csrf | {"base": play.study.name, "name": STUDY, "fields": FIELDS}
        )
        assert proposed.headers["location"] == f"/wardround/experiments/{STUDY}", proposed.text
    return Address(word["signing address"])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files like the publishers'."""
    return publish(tmp_path_factory.mktemp("published") / "data")


@pytest.fixture(scope="module")
def round_id(town: Site, member: Address, published: Path) -> RoundId:
    """The first round of the study, after `wardround up` and every owner's consent."""
    studies = load_studies(town.settings.studies)
    here = members.of_this_machine(town.settings, members.members(studies))
    members.create_actors(town.settings, here)
    store.set_up(town.settings, town.services, here)
    assert demonstration.deal_records(replace(town.settings, data=(published,)), {STUDY: studies[STUDY]}) == {}
    consortium = Consortium.load(town.settings.consortium)
    ledger.establish(town.settings, town.services, consortium, {STUDY: studies[STUDY]})
    demonstration.approve(town.settings, consortium, {STUDY: studies[STUDY]})
    return Play(STUDY, town.settings).round()


def test_a_hospital_that_the_provider_authorised_takes_part_in_a_round(
    town: Site, member: Address, round_id: RoundId
) -> None:
    assert town.ledger.hospital(member) is HospitalStatus.AUTHORISED
    assert Consortium.load(town.settings.consortium).hospital(NEW) == member
    assert town.record(round_id)["verdicts"][NEW] == "accepted"
    town.audits(round_id)


def test_only_a_hospital_that_the_ledger_has_authorised_becomes_a_member_and_under_its_own_name(
    town: Site, member: Address
) -> None:
    before = town.settings.consortium.read_bytes()
    assert not enrolment.admit(NEW, member, town.settings)
    stranger = enrolment.prepare(HospitalName("magpie"), town.settings)
    with pytest.raises(Refused, match="want one that the service provider authorised"):
        enrolment.admit(HospitalName("magpie"), stranger, town.settings)
    for name in ("magpie", "aster", "north"):
        with pytest.raises(EvidenceRejected):
            enrolment.admit(HospitalName(name), member, town.settings)
    assert town.settings.consortium.read_bytes() == before


def test_a_hospital_on_another_machine_gets_a_store_account_of_its_own(town: Site, member: Address) -> None:
    made = store.account_elsewhere(town.settings, town.services, site("robin"))
    objects = Store(town.services.store, made)
    data = b"{}"
    own, another = (object_keys.consents("glade", name, node=False) for name in (HospitalName("robin"), NEW))
    objects.put_once(own.bucket, own.key(sha256(data)), data)
    with pytest.raises(Refused, match="does not let hospital-robin"):
        objects.put_once(another.bucket, another.key(sha256(data)), data)
    with pytest.raises(Refused, match="`wardround up` makes its store account"):
        store.account_elsewhere(town.settings, town.services, site(NEW))


@pytest.mark.parametrize("role", [SiteRole.NODE, SiteRole.AUDITOR])
def test_a_node_and_an_auditor_elsewhere_get_accounts_of_their_own(town: Site, role: SiteRole) -> None:
    made = store.account_elsewhere(town.settings, town.services, site("robin", role))
    objects = Store(town.services.store, made)
    data = b"{}"
    own = object_keys.consents("glade", NodeName("robin"), node=True)
    another = object_keys.consents("glade", NodeName("north"), node=True)
    if role is SiteRole.NODE:
        objects.put_once(own.bucket, own.key(sha256(data)), data)
    with pytest.raises(Refused, match=f"does not let {role}-robin"):
        objects.put_once(another.bucket, another.key(sha256(data)), data)


def site(name: str, role: SiteRole = SiteRole.HOSPITAL) -> MemberSite:
    return MemberSite(role=role, name=name)


def ask(page: Page, address: str, file: Path) -> None:
    page.goto(f"{address}/hospital/predict?study={STUDY}")
    page.get_by_label("Pictures (PNG, JPEG, TIFF, BMP, WebP or DICOM)").set_input_files(file)
    page.get_by_role("button", name="Predict these pictures").click()


def test_a_picture_is_answered_in_the_browser_by_the_model_that_the_ledger_has(
    town: Site, round_id: RoundId, published: Path, tmp_path: Path
) -> None:
    from plugins.console.page import percent

    model = Sha256(town.record(round_id)["new_model"])
    predictor = Predictor.open(STUDY, NEW, town.settings)
    source = predictor.study.source
    rays = source.load([published])[1]
    picture = png(tmp_path / "ray.png", rays.values[0])
    (said,) = predictor.predict(source.questions(picture))
    too_large = tmp_path / "large.png"
    too_large.write_bytes(picture.read_bytes() + bytes(33 << 20))
    with served(town.settings, of_hospital(NEW)) as address, chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(1000 * LONGEST_SECONDS)
        ask(page, address, picture)
        answer = page.get_by_role("row", name="ray.png")
        expect(answer).to_contain_text(said.label, timeout=60_000)
        for share in said.shares.values():
            expect(answer).to_contain_text(percent(share))
        expect(page.get_by_text("This is no medical device")).to_be_visible()
        expect(page.get_by_role("definition").get_by_text(model)).to_be_visible()
        for file, sentence in (
            (
                Path(__file__),
                "picture 1 of 1 is no PNG, JPEG, TIFF, BMP, WebP or DICOM file; want one picture in grey in each file",
            ),
            (
                png(tmp_path / "wide.png", np.zeros((28, 64), np.uint8)),
                "picture 1 of 1 has 64 x 28 pixels (width x height), want 28 x 28",
            ),
            (too_large, "The files are larger than 32,768 KiB in all"),
        ):
            ask(page, address, file)
            expect(page.get_by_text(sentence)).to_be_visible(timeout=60_000)
