from pathlib import Path

import pytest

from pipeline.mpc import engines
from pipeline.mpc.engines import ENGINES, engines_among
from pipeline.study.fields import PROTOCOLS


def test_an_engine_is_one_folder_that_the_table_finds_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "__init__.py").write_text("")
    (tmp_path / "other" / "engine.py").write_text(
        'from pipeline.mpc.engines.spu.engine import Spu\n\n\nclass Other(Spu):\n    name = "other"\n'
    )
    monkeypatch.setattr("pipeline.mpc.engines.__path__", [*engines.__path__, str(tmp_path)])
    assert {kind.name for kind in engines_among(engines.__path__)} == {*ENGINES, "other"}


def test_a_study_may_name_every_engine_and_no_other() -> None:
    assert set(PROTOCOLS) == set(ENGINES)
