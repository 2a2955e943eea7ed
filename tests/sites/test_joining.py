"""Sites on machines of their own: each makes its own keys, the provider invites, everybody joins; files go by hand."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.sites.conftest import BETWEEN_MACHINES, LATE, NODES, STUDY, Sites
from tests.support.canaries import contents
from tests.support.machines.members import PROVIDER

# All sites are made before the first test.
pytestmark = [*BETWEEN_MACHINES, pytest.mark.timeout(900)]

_WORDS = re.compile(r"(?:[a-z]{3,8} ){11}[a-z]{3,8}")

_FILES = """
import contextlib, json, os
found = {}
for folder, _, names in os.walk("site"):
    for path in (os.path.join(folder, name) for name in names):
        # services run here: what vanishes meanwhile is nobody's
        with contextlib.suppress(FileNotFoundError):
            if os.path.isfile(path):
                found[path] = os.stat(path)
print(json.dumps({name: [stat.st_uid == os.getuid(), stat.st_mode & 0o777] for name, stat in found.items()}))
"""

_SECRETS = ("*-key", "seal-key", "sharing-*", "store-credentials.json", "site-token", "*key.pem", "store-root")


def _secrets(sites: Sites, name: str) -> dict[str, bytes]:
    home = sites.machines[name].path("site")
    return {
        str(path.relative_to(home)): path.read_bytes()
        for pattern in _SECRETS
        for path in home.rglob(pattern)
        if path.is_file()
    }


def test_everybody_holds_the_same_consortium_certificates_and_studies(sites: Sites) -> None:
    for file in ("consortium.yaml", *(f"certificates/{node}.pem" for node in NODES)):
        held = {machine.path(f"site/{file}").read_bytes() for machine in sites.joined.values()}
        assert len(held) == 1, file
    for machine in sites.joined.values():
        assert yaml.safe_load(machine.path("site/studies/breast_cancer.yaml").read_text()) == STUDY
    front = f"https://{PROVIDER}:8443"
    for machine in sites.members.values():
        told = yaml.safe_load(machine.path("site/installation.yaml").read_text())
        assert (told["store"], told["rpc"], told["airflow"]) == (front, f"{front}/rpc", front)


def test_everybody_is_shown_the_words_that_each_member_s_own_machine_says(sites: Sites) -> None:
    words = {name: _WORDS.findall(sites.said[name, "init"])[0] for name in sites.joined}
    assert len(set(words.values())) == len(words)
    for name in sites.members:
        shown = " ".join(sites.said[name, "join"].split())
        for whose, text in words.items():
            assert text in shown, f"{whose} at {name}"


def test_a_secret_lies_at_its_own_site_alone(sites: Sites) -> None:
    for name in sites.members:
        secrets = _secrets(sites, name)
        # The provider gave out the token, and knows it.
        token = secrets.pop("secrets/site-token", None)
        assert (token is None) == name.startswith("auditor")
        assert len(secrets) >= 3, secrets.keys()
        for other, another in sites.machines.items():
            there = contents(another.path("site")) if other != name else ()
            assert not [str(path) for path, data in there if data in secrets.values()], f"{name}'s at {other}"


def test_each_file_is_its_member_s_and_each_secret_for_nobody_else(sites: Sites) -> None:
    for name, machine in sites.joined.items():
        found = json.loads(machine.python(_FILES))
        assert all(owned for owned, _ in found.values()), name
        for secret in _secrets(sites, name):
            assert found[f"site/{secret}"][1] & 0o077 == 0, secret


def test_no_member_listens_or_runs_anything_before_it_is_up(sites: Sites) -> None:
    for machine in sites.members.values():
        seen = machine.look()
        assert (dict(seen.processes), seen.listening, seen.connected) == ({}, set(), set())
    listens = {(host, port) for host, port in sites.provider.look().listening if host != "127.0.0.1"}
    # On all addresses, of both kinds where the machine has both.
    assert listens in ({("0.0.0.0", 8443)}, {("::", 8443)})  # noqa: S104


def test_an_invitation_of_another_member_is_refused(sites: Sites) -> None:
    birch = sites.machines["hospital-birch"]
    before = birch.path("site/consortium.yaml").read_bytes()
    file = birch.receive("another.json", sites.invitation("hospital-aster"))
    said = birch.wardround("site", "join", file, "--yes", ends_with=2)
    assert "got an invitation for hospital-aster, and this is the site of hospital-birch" in said
    assert birch.path("site/consortium.yaml").read_bytes() == before


def test_a_card_and_an_invitation_that_were_changed_on_their_way_are_refused(sites: Sites) -> None:
    forged = sites.card("node-north").replace(b"node-north:7000", b"node-north:7100")
    file = sites.provider.receive("forged.json", forged)
    assert "signature" in sites.provider.wardround("site", "invite", file, ends_with=2)
    forged = sites.invitation("hospital-birch").replace(b":8443", b":8444")
    birch = sites.machines["hospital-birch"]
    assert "signature" in birch.wardround("site", "join", birch.receive("forged.json", forged), "--yes", ends_with=2)


def test_a_site_whose_words_are_others_is_not_joined(sites: Sites) -> None:
    birch = sites.machines["hospital-birch"]
    words = " ".join(["abandon"] * 11 + ["about"])
    said = birch.wardround("site", "join", "invitation.json", "--fingerprint", words, ends_with=2)
    assert "call it by telephone" in said


def test_a_second_site_of_a_name_is_refused(sites: Sites) -> None:
    owl = sites.machines["auditor-owl"]
    said = owl.run("env", f"WARDROUND_HOME={owl.home}/second", "wardround", "site", "init", "--hospital", "aster")
    assert _WORDS.search(said)
    file = sites.provider.receive("second.json", owl.path("second/card.json").read_bytes())
    said = sites.provider.wardround("site", "invite", file, ends_with=2)
    assert "the member of this name has" in said


def test_a_machine_is_one_member_s_site_for_good(sites: Sites) -> None:
    said = sites.machines["hospital-aster"].wardround("site", "init", "--hospital", "birch", ends_with=2)
    assert "got the site of hospital-aster there" in said


def test_a_site_that_comes_later_is_known_to_whoever_joins_anew(sites: Sites) -> None:
    late = f"hospital-{LATE}"
    sites.init(late)
    sites.invite(late)
    sites.join(late)
    aster = sites.machines["hospital-aster"]
    kept = _secrets(sites, "hospital-aster")
    assert LATE not in aster.path("site/consortium.yaml").read_text()
    sites.join("hospital-aster")
    assert LATE in aster.path("site/consortium.yaml").read_text()
    assert _secrets(sites, "hospital-aster") == kept
