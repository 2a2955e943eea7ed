"""Cards: what a site says of itself, and what is refused of a file that calls itself one."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain import SiteFile
from pipeline.errors import EvidenceRejected, Misconfigured, Refused, WardroundError
from pipeline.evidence import signing
from pipeline.evidence.canonical import canonical_json
from pipeline.host.secret import Secret
from pipeline.joining import site_file
from pipeline.joining.card import Card
from pipeline.joining.certificate_check import certificate_fingerprint, check_certificate
from pipeline.joining.words import same, words
from pipeline.site import certificates
from pipeline.site.identity import SigningKey
from pipeline.site.site import PROVIDER, Site, SiteRole
from tests.support.sites import AUDITOR, FRONT, NORTH, WREN, Apart

KEY = SigningKey(Secret(bytes(31) + b"\x01"))
OTHER = SigningKey(Secret(bytes(31) + b"\x02"))
PROVIDERS = Site(role=SiteRole.PROVIDER, name=PROVIDER)
CONTENT: dict[str, Any] = {
    "role": "hospital",
    "name": "wren",
    "address": KEY.address,
    "seal_key": "5e" * 32,
    "certificate": None,
    "host": None,
}
CARD = Card.make(CONTENT, KEY)


def signed(**changes: Any) -> bytes:
    """A card with other content under its own signature, whatever it says."""
    content = CARD.model_dump(mode="json", exclude={"signature"}) | changes
    return canonical_json(content | {"signature": signing.sign_site_file(SiteFile.CARD, content, KEY)})


@pytest.mark.parametrize("site", [WREN, NORTH, AUDITOR, PROVIDERS], ids=lambda site: site.queue)
def test_a_card_is_read_as_it_was_made(tmp_path: Path, site: Site) -> None:
    apart = Apart(tmp_path)
    card = apart.init(site)
    assert Card.read(card.data, "card") == card
    assert card.site == site
    assert apart.settings(site.queue).card.read_bytes() == card.data
    check_certificate(card, card.made)


def test_a_site_keeps_its_keys_and_card_and_its_folder_is_its_own(tmp_path: Path) -> None:
    apart = Apart(tmp_path)
    first = apart.init(NORTH)
    settings = apart.settings(NORTH.queue)
    before = {path: path.read_bytes() for path in settings.home.rglob("*") if path.is_file()}
    assert apart.init(NORTH) == first
    assert {path: path.read_bytes() for path in settings.home.rglob("*") if path.is_file()} == before
    public = {"card.json", "site.yaml", "cert.pem", "up.lock"}
    assert {path.stat().st_mode & 0o777 for path in before if path.name not in public} == {0o600}
    assert settings.home.stat().st_mode & 0o777 == 0o700
    secrets = [content for path, content in before.items() if path.name not in public]
    assert not any(secret.hex() in first.data.decode() for secret in secrets)


@pytest.mark.parametrize("other", [Site(role=SiteRole.NODE, name="wren"), Site(role=SiteRole.HOSPITAL, name="elm")])
def test_a_folder_of_one_site_is_no_other_s(tmp_path: Path, other: Site) -> None:
    from pipeline.setup import sites

    apart = Apart(tmp_path)
    apart.init(WREN)
    host = "10.0.0.1:7000" if other.role is SiteRole.NODE else None
    with pytest.raises(Refused, match="got the site of hospital-wren there"):
        sites.init(other, host, apart.settings(WREN.queue))
    assert not apart.settings(WREN.queue).node("wren").exists()


def test_an_installation_of_all_sites_is_no_site(tmp_path: Path) -> None:
    from pipeline.setup import sites

    apart = Apart.made(tmp_path)
    (apart.provider.home / "site.yaml").unlink()
    with pytest.raises(Refused, match="all sites on one machine"):
        sites.init(WREN, None, apart.provider)


def test_only_who_is_called_has_a_host_and_a_node_s_certificate_holds_it(tmp_path: Path) -> None:
    from pipeline.setup import sites

    apart = Apart(tmp_path)
    with pytest.raises(Misconfigured, match="of nobody else"):
        sites.init(WREN, FRONT, apart.settings(WREN.queue))
    with pytest.raises(Misconfigured, match="at most 65504"):
        apart.init(NORTH, "north.example.org:65505")
    with pytest.raises(Misconfigured, match="unlike rounds"):
        apart.init(Site(role=SiteRole.HOSPITAL, name="rounds"))
    with pytest.raises(Misconfigured, match=r"of a node and of the provider.*--host HOST:PORT"):
        sites.init(NORTH, None, apart.settings(NORTH.queue))
    assert not list(tmp_path.rglob("signing-key"))
    apart.init(NORTH)
    with pytest.raises(Refused, match=r"its certificate is for north\.example\.org"):
        apart.init(NORTH, "elsewhere.example.org:7000")
    assert apart.init(NORTH, "north.example.org:7100").host == "north.example.org:7100"


def test_a_provider_may_move_its_front_and_keeps_its_authority(tmp_path: Path) -> None:
    apart = Apart(tmp_path)
    first = apart.init(PROVIDERS)
    moved = apart.init(PROVIDERS, "10.77.1.11:443")
    assert moved.host != first.host
    assert moved.fingerprint == first.fingerprint


def test_a_card_of_another_version_is_made_anew_after_an_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = Apart(tmp_path)
    first = apart.init(WREN)
    monkeypatch.setattr(site_file, "VERSION", "9.9.9")
    second = apart.init(WREN)
    assert (first.version, second.version) == ("0.1.0", "9.9.9")
    assert first.identity == second.identity


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[:-1],
    "half": lambda data: data[: len(data) // 2],
    "a list": lambda data: b"[" + data + b"]",
    "white space": lambda data: data + b"\n",
    "another spelling": lambda data: json.dumps(json.loads(data)).encode(),
    "a field twice": lambda data: data[:-1] + b',"name":"wren"}',
    "garbage": lambda data: bytes(range(256)),
    "long": lambda data: b'{"a":"' + b"x" * Card.LARGEST + b'"}',
    "deep": lambda data: b"[" * 5000,
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_card_is_refused(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises((EvidenceRejected, Refused), match=r"wren\.json: .*(sent again|made anew)"):
        Card.read(damage(CARD.data), "wren.json")


@pytest.mark.parametrize(
    "changes",
    [{"name": "elm"}, {"address": OTHER.address}, {"seal_key": "5f" * 32}, {"made": CARD.made + 1}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_changed_card_bears_no_signature(changes: dict[str, Any]) -> None:
    value = CARD.model_dump(mode="json") | changes
    with pytest.raises(EvidenceRejected, match=r"wren\.json: got a signature by"):
        Card.read(canonical_json(value), "wren.json")


def test_a_signature_for_anything_else_is_none_for_a_card() -> None:
    content = CARD.model_dump(mode="json", exclude={"signature"})
    value = content | {"signature": signing.sign_site_file(SiteFile.INVITATION, content, KEY)}
    with pytest.raises(EvidenceRejected, match="got a signature by"):
        Card.read(canonical_json(value), "card")


@dataclass(frozen=True)
class Wrong:
    """Fields that a card cannot have, and what is said of them."""

    changes: dict[str, Any]
    says: str


WRONG = {
    "no role": Wrong({"role": "king"}, "role"),
    "a role that is no text": Wrong({"role": 7}, "role"),
    "a path for a name": Wrong({"name": "../elm"}, "name"),
    "a line break in a name": Wrong({"name": "wren\n"}, "name"),
    "a word of the store's paths": Wrong({"name": "rounds"}, "word of the store's paths"),
    "the provider's name": Wrong({"name": "provider"}, "unlike provider"),
    "another name for the provider": Wrong({"role": "provider"}, "want the name provider"),
    "a host of a hospital": Wrong({"host": "10.0.0.1:7"}, "of nobody else"),
    "a node without a host": Wrong({"role": "node"}, "of a node"),
    "a port that is none": Wrong({"role": "node", "certificate": "x", "host": "a:65536"}, "host"),
    "a node's last port": Wrong({"role": "node", "certificate": "x", "host": "a:65505"}, "at most 65504"),
    "a user before the host": Wrong({"role": "node", "certificate": "x", "host": "a@b:7"}, "host"),
    "a seal key that is short": Wrong({"seal_key": "5e"}, "seal_key"),
    "an address that is none": Wrong({"address": "0x12"}, "address"),
    "an address in small letters": Wrong({"address": KEY.address.lower()}, "got a signature by"),
    "a time that is a text": Wrong({"made": "now"}, "made"),
    "a time before 1970": Wrong({"made": -1}, "made"),
    "a field more": Wrong({"extra": 1}, "extra"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_signed_card_with_wrong_fields_is_refused(wrong: Wrong) -> None:
    with pytest.raises(EvidenceRejected, match=rf"card: .*{wrong.says}"):
        Card.read(signed(**wrong.changes), "card")


@pytest.mark.parametrize("changes", [{"version": "0.2.0"}, {"scheme": 2}, {"version": None}, {"scheme": "1"}])
def test_a_card_of_another_version_names_both_and_what_to_do(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=r"(0\.2\.0|scheme 2|None|'1').*want '0\.1\.0' \(scheme 1\).*install one version"):
        Card.read(signed(**changes), "card")


def test_words_are_one_s_own_and_compared_as_people_say_them(tmp_path: Path) -> None:
    apart = Apart(tmp_path)
    said = {apart.init(site).words for site in (WREN, NORTH, PROVIDERS)}
    assert {len(each.split()) for each in said} == {12}
    assert len(said) == 3
    assert words(certificate_fingerprint(apart.init(NORTH))) not in said
    one = CARD.words
    assert same(one.upper().replace(" ", "  "), one)
    assert not same(one, " ".join(reversed(one.split())))


def node_card(folder: Path, host: str = "north.example.org", **changes: Any) -> Card:
    certificates.create(folder, "north", host)
    content = CONTENT | {
        "role": "node",
        "name": "north",
        "host": "north.example.org:7000",
        "certificate": (folder / "cert.pem").read_text(),
    }
    return Card.make(content | changes, KEY)


def test_a_certificate_must_be_for_the_host_of_its_card(tmp_path: Path) -> None:
    check_certificate(node_card(tmp_path / "a"), time())
    with pytest.raises(EvidenceRejected, match=r"a certificate for 10\.0\.0\.9, want one for north\.example\.org"):
        check_certificate(node_card(tmp_path / "b", "10.0.0.9"), time())


@pytest.mark.parametrize("pem", ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_certificate_that_is_none_is_refused(tmp_path: Path, pem: str) -> None:
    with pytest.raises(EvidenceRejected, match="node-north: got a certificate that cannot be read"):
        check_certificate(node_card(tmp_path, certificate=pem), time())


def test_two_certificates_in_one_are_refused(tmp_path: Path) -> None:
    pem = str(node_card(tmp_path).certificate)
    with pytest.raises(EvidenceRejected, match="more than one certificate"):
        check_certificate(node_card(tmp_path, certificate=pem * 2), time())


def test_a_certificate_that_may_sign_others_is_no_node_s_and_one_that_may_not_no_authority(tmp_path: Path) -> None:
    certificates.create_authority(tmp_path, "north")
    certificates.create_server(tmp_path, ["north.example.org"])
    authority = (tmp_path / "authority.pem").read_text()
    with pytest.raises(EvidenceRejected, match="want one that signs nobody else"):
        check_certificate(node_card(tmp_path / "n", certificate=authority), time())
    with pytest.raises(EvidenceRejected, match="another one signed"):
        check_certificate(node_card(tmp_path / "n", certificate=(tmp_path / "cert.pem").read_text()), time())
    of_provider = {"role": "provider", "name": "provider", "host": FRONT}
    with pytest.raises(EvidenceRejected, match="want an authority"):
        check_certificate(node_card(tmp_path / "n", **of_provider), time())


@pytest.mark.parametrize("years", [-1, 11])
def test_a_certificate_that_is_not_good_now_names_both_dates_and_the_clock(tmp_path: Path, years: int) -> None:
    card = node_card(tmp_path)
    with pytest.raises(
        Refused, match=r"node-north: got a certificate that is good from .* clock says .*mend the clock"
    ):
        check_certificate(card, card.made + years * timedelta(days=365).total_seconds())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=10), children, max_size=3),
    max_leaves=6,
)


@given(st.binary(max_size=200))
def test_no_bytes_are_a_card_by_chance(data: bytes) -> None:
    with pytest.raises((EvidenceRejected, Refused)):
        Card.read(data, "card")


@given(st.dictionaries(st.sampled_from(sorted(Card.model_fields)), JSON, min_size=1))
def test_whatever_a_signed_card_says_it_is_a_card_or_refused(changes: dict[str, Any]) -> None:
    with suppress(WardroundError):
        card = Card.read(signed(**changes), "card")
        assert card.address == KEY.address
        check_certificate(card, time())


@given(st.integers(min_value=0, max_value=len(CARD.data) - 1), st.integers(min_value=1, max_value=255))
def test_no_changed_byte_passes(place: int, flip: int) -> None:
    data = bytearray(CARD.data)
    data[place] ^= flip
    with pytest.raises((EvidenceRejected, Refused)):
        Card.read(bytes(data), "card")
