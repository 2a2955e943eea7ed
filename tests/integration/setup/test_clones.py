from __future__ import annotations

from pipeline.mpc.engines.mp_spdz.workdir import MEMORY
from pipeline.site.settings import PROJECT
from tests.support.clones import roomy_folder


def test_a_clone_lies_where_links_reach() -> None:
    with roomy_folder() as usual:
        (usual / "link").hardlink_to(PROJECT / "LICENSE")
    assert not usual.exists()


def test_a_clone_lies_in_the_checkout_where_temporary_files_are_on_another_file_system() -> None:
    with roomy_folder(MEMORY) as chosen:
        assert chosen.parent == PROJECT / "build"
