"""`dvc repro` runs a stage again when its code changed: each stage of dvc.yaml names what it imports."""

import re

import grimp
import pytest
import yaml

from pipeline.site.settings import PROJECT

_CODE = "${code}/"
_STAGES = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]


@pytest.mark.parametrize("name", sorted(_STAGES))
def test_a_stage_depends_on_all_the_code_that_it_runs(name: str) -> None:
    stage = _STAGES[name].get("do", _STAGES[name])
    (module,) = re.findall(r"-m (pipeline[\w.]*)", stage["cmd"])
    graph = grimp.build_graph("pipeline", cache_dir=None)
    entry = f"{module}.__main__" if f"{module}.__main__" in graph.modules else module
    deps = [PROJECT / dep.removeprefix(_CODE) for dep in stage["deps"] if dep.startswith(_CODE)]
    assert [str(dep) for dep in deps if not dep.exists()] == []
    missing = []
    for imported in sorted({"pipeline", entry, *graph.find_upstream_modules(entry)}):
        path = PROJECT.joinpath(*imported.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not any(dep == file or dep in file.parents for dep in deps):
            missing.append(str(file.relative_to(PROJECT)))
    assert missing == []
