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
