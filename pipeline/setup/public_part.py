"""A hospital's part of a study's public data set, put where it keeps its records.

`python -m pipeline.setup.public_part STUDY`. For trying out: a hospital that takes part has records of its own.
"""

from __future__ import annotations

import sys

from pipeline.datasets.records import kept, records_folder
from pipeline.domain import HospitalName
from pipeline.errors import Misconfigured
from pipeline.setup.partition import deal
from pipeline.site.settings import Settings
from pipeline.site.site import Site, SiteRole
from pipeline.study.study import Study


def main(name: str) -> None:
    """Write the records of the study of this name, unless there are some; raises Misconfigured at another's site."""
    settings = Settings.load()
    site = Site.load(settings)
    if site is None or site.role is not SiteRole.HOSPITAL:
        raise Misconfigured(f"{settings.home}: got no hospital's site, want one: `wardround site init --hospital NAME`")
    study = Study.load(settings.studies / f"{name}.yaml")
    if kept(site.folder(settings), study.dataset):
        return
    folder = records_folder(site.folder(settings), study.dataset)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    study.source.write(folder, *deal(study, *study.source.load(settings.searched))[HospitalName(site.name)])


if __name__ == "__main__":
    main(sys.argv[1])
