from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import Misconfigured
from pipeline.installation import Installation
from pipeline.settings import Settings
from pipeline.setup import services
from tests.support.installations import INSTALLATION, settings_in


def test_addresses_come_back_as_written(tmp_path: Path) -> None:
    INSTALLATION.save(tmp_path / "installation.yaml")
    assert Installation.load(tmp_path / "installation.yaml") == INSTALLATION


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("store: ftp://x\nrpc: http://a:1\nairflow: http://a:2\n", "store: got 'ftp://x'"),
        ("store: http://a:1\nrpc: http://a:1\n", "airflow: got"),
        ("store: http://a:1\nrpc: http://a:1\nairflow: http://a:2\ncolour: red\n", "colour: got 'red'"),
        ("{", "file"),
    ],
)
def test_a_wrong_file_names_the_field(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "installation.yaml").write_text(text)
    with pytest.raises(Misconfigured, match=named):
        Installation.load(tmp_path / "installation.yaml")


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


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="wardround up"):
        Installation.load(tmp_path / "installation.yaml")
