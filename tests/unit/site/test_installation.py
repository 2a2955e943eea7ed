from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import Misconfigured
from pipeline.site.installation import Installation
from tests.support.installations import INSTALLATION


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


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="wardround up"):
        Installation.load(tmp_path / "installation.yaml")


SITE = """store: https://provider.example:8443
rpc: https://provider.example:8443/rpc
airflow: https://provider.example:8443
authority: authority.pem
"""


def test_an_authority_lies_beside_the_file_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "installation.yaml"
    path.write_text(SITE)
    found = Installation.load(path)
    assert found.authority == tmp_path / "authority.pem"
    found.save(path)
    assert "authority: authority.pem\n" in path.read_text()
    assert Installation.load(path) == found


@pytest.mark.parametrize("name", ["store", "rpc", "airflow"])
@pytest.mark.parametrize("url", ["http://provider.example:8443", "http://127.0.0.1@provider.example:8443"])
def test_where_an_authority_is_named_nothing_is_sent_to_another_machine_in_the_clear(
    tmp_path: Path, name: str, url: str
) -> None:
    lines = [f"{name}: {url}" if line.startswith(f"{name}:") else line for line in SITE.splitlines()]
    (tmp_path / "installation.yaml").write_text("\n".join(lines))
    with pytest.raises(Misconfigured, match=f"{name} by https:// or on this machine"):
        Installation.load(tmp_path / "installation.yaml")


def test_services_of_this_machine_may_answer_in_the_clear(tmp_path: Path) -> None:
    (tmp_path / "installation.yaml").write_text(SITE.replace("https://provider.example:8443\n", "http://127.0.0.1:9\n"))
    assert Installation.load(tmp_path / "installation.yaml").store == "http://127.0.0.1:9"


@pytest.mark.parametrize("path", ["/", "/rpc/", "/x", "/rpc?x", "/rpc#x"])
def test_no_other_path_than_the_chains_is_taken(tmp_path: Path, path: str) -> None:
    (tmp_path / "installation.yaml").write_text(SITE.replace("/rpc", path))
    with pytest.raises(Misconfigured, match="rpc: got"):
        Installation.load(tmp_path / "installation.yaml")
