"""What `wardround doctor --store` says of true stores, and of those that fail a promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli import commands
from pipeline.domain import HospitalName, NodeName
from pipeline.errors import Misconfigured, Unavailable
from pipeline.host import ports
from pipeline.site.identity import STORE_CREDENTIALS, StoreCredentials
from pipeline.site.site import Site, SiteRole
from pipeline.store import admin, conformance, policies
from pipeline.store.object_keys import MOST_OF_MEMBER, REPORTS
from pipeline.store.objects import Store
from pipeline.store.policies import Policy
from tests.support.installations import INSTALLATION, settings_in
from tests.support.minio import ROOT, StoreServer

RIGHTS = {
    "hospital-elm": policies.hospital(HospitalName("elm")),
    "node-east": policies.node(NodeName("east")),
    "provider": policies.provider(),
    "auditor-aud": policies.auditor(),
}


def admitted(server: StoreServer, actor: str, policy: Policy) -> StoreCredentials:
    made = StoreCredentials.generate(actor)
    server.administrator.admit(made, policy)
    return made


def broken(endpoint: str, credentials: StoreCredentials) -> set[str]:
    return {promise.what for promise in conformance.promises(endpoint, credentials) if not promise.held}


@pytest.mark.parametrize("actor", RIGHTS)
def test_the_store_of_an_installation_holds_every_promise_to_every_member(server: StoreServer, actor: str) -> None:
    account = admitted(server, actor, RIGHTS[actor])
    for _ in range(2):
        said = list(conformance.promises(server.endpoint, account))
        assert [promise for promise in said if not promise.held] == []
        assert len(said) == (17 if actor != "auditor-aud" else 12)
    root = server.as_root()
    assert root.list("mailbox", "rounds/0/") == root.list("models", "") == ()
    left = root.history(REPORTS, conformance.TrialFolder.of(actor).prefix or "rounds/0/Nobody/")
    assert sum(item.size for item in left) < 500
    assert len(left) < MOST_OF_MEMBER


def test_the_command_says_each_promise_at_a_members_site(server: StoreServer, tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home")
    site = Site(role=SiteRole.HOSPITAL, name="yew")
    site.save(settings)
    INSTALLATION.model_copy(update={"store": server.endpoint}).save(settings.installation)
    admitted(server, site.queue, policies.hospital(HospitalName("yew"))).save(site.folder(settings) / STORE_CREDENTIALS)
    asked = ["doctor", "--store"]
    said = CliRunner().invoke(commands, asked, env={"WARDROUND_HOME": str(settings.home)})
    assert said.exit_code == 0, said.output
    assert "✓ conditional write: a second write under If-None-Match is refused" in said.output
    server.administrator.allow(site.queue, policies.hospital(HospitalName("fir")))
    said = CliRunner().invoke(commands, asked, env={"WARDROUND_HOME": str(settings.home)})
    assert (said.exit_code, "does not let hospital-yew" in str(said.exception)) == (1, True)


def test_a_store_without_its_guard_is_told(server: StoreServer) -> None:
    account = admitted(server, "hospital-elm", RIGHTS["hospital-elm"])
    said = broken(server.bare, account)
    # Versitygw checks each form by itself.
    assert said == ({"refuses an object in chunks that nobody signed"} if server.kind == "minio" else set())


def test_an_account_that_may_too_much_is_told(server: StoreServer) -> None:
    everything: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]} | extra
        for extra in ({"Resource": [f"arn:aws:s3:::{bucket}" for bucket in admin.BUCKETS]},)
    ]
    everything += [
        {"Effect": "Allow", "Action": ["s3:*"], "Resource": [f"arn:aws:s3:::{bucket}/*" for bucket in admin.BUCKETS]}
    ]
    wide = admitted(server, "hospital-oak", {"Version": "2012-10-17", "Statement": everything})
    assert broken(server.endpoint, wide) >= {"writes nothing of others", "lists nobody's mail", "reads nobody's mail"}


def test_a_store_without_versions_and_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "LOCKED", ())
    server = StoreServer(tmp_path / "store", "minio")
    try:
        account = admitted(server, "node-east", RIGHTS["node-east"])
        assert broken(server.endpoint, account) >= {"versions", "retention of models", "retention of reports"}
    finally:
        server.stop()


def test_a_store_that_writes_twice_is_told(server: StoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    account = admitted(server, "hospital-fir", policies.hospital(HospitalName("fir")))
    answer = conformance._Trial._answer

    def unconditional(self: Any, operation: str, **asked: Any) -> Any:
        asked.pop("IfNoneMatch", None)
        return answer(self, operation, **asked)

    monkeypatch.setattr(conformance._Trial, "_answer", unconditional)
    assert broken(server.endpoint, account) == {"conditional write"}


def test_a_store_that_is_down_or_knows_nobody_is_no_broken_promise(server: StoreServer) -> None:
    with pytest.raises(Unavailable, match="is the store up"):
        broken(f"http://127.0.0.1:{ports.choose()}", ROOT)
    with pytest.raises(Misconfigured, match="InvalidAccessKeyId"):
        broken(server.endpoint, StoreCredentials.generate("hospital-elm"))
    assert Store(server.endpoint, ROOT).list("mailbox", "rounds/0/") == ()
