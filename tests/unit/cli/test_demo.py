"""What a demonstration takes: the first study whose rounds can happen, and that no command starts one that cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pipeline.cli import commands
from pipeline.cli.demo import STUDIES, choose
from pipeline.datasets.records import records_folder
from pipeline.errors import Misconfigured
from pipeline.site import identity
from pipeline.site.settings import Settings
from tests.support.installations import settings_in, study

HOSPITALS = (*study("pneumonia").hospitals, *study("heart_disease").hospitals)


def town(home: Path, *datasets: str) -> Settings:
    """Every hospital with records of these data sets."""
    settings = settings_in(home)
    for name in HOSPITALS:
        identity.create(settings.hospital(name))
        for dataset in datasets:
            folder = records_folder(settings.hospital(name), dataset)
            folder.mkdir(parents=True)
            (folder / "records.csv").write_text("record_id,label\n")
    return settings


@pytest.mark.parametrize(
    ("datasets", "chosen", "why"),
    [
        (("pneumonia", "breast_cancer"), "pneumonia", "its hospitals here have their records"),
        (("breast_cancer",), "breast_cancer", "study pneumonia: got no records of pneumonia at aster, birch"),
    ],
)
def test_the_first_study_whose_data_are_here_is_taken_and_one_line_says_why(
    datasets: tuple[str, ...], chosen: str, why: str, tmp_path: Path
) -> None:
    console = Console(soft_wrap=True, record=True, width=80)
    assert choose(town(tmp_path, *datasets), STUDIES, console).name == chosen
    (line,) = console.export_text().splitlines()
    assert line.startswith(f"Demonstration with {chosen}: {why}")


def test_without_any_data_the_last_study_s_reason_is_raised(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="study breast_cancer: got no records"):
        choose(town(tmp_path), STUDIES, Console(quiet=True))


def test_without_the_engine_no_other_data_help(tmp_path: Path) -> None:
    settings = town(tmp_path, "pneumonia", "breast_cancer")
    identity.create(settings.node("north"))

    class NoSpu(Settings):
        spu_python = tmp_path / "no-spu"

    with pytest.raises(Misconfigured, match="its engine spu cannot run here: SPU's environment is missing"):
        choose(NoSpu(**vars(settings)), STUDIES, Console(quiet=True))


@pytest.mark.parametrize(
    "command", [("run", "heart_disease"), ("demo", "heart_disease"), ("run", "pneumonia"), ("demo", "pneumonia")]
)
def test_a_command_refuses_a_named_study_without_records_and_says_what_to_do(
    command: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARDROUND_HOME", str(town(tmp_path, "breast_cancer").home))
    done = CliRunner().invoke(commands, list(command))
    assert isinstance(done.exception, Misconfigured)
    assert f"got no records of {command[1]}" in str(done.exception)
    assert "run `wardround up`" in str(done.exception)
