"""Whether a round can happen, from what lies on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.datasets.records import records_folder
from pipeline.errors import Misconfigured
from pipeline.round import readiness
from pipeline.site import identity
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from tests.support.installations import settings_in, study

STUDY = study()


def town(
    home: Path, hospitals: Iterable[str] = (), with_records: Iterable[str] = (), nodes: Iterable[str] = ()
) -> Settings:
    """A machine with the keys of these members."""
    settings = settings_in(home)
    for name in hospitals:
        identity.create(settings.hospital(name))
    for name in with_records:
        folder = records_folder(settings.hospital(name), STUDY.dataset)
        folder.mkdir(parents=True)
        (folder / "records.csv").write_text("record_id,label\n")
    for name in nodes:
        identity.create(settings.node(name))
    return settings


@pytest.mark.parametrize("with_records", [(), ("aster",), ("aster", "elm")])
def test_too_few_hospitals_with_records_are_a_refusal_that_says_what_to_do(
    with_records: tuple[str, ...], tmp_path: Path
) -> None:
    settings = town(tmp_path, STUDY.hospitals, with_records)
    without = ", ".join(name for name in STUDY.hospitals if name not in with_records)
    says = (
        rf"^study breast_cancer: got no records of breast_cancer at {without}, so {len(with_records)} of 5 hospitals"
        r" could take part, "
        r"want at least 3; run `wardround up` .* data/records/breast_cancer of its folder$"
    )
    with pytest.raises(Misconfigured, match=says):
        readiness.require(STUDY, settings)


def test_as_many_as_a_model_takes_are_enough(tmp_path: Path) -> None:
    settings = town(tmp_path, STUDY.hospitals, STUDY.hospitals[:3])
    readiness.require(STUDY, settings)
    with pytest.raises(Misconfigured, match="want at least 4"):
        readiness.require(STUDY.model_copy(update={"min_accepted": 4}), settings)


def test_an_emptied_folder_is_no_records(tmp_path: Path) -> None:
    settings = town(tmp_path, STUDY.hospitals, STUDY.hospitals[:3])
    (records_folder(settings.hospital("aster"), STUDY.dataset) / "records.csv").unlink()
    with pytest.raises(Misconfigured, match="at aster, dahlia, elm, so 2 of 5"):
        readiness.require(STUDY, settings)


@pytest.mark.parametrize(
    ("hospitals", "able"),
    [((), True), (("aster",), True), (("aster", "birch"), True), (("aster", "birch", "elm"), False)],
)
def test_hospitals_of_other_machines_are_supposed_to_have_records(
    hospitals: tuple[str, ...], able: bool, tmp_path: Path
) -> None:
    settings = town(tmp_path, hospitals)
    if able:
        readiness.require(STUDY, settings)
    else:
        with pytest.raises(Misconfigured, match="2 of 5 hospitals"):
            readiness.require(STUDY, settings)


def missing(settings: Settings, study: Study) -> tuple[Settings, Study]:
    """The same with an engine that is not installed."""
    return replace(settings, mp_spdz=settings.home / "no-mp-spdz"), study.model_copy(
        update={"engine": "mp-spdz", "protocol": "replicated-ring"}
    )


def test_a_node_here_without_its_engine_is_a_refusal_that_says_how_to_get_it(tmp_path: Path) -> None:
    settings, of_mp_spdz = missing(town(tmp_path, nodes=("north",)), STUDY)
    with pytest.raises(
        Misconfigured,
        match=r"^study breast_cancer: its engine mp-spdz cannot run here: .*run `wardround engine install mp-spdz`",
    ):
        readiness.require(of_mp_spdz, settings)


def test_a_machine_without_a_node_of_the_study_needs_no_engine(tmp_path: Path) -> None:
    readiness.require(*reversed(missing(town(tmp_path, nodes=("south",)), STUDY)))
