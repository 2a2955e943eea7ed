"""Sites against a real store and ledger: accounts that open their own alone, keys that move on, and a revocation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.chain.ledger import HospitalStatus
from pipeline.domain import Address, HospitalName
from pipeline.errors import Refused, WardroundError
from pipeline.evidence.canonical import sha256
from pipeline.governance import keys
from pipeline.joining.join import examine, join
from pipeline.setup import ledger, sites
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.site.site import PROVIDER, Site, SiteRole
from pipeline.store import object_keys
from pipeline.store.objects import Store
from tests.support.consortia import Site as Everybody
from tests.support.sites import FRONT

pytestmark = [pytest.mark.store, pytest.mark.anvil]

ROBIN = Site(role=SiteRole.HOSPITAL, name="robin")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everybody]:
    """A store, a ledger, and a provider that invites."""
    home = tmp_path_factory.mktemp("town") / "home"
    made = Everybody(home)
    provider = Site(role=SiteRole.PROVIDER, name=PROVIDER)
    provider.save(made.settings)
    sites.init(provider, FRONT, made.settings)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def robin(town: Everybody, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A hospital's site elsewhere that joined."""
    home = tmp_path_factory.mktemp("robin") / "home"
    usual = town.settings
    settings = Settings(home, usual.data, usual.cache, usual.mp_spdz, home / "studies")
    sites.init(ROBIN, None, settings)
    invited(town, settings)
    return settings


def invited(town: Everybody, settings: Settings, *, renew: bool = False, card: bool = True) -> None:
    """Invite the site, and let it join; its services are reached here past the provider's front."""
    given = [("card.json", settings.card.read_bytes())] if card else []
    (file,) = sites.invite(given, town.settings, renew=renew)
    join(examine(file.read_bytes(), file.name, settings), settings)
    town.services.save(settings.installation)


def opens(town: Everybody, settings: Settings) -> bool:
    """Whether the store takes what the site writes to its own place."""
    place = object_keys.consents("glade", HospitalName("robin"), node=False)
    data = b"{}"
    try:
        store = Store(town.services.store, Identity.load(ROBIN.folder(settings)).credentials)
        store.put_once(place.bucket, place.key(sha256(data)), data)
    except WardroundError:
        return False
    return True


def test_the_account_of_an_invitation_opens_the_site_s_own_alone(town: Everybody, robin: Settings) -> None:
    assert opens(town, robin)
    store = Store(town.services.store, Identity.load(ROBIN.folder(robin)).credentials)
    another = object_keys.consents("glade", HospitalName("aster"), node=False)
    with pytest.raises(Refused, match="does not let hospital-robin"):
        store.put_once(another.bucket, another.key(sha256(b"{}")), b"{}")


def test_members_without_a_card_stay_in_the_provider_s_file_and_are_told_to_nobody(
    town: Everybody, robin: Settings
) -> None:
    known = Consortium.load(town.settings.consortium)
    assert set(town.members.hospitals) < set(known.hospitals)
    assert set(town.members.nodes) == set(known.nodes)
    assert set(Consortium.load(robin.consortium).hospitals) == {"robin"}
    assert sites.without_card(town.settings) == sorted({*town.members.hospitals, *town.members.nodes})


def test_an_invitation_made_again_keeps_the_account_and_a_renewed_one_closes_the_former(
    town: Everybody, robin: Settings
) -> None:
    former = Identity.load(ROBIN.folder(robin)).credentials
    invited(town, robin, card=False)
    assert Identity.load(ROBIN.folder(robin)).credentials == former
    invited(town, robin, card=False, renew=True)
    assert opens(town, robin)
    fresh = ROBIN.folder(robin) / "store-credentials.json"
    kept = fresh.read_bytes()
    former.save(fresh)
    assert not opens(town, robin)
    fresh.write_bytes(kept)


def test_a_hospital_that_registered_itself_is_authorised_and_one_that_did_not_is_named(
    town: Everybody, robin: Settings
) -> None:
    known = Consortium.load(town.settings.consortium)
    assert ledger.authorise_hospitals(town.settings, town.services, known) == ["robin"]
    own = Consortium.load(robin.consortium)
    ledger.register_hospitals(robin, Installation.load(robin.installation), own)
    assert ledger.authorise_hospitals(town.settings, town.services, known) == []
    assert town.ledger.hospital(own.hospital(HospitalName("robin"))) is HospitalStatus.AUTHORISED


def test_a_key_that_moved_on_on_the_ledger_is_invited_and_a_stranger_s_is_not(
    town: Everybody, robin: Settings, tmp_path: Path
) -> None:
    address = Consortium.load(robin.consortium).hospital(HospitalName("robin"))
    successor = keys.rotate_hospital_key(HospitalName("robin"), robin).next
    assert town.ledger.hospital(address) is HospitalStatus.RETIRED
    stranger = Settings(tmp_path / "home", robin.data, robin.cache, robin.mp_spdz, tmp_path / "studies")
    with pytest.raises(Refused, match=f"the member of this name has {address}"):
        sites.invite([("card.json", sites.init(ROBIN, None, stranger).data)], town.settings)
    sites.init(ROBIN, None, robin)
    invited(town, robin)
    assert Consortium.load(town.settings.consortium).hospital(HospitalName("robin")) == Address(successor)
    assert opens(town, robin)


def test_a_revoked_site_reaches_nothing_and_nobody_else_notices(town: Everybody, robin: Settings) -> None:
    assert opens(town, robin)
    sites.revoke(ROBIN.queue, town.settings)
    assert not opens(town, robin)
    assert not town.settings.token_of(ROBIN.queue).exists()
    aster = Identity.load(town.settings.hospital("aster"))
    place = object_keys.consents("glade", HospitalName("aster"), node=False)
    Store(town.services.store, aster.credentials).put_once(place.bucket, place.key(sha256(b"{}")), b"{}")
