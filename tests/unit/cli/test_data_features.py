"""`wardround data features`: a hospital makes its features before a round, and learns what does not fit."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner, Result

from pipeline.cli import commands
from pipeline.datasets.images import LABELS
from pipeline.datasets.records import records_folder
from pipeline.domain import HospitalName
from pipeline.errors import EvidenceRejected, Misconfigured
from tests.support.backbones import SIDE, backbone, lay_beside, study_lines
from tests.support.fixtures import cheap_passphrases
from tests.support.installed import STUDY
from tests.support.memory.site import MemorySite

__all__ = ["cheap_passphrases"]

NAME = "stripes"
ASTER = HospitalName("aster")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySite]:
    made = MemorySite(tmp_path_factory.mktemp("memory") / "home")
    folder = records_folder(made.settings.hospital(ASTER), NAME)
    folder.mkdir(parents=True)
    for number in range(12):
        picture = Image.new("L", (SIDE, SIDE), 10 * number + 1)
        picture.putpixel((number, number), 255)
        picture.save(folder / f"{number}.png")
    rows = [{"file": f"{number}.png", "label": ("clear", "striped")[number % 2]} for number in range(12)]
    pd.DataFrame(rows).to_csv(folder / LABELS, index=False)
    with made.reached():
        yield made


def features(site: MemorySite, data: bytes, **changes: object) -> Result:
    lay_beside(site.settings.studies, data)
    content = {**STUDY, **study_lines(data, **changes)}
    (site.settings.studies / f"{NAME}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    places = {"WARDROUND_HOME": str(site.settings.home), "WARDROUND_STUDIES": str(site.settings.studies)}
    return CliRunner().invoke(commands, ["data", "features", NAME, "--as", ASTER], env=places)


def test_features_are_made_once_and_lie_beside_the_pictures(site: MemorySite) -> None:
    first = features(site, backbone())
    assert first.exit_code == 0, first.exception
    (file,) = records_folder(site.settings.hospital(ASTER), NAME).glob("features-*.npz")
    assert first.output.split() == f"features of 12 pictures kept in {file}, 12 of them made now".split()
    assert "0 of them made now" in features(site, backbone()).output


def test_it_says_where_constants_of_another_scale_cut_features_off(site: MemorySite) -> None:
    assert "100% of the features lie outside 4 deviations" in features(site, backbone(), mean=1000).output


def test_a_file_that_is_no_backbone_meets_no_picture(site: MemorySite) -> None:
    refused = features(site, backbone()[:-400])
    assert isinstance(refused.exception, EvidenceRejected)
    assert "no whole ONNX file" in str(refused.exception)


def test_a_study_without_a_backbone_has_no_features(site: MemorySite) -> None:
    (site.settings.studies / "plain.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    places = {"WARDROUND_HOME": str(site.settings.home), "WARDROUND_STUDIES": str(site.settings.studies)}
    done = CliRunner().invoke(commands, ["data", "features", "plain", "--as", ASTER], env=places)
    assert isinstance(done.exception, Misconfigured)
    assert "got a study without `backbone`" in str(done.exception)
