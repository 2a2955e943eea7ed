"""Sites come together: the provider invites, members join, and whatever does not fit is refused with what to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from time import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from nacl.public import PrivateKey, SealedBox

from pipeline.domain import SiteFile
from pipeline.errors import EvidenceRejected, InvalidStudy, Misconfigured, Refused
from pipeline.evidence import signing
from pipeline.evidence.canonical import canonical_json
from pipeline.host.secret import Secret
from pipeline.joining import site_file
from pipeline.joining.card import Card
from pipeline.joining.invitation import Invitation
from pipeline.joining.join import Joining, examine, join
from pipeline.joining.sealed import Access
from pipeline.setup import sites
from pipeline.site import certificates, identity
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity, SigningKey
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.site.site import PROVIDER, Site, SiteRole
from pipeline.study.study import Study
from tests.support.sites import AUDITOR, FRONT, HOSPITALS, LEDGER, NODES, NORTH, WREN, Apart, account, members

DAY = 86_400


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A consortium of which everybody is invited and nobody joined."""
    place = tmp_path_factory.mktemp("model")
    Apart.made(place).invite_all()
    return place


@pytest.fixture
def apart(model: Path, tmp_path: Path) -> Apart:
    """A copy of it."""
    place = tmp_path / "sites"
    shutil.copytree(model, place, symlinks=True)
    return Apart(place)


def files(settings: Settings) -> Mapping[Path, bytes]:
    """All that a site holds, but locks."""
    return {path: path.read_bytes() for path in settings.home.rglob("*") if path.is_file() and path.suffix != ".lock"}


def looked_at(apart: Apart, site: Site, data: bytes | None = None, now: float | None = None) -> Joining:
    data = apart.provider.invited(site.queue).read_bytes() if data is None else data
    return examine(data, f"{site.queue}.json", apart.settings(site.queue), now)


def joined(apart: Apart, site: Site) -> Settings:
    settings = apart.settings(site.queue)
    join(looked_at(apart, site), settings)
    return settings


def resigned(apart: Apart, site: Site, **changes: Any) -> bytes:
    """A member's invitation with other content, by the provider's own key."""
    content = apart.invitation(site).model_dump(mode="json", exclude={"signature"}) | changes
    key = SigningKey(Secret.read(apart.provider.provider / "signing-key"))
    return canonical_json(content | {"signature": signing.sign_site_file(SiteFile.INVITATION, content, key)})


@pytest.mark.parametrize("site", members(), ids=lambda site: site.queue)
def test_a_member_has_all_that_it_needs_once_it_joined(apart: Apart, site: Site) -> None:
    settings = joined(apart, site)
    consortium = Consortium.load(settings.consortium)
    assert consortium == Consortium.load(apart.provider.consortium)
    assert consortium.ledger == LEDGER
    assert (set(consortium.hospitals), set(consortium.nodes)) == (set(HOSPITALS), set(NODES))
    for name in NODES:
        assert certificates.fingerprint(settings.certificate(name)) == consortium.fingerprint(name)
    services = Installation.load(settings.installation)
    assert services.urls == {"store": f"https://{FRONT}", "rpc": f"https://{FRONT}/rpc", "airflow": f"https://{FRONT}"}
    assert services.authority == settings.authority
    assert settings.authority.read_bytes() == (apart.provider.provider / "tls" / "authority.pem").read_bytes()
    assert Study.load(Settings.load(settings.home).studies / "breast_cancer.yaml").name == "breast_cancer"
    member = Identity.load(site.folder(settings))
    assert member.credentials.actor == site.queue
    assert {path.stat().st_mode & 0o777 for path in (site.folder(settings)).glob("*-key")} == {0o600}
    if site.role is SiteRole.AUDITOR:
        assert not settings.site_token.exists()
        assert not apart.provider.token_of(site.queue).exists()
    else:
        assert Secret.read(settings.site_token) == Secret.read(apart.provider.token_of(site.queue))


def test_no_two_sites_have_one_secret_and_no_invitation_shows_one(apart: Apart) -> None:
    homes = {site.queue: joined(apart, site) for site in members()}
    secrets: list[bytes] = []
    for site in members():
        settings = homes[site.queue]
        store = Identity.load(site.folder(settings)).credentials
        secrets += [store.access_key.reveal(), store.secret_key.reveal()]
        secrets += [settings.site_token.read_bytes()] if site.works else []
    assert len(set(secrets)) == len(secrets)
    for site in members():
        data = apart.provider.invited(site.queue).read_bytes()
        assert not any(secret in data or secret.hex().encode() in data for secret in secrets)


def test_an_invitation_may_be_joined_by_again_and_a_newer_one_brings_what_changed(apart: Apart) -> None:
    settings = joined(apart, WREN)
    before = files(settings)
    assert files(joined(apart, WREN)) == before
    (apart.provider.studies / "heart_disease.yaml").write_text(
        (apart.provider.studies / "breast_cancer.yaml").read_text()
    )
    (apart.provider.studies / "breast_cancer.yaml").unlink()
    apart.invite([apart.card(Site(role=SiteRole.HOSPITAL, name="robin"))])
    again = files(joined(apart, WREN))
    assert "robin" in Consortium.load(settings.consortium).hospitals
    assert [path.name for path in settings.studies.iterdir()] == ["heart_disease.yaml"]
    for path in (WREN.folder(settings) / "store-credentials.json", settings.site_token):
        assert again[path] == before[path]


def test_renewed_access_is_another_one(apart: Apart) -> None:
    settings = joined(apart, WREN)
    before = files(settings)
    apart.invite(renew=True)
    after = files(joined(apart, WREN))
    for path in (WREN.folder(settings) / "store-credentials.json", settings.site_token):
        assert after[path] != before[path]


def test_a_site_keeps_where_its_own_data_and_engines_lie(apart: Apart) -> None:
    settings = joined(apart, WREN)
    known = Installation.load(settings.installation)
    assert known.folders is not None
    own = known.model_copy(
        update={"folders": known.folders.model_copy(update={"data": (Path("/data"),)}), "mp_spdz_release": "ab" * 32}
    )
    own.save(settings.installation)
    joined(apart, WREN)
    assert Installation.load(settings.installation) == own


@pytest.mark.parametrize("broken", range(10))
def test_a_join_that_is_broken_off_is_given_again_and_ends_the_same(
    apart: Apart, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    class BrokenOff(BaseException): ...

    whole = apart.settings(WREN.queue)
    joining = looked_at(apart, WREN)
    replace = os.replace
    moved = 0

    def stops(source: str | Path, target: Path) -> None:
        nonlocal moved
        if ".join-" not in str(target):
            if moved == broken:
                raise BrokenOff
            moved += 1
        replace(source, target)

    before = files(whole)
    monkeypatch.setattr("os.replace", stops)
    with pytest.raises(BrokenOff):
        join(joining, whole)
    monkeypatch.undo()
    assert not whole.invitation.exists()
    assert all(files(whole)[path] == content for path, content in before.items())
    joined(apart, WREN)
    assert Consortium.load(whole.consortium).hospitals
    assert not list(whole.home.glob(".join-*"))


def test_nothing_is_written_by_an_invitation_with_a_file_that_is_no_study(apart: Apart) -> None:
    settings = apart.settings(WREN.queue)
    before = files(settings)
    studies = {**apart.invitation(WREN).studies, "poor": "rounds: many"}
    with pytest.raises(InvalidStudy):
        join(looked_at(apart, WREN, resigned(apart, WREN, studies=studies)), settings)
    assert files(settings) == before


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[:-1],
    "half": lambda data: data[: len(data) // 2],
    "a card": lambda data: canonical_json(Invitation.read(data, "x").provider.model_dump(mode="json")),
    "garbage": lambda data: os.urandom(500),
    "white space": lambda data: data + b" ",
    "long": lambda data: b'{"a":"' + b"x" * Invitation.LARGEST + b'"}',
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_invitation_is_refused(apart: Apart, damage: Callable[[bytes], bytes]) -> None:
    data = apart.provider.invited(WREN.queue).read_bytes()
    with pytest.raises(EvidenceRejected, match=r"hospital-wren\.json: .*sent again"):
        looked_at(apart, WREN, damage(data))


@given(st.data())
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_changed_byte_of_an_invitation_passes(apart: Apart, data: st.DataObject) -> None:
    whole = apart.provider.invited(WREN.queue).read_bytes()
    place = data.draw(st.integers(min_value=0, max_value=len(whole) - 1))
    changed = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    with pytest.raises((EvidenceRejected, Refused)):
        looked_at(apart, WREN, changed)


@given(st.binary(max_size=300))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_bytes_are_an_invitation_by_chance(apart: Apart, data: bytes) -> None:
    with pytest.raises((EvidenceRejected, Refused)):
        looked_at(apart, WREN, data)


def test_an_invitation_that_somebody_else_signed_is_refused(apart: Apart) -> None:
    content = apart.invitation(WREN).model_dump(mode="json", exclude={"signature"})
    key = SigningKey(Secret.read(apart.settings(NORTH.queue).node("north") / "signing-key"))
    forged = content | {"signature": signing.sign_site_file(SiteFile.INVITATION, content, key)}
    with pytest.raises(EvidenceRejected, match="got a signature by"):
        looked_at(apart, WREN, canonical_json(forged))


def test_a_provider_cannot_put_another_key_on_a_member_s_card(apart: Apart) -> None:
    cards = [card.model_dump(mode="json") for card in apart.invitation(WREN).cards]
    (elm,) = [card for card in cards if card["name"] == "elm"]
    elm["address"] = SigningKey(Secret(bytes(31) + b"\x07")).address
    with pytest.raises(EvidenceRejected, match="card of hospital-elm: got a signature by"):
        looked_at(apart, WREN, resigned(apart, WREN, cards=cards))


def test_an_invitation_for_somebody_else_is_refused_and_so_is_its_sealed_part(apart: Apart) -> None:
    elm = apart.provider.invited("hospital-elm").read_bytes()
    with pytest.raises(Refused, match="got an invitation for hospital-elm, and this is the site of hospital-wren"):
        looked_at(apart, WREN, elm)
    taken = resigned(apart, WREN, sealed=apart.invitation(Site(role=SiteRole.HOSPITAL, name="elm")).sealed)
    with pytest.raises(EvidenceRejected, match="this site's key does not open"):
        looked_at(apart, WREN, taken)


def test_a_sealed_part_is_bound_to_its_member_and_provider(apart: Apart) -> None:
    invitation = apart.invitation(WREN)
    wren = invitation.own
    assert wren is not None
    (elm,) = [card for card in invitation.cards if card.name == "elm"]
    store = account(apart.provider, WREN)
    token = Secret(b"token")
    key = Secret.read(apart.settings(WREN.queue).hospital("wren") / "seal-key")
    provider = invitation.provider
    whole = Access(store, token).seal(wren, provider)
    assert Access.unseal(whole, wren, provider, key).token == token
    for member, by in ((elm.model_copy(update={"seal_key": wren.seal_key}), provider), (wren, elm)):
        with pytest.raises(EvidenceRejected, match="meant for another site or comes from another provider"):
            Access.unseal(Access(store, token).seal(member, by), wren, provider, key)
    with pytest.raises(EvidenceRejected, match="without the keys and the token"):
        Access.unseal(Access(store, None).seal(wren, provider), wren, provider, key)


@pytest.mark.parametrize("inside", [b"", b"{}", b"[]", b'{"for":1}', b"\xff", b"null"])
def test_garbage_in_the_sealed_part_is_refused(apart: Apart, inside: bytes) -> None:
    key = PrivateKey(Secret.read(apart.settings(WREN.queue).hospital("wren") / "seal-key").reveal())
    sealed = bytes(SealedBox(key.public_key).encrypt(inside))
    with pytest.raises(EvidenceRejected, match="hospital-wren: got a sealed part"):
        looked_at(apart, WREN, resigned(apart, WREN, sealed=sealed.hex()))


def test_an_older_invitation_than_the_last_one_is_refused(apart: Apart) -> None:
    older = apart.provider.invited(WREN.queue).read_bytes()
    newer = resigned(apart, WREN, made=apart.invitation(WREN).made + 1)
    join(looked_at(apart, WREN, newer), apart.settings(WREN.queue))
    with pytest.raises(Refused, match="older than the one that this site joined by"):
        looked_at(apart, WREN, older)


@pytest.mark.parametrize("behind", [16 * 60, 30 * DAY])
def test_a_clock_that_is_wrong_is_named_and_not_the_certificate(apart: Apart, behind: int) -> None:
    with pytest.raises(
        Refused, match=r"will be made in \d+ min by this machine's clock: one of the two clocks is wrong"
    ):
        looked_at(apart, WREN, now=time() - behind)
    early = resigned(apart, WREN, made=apart.invitation(WREN).made - behind)
    with pytest.raises(
        Refused, match=r"min older than the card in it: this machine's clock or the provider's is wrong"
    ):
        looked_at(apart, WREN, early)


def test_an_expired_authority_is_refused(apart: Apart) -> None:
    with pytest.raises(Refused, match=r"provider: got a certificate that is good from .* mend the clock"):
        looked_at(apart, WREN, now=time() + 11 * 365 * DAY)


def test_a_site_of_another_version_is_refused_with_both(apart: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    data = apart.provider.invited(WREN.queue).read_bytes()
    monkeypatch.setattr(site_file, "VERSION", "0.2.0")
    with pytest.raises(Refused, match=r"of Wardround '0\.1\.0' \(scheme 1\), want '0\.2\.0'"):
        looked_at(apart, WREN, data)
    with pytest.raises(Refused, match=r"'0\.1\.0'.*'0\.2\.0'.*install one version at all sites"):
        apart.invite()


def test_a_card_that_is_no_longer_the_site_s_own_is_refused(apart: Apart) -> None:
    settings = apart.settings(NORTH.queue)
    apart.init(NORTH, "north.example.org:7100")
    with pytest.raises(Refused, match=r"an invitation of another card than this site's: .* hand .*card\.json"):
        looked_at(apart, NORTH)
    settings.card.unlink()
    with pytest.raises(Refused, match="another card than this site's"):
        looked_at(apart, NORTH)


def another(apart: Apart, place: Path) -> Apart:
    """A consortium of the same members under another provider."""
    other = Apart.made(place)
    for site in members():
        shutil.copytree(apart.settings(site.queue).home, other.settings(site.queue).home)
    other.invite([(site.queue, apart.settings(site.queue).card.read_bytes()) for site in members()])
    return other


def test_another_provider_than_before_is_refused_until_somebody_compared_its_words(
    apart: Apart, tmp_path: Path
) -> None:
    settings = joined(apart, WREN)
    data = another(apart, tmp_path / "other").provider.invited(WREN.queue).read_bytes()
    joining = looked_at(apart, WREN, data)
    with pytest.raises(Refused, match=r"provider: the provider's key.*is another.*telephone.*--changed provider"):
        joining.refuse_unless(())
    joining.refuse_unless(("provider",))
    join(joining, settings)
    assert settings.authority.read_text() == joining.invitation.provider.certificate


def test_another_ledger_than_before_is_refused_too(apart: Apart) -> None:
    joined(apart, WREN)
    ledger = LEDGER.model_copy(update={"chain_id": 7}).model_dump(mode="json")
    with pytest.raises(Refused, match="the provider's key, authority or ledger is another"):
        looked_at(apart, WREN, resigned(apart, WREN, ledger=ledger)).refuse_unless(())


def test_a_member_s_changed_key_is_refused_until_somebody_compared_its_words(apart: Apart) -> None:
    joined(apart, WREN)
    shutil.rmtree(apart.settings("hospital-elm").home)
    elm = Site(role=SiteRole.HOSPITAL, name="elm")
    fresh = apart.card(elm)
    with pytest.raises(Refused, match=r"the member of this name has 0x.*`wardround site revoke hospital-elm` first"):
        refusing_ledger(apart, fresh)
    sites.revoke("hospital-elm", apart.provider, account)
    apart.invite([fresh])
    joining = looked_at(apart, WREN)
    with pytest.raises(Refused, match=r"elm's keys are another.*--changed elm"):
        joining.refuse_unless(("provider",))
    joining.refuse_unless(("elm",))


def refusing_ledger(apart: Apart, card: tuple[str, bytes]) -> None:
    """Invite where the ledger knows of no key that followed another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sites, "_followed", lambda *_: False)
        apart.invite([card])


def test_a_hospital_s_key_that_followed_another_on_the_ledger_is_taken(
    apart: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = apart.settings(WREN.queue)
    before = apart.invitation(WREN)
    successor = identity.next_key(settings.hospital("wren")).address
    identity.succeed(settings.hospital("wren"))
    asked = []
    monkeypatch.setattr(sites, "_followed", lambda *keys: asked.append(keys[:2]) or True)
    apart.invite([apart.card(WREN)])
    assert before.own is not None
    assert asked == [(before.own.address, successor)]
    assert Consortium.load(apart.provider.consortium).hospitals["wren"] == successor
    joined(apart, WREN)


def test_the_words_that_somebody_told_must_be_the_provider_s(apart: Apart) -> None:
    joining = looked_at(apart, WREN)
    joining.refuse_unless((), joining.invitation.provider.words.upper())
    own = joining.invitation.own
    assert own is not None
    with pytest.raises(Refused, match="throw the invitation away"):
        joining.refuse_unless((), own.words)


def test_only_a_member_s_site_joins(apart: Apart, tmp_path: Path) -> None:
    data = apart.provider.invited(WREN.queue).read_bytes()
    with pytest.raises(Misconfigured, match=r"got no site, want one: `wardround site init`"):
        examine(data, "file", Apart(tmp_path).settings("nobody"))
    with pytest.raises(Refused, match="the provider's own site"):
        examine(data, "file", apart.provider)


def test_only_the_provider_s_site_invites_and_revokes(apart: Apart) -> None:
    for settings in (apart.settings(WREN.queue), apart.settings("nobody")):
        with pytest.raises(Refused, match="got no provider's site"):
            sites.invite([], settings, account=account)
        with pytest.raises(Refused, match="got no provider's site"):
            sites.revoke(WREN.queue, settings, account)


def test_two_sites_of_one_name_are_refused_and_nothing_is_written(apart: Apart) -> None:
    before = files(apart.provider)
    twin = Site(role=SiteRole.NODE, name="wren")
    with pytest.raises(Refused, match="node-wren: got two sites of this name"):
        apart.invite([apart.card(twin)])
    assert files(apart.provider) == before


def test_one_site_under_two_names_is_refused(apart: Apart) -> None:
    shutil.copytree(apart.settings(WREN.queue).home, apart.settings("hospital-owl").home)
    settings = apart.settings("hospital-owl")
    (settings.home / "site.yaml").unlink()
    settings.card.unlink()
    settings.hospital("wren").rename(settings.hospital("owl"))
    owl = Site(role=SiteRole.HOSPITAL, name="owl")
    with pytest.raises(Refused, match="hospital-owl: got a card of wren's key"):
        apart.invite([apart.card(owl)])
    identity.next_key(settings.hospital("owl"))
    identity.succeed(settings.hospital("owl"))
    with pytest.raises(Refused, match="two sites with one seal key"):
        apart.invite([apart.card(owl)])


def test_a_card_from_the_future_names_the_clock(apart: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time() + 16 * 60
    monkeypatch.setattr(site_file, "time", lambda: later)
    card = apart.card(Site(role=SiteRole.HOSPITAL, name="robin"))
    monkeypatch.undo()
    with pytest.raises(Refused, match=r"hospital-robin\.json: .* this machine's or hospital-robin's; set it \(NTP\)"):
        apart.invite([card])


def test_a_member_that_was_admitted_without_a_card_keeps_its_key(apart: Apart) -> None:
    robin = Site(role=SiteRole.HOSPITAL, name="robin")
    card = apart.card(robin)
    theirs = apart.settings(WREN.queue).card
    other = Card.read(theirs.read_bytes(), "card").address
    Consortium.change(apart.provider.consortium, lambda known: known.with_hospital("robin", "0x" + "11" * 20))
    with pytest.raises(Refused, match="the member of this name has 0x1111"):
        refusing_ledger(apart, card)
    assert other in Consortium.load(apart.provider.consortium).hospitals.values()


def test_a_revoked_site_loses_token_account_and_invitation_and_the_others_nothing(apart: Apart) -> None:
    before = files(apart.provider)
    asked: list[str] = []
    gone = sites.revoke(NORTH.queue, apart.provider, lambda _, site: asked.append(site.queue))
    assert gone == NORTH
    assert asked == ["node-north"]
    after = files(apart.provider)
    lost = {apart.provider.token_of(NORTH.queue), apart.provider.invited(NORTH.queue)}
    assert lost == before.keys() - after.keys() - {apart.provider.known_card(NORTH.queue)}
    assert all(before[path] == content for path, content in after.items() if path in before)
    with pytest.raises(Refused, match="node-north: got no site of this name, want one of auditor-watch"):
        sites.revoke(NORTH.queue, apart.provider, account)
    assert NORTH.queue not in apart.invite()
    again = apart.invite([apart.card(NORTH)])
    join(looked_at(apart, NORTH, again[NORTH.queue]), apart.settings(NORTH.queue))


def test_an_auditor_has_no_queue_of_its_own_to_revoke_but_its_account(apart: Apart) -> None:
    assert sites.revoke(AUDITOR.queue, apart.provider, account) == AUDITOR


@pytest.mark.parametrize("key", ["00" * 32, "01" + "00" * 31])
def test_a_seal_key_that_is_none_is_refused(apart: Apart, key: str) -> None:
    before = files(apart.provider)
    robin = Site(role=SiteRole.HOSPITAL, name="robin")
    card = apart.init(robin)
    signing_key = SigningKey(Secret.read(apart.settings(robin.queue).hospital("robin") / "signing-key"))
    poor = Card.make({**card.identity, "seal_key": key, "host": None}, signing_key)
    with pytest.raises(EvidenceRejected, match="hospital-robin: got a seal key that is no key"):
        apart.invite([("robin.json", poor.data)])
    assert files(apart.provider) == before


def test_another_provider_s_card_is_no_member_s(apart: Apart, tmp_path: Path) -> None:
    other = Apart.made(tmp_path / "other").provider.card.read_bytes()
    with pytest.raises(Refused, match="want those of hospitals, nodes and auditors"):
        apart.invite([("card.json", other)])


def test_a_damaged_card_names_its_file(apart: Apart) -> None:
    with pytest.raises(EvidenceRejected, match=r"here\.json: got no card"):
        apart.invite([("here.json", b"{")])
    assert PROVIDER not in apart.invite()
