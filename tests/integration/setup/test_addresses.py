"""What a new installation chooses for its services, asking which ports are free."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import Misconfigured
from pipeline.services import services
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from tests.support.installations import settings_in


def test_who_begins_an_installation_chooses_its_store_by_one_line(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.installation.write_text("store_server: versitygw\n")
    assert Settings.load(tmp_path).home == tmp_path
    assert services.store_server(settings) == "versitygw"
    chosen, _ = services.addresses(settings, running=False)
    assert chosen == Installation.load(settings.installation)
    assert chosen.store_server == services.store_server(settings) == "versitygw"
    settings.installation.write_text("store_server: ceph\n")
    with pytest.raises(Misconfigured, match="store_server: got 'ceph', want one of minio, versitygw"):
        services.addresses(settings, running=False)
