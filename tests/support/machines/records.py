"""A hospital's own part of a study's public records, put where the hospital keeps them: `python -m` this STUDY."""

from __future__ import annotations

import sys

from pipeline.datasets.records import records_folder
from pipeline.domain import HospitalName
from pipeline.setup.partition import deal
from pipeline.site.settings import Settings
from pipeline.site.site import Site
from pipeline.study.study import Study


def main() -> None:
    """Write it."""
    settings = Settings.load()
    site = Site.load(settings)
    assert site is not None
    study = Study.load(settings.studies / f"{sys.argv[1]}.yaml")
    folder = records_folder(site.folder(settings), study.dataset)
    folder.mkdir(mode=0o700, parents=True)
    study.source.write(folder, *deal(study, *study.source.load(settings.searched))[HospitalName(site.name)])


if __name__ == "__main__":
    main()
