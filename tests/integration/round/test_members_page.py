"""The provider's page of nodes and provider: a node is replaced and the role handed over, on a real chain."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.chain.ledger import study_id
from pipeline.domain import Address, NodeName
from pipeline.site.consortium import Consortium
from tests.support.console import PROVIDER, client, form_token
from tests.support.offices import ALDER, BIRCH, CEDAR, Office

pytestmark = pytest.mark.anvil

DOGWOOD = NodeName("dogwood")


def _form(**fields: object) -> dict[str, object]:
    return {"csrf_token": form_token(PROVIDER.login), **fields}


def _admitted(owner: Office) -> Address:
    """A fourth node in the members' file, with the certificate of another: nobody connects to it here."""
    address = Address("0x" + "12" * 20)
    node = owner.members.node(ALDER).model_copy(update={"address": address})
    Consortium.change(
        owner.settings.consortium, lambda listed: listed.model_copy(update={"nodes": {**listed.nodes, DOGWOOD: node}})
    )
    return address


def test_a_majority_replaces_a_node_by_the_page_and_the_provider_alone_does_not(owner: Office, tmp_path: Path) -> None:
    address = _admitted(owner)
    pages = client(owner.settings, PROVIDER)
    assert "so no round of second starts" not in pages.get("/members").text
    files = []
    for name in (ALDER, CEDAR):
        file = tmp_path / f"{name}.json"
        owner.says("nodes", "replace", "second", CEDAR, DOGWOOD, "--as", name, "-o", str(file))
        files.append(file.read_text())
    assert "The ledger has other nodes than the file, so no round of second starts" in pages.get("/members").text
    for refused in (
        [],
        files[:1],
        [files[0], "{}"],
        [files[0], files[0].replace(address, owner.members.node(BIRCH).address)],
    ):
        assert pages.post("/members/nodes", data=_form(files=refused)).status_code in (400, 409, 422)
    before = owner.ledger.study(study_id("second"))
    assert pages.post("/members/nodes", data=_form(files=[*files, ""])).status_code == 303
    after = owner.ledger.study(study_id("second"))
    assert (after.nodes, after.changes) == ((*before.nodes[:2], address), before.changes + 1)
    assert "so no round of second starts" not in pages.get("/members").text


def test_the_provider_names_by_the_page_who_may_take_its_role(owner: Office) -> None:
    pages = client(owner.settings, PROVIDER)
    assert "nobody is named" in pages.get("/members").text
    successor = owner.says("provider", "prepare").partition(":")[0]
    assert pages.post("/members/provider", data=_form(address=f" {successor} ")).status_code == 303
    assert owner.ledger.next_provider() == successor
    assert f"<code>{successor}</code>, by" in pages.get("/members").text
    assert pages.post("/members/provider", data=_form(address=owner.members.node(ALDER).address)).status_code >= 400
    owner.says("provider", "accept")
    assert owner.ledger.provider() == successor
    assert "nobody is named" in pages.get("/members").text
