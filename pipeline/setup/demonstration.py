"""What only a demonstration on one machine does.

Deal public data to hospitals, let one misbehave, approve on the owners' behalf.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.progress import Progress

from pipeline.consent import approval, backbone_file, consent_log
from pipeline.datasets import publishers
from pipeline.datasets.records import kept, records_folder
from pipeline.domain import HospitalName
from pipeline.errors import Misconfigured
from pipeline.host.files import scratch, write_atomic
from pipeline.setup.members import has_key
from pipeline.setup.partition import deal
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.store.objects import Store
from pipeline.study.study import Study
from pipeline.train.misbehaviour import BEHAVIOURS

MISBEHAVING: Mapping[str, str] = {"elm": "label_flip"}
"""Hospital to its misbehaviour, written to its own hospital.yaml at the first set-up; edit that file afterwards."""


def configure_hospitals(settings: Settings, hospitals: tuple[str, ...]) -> None:
    """Write each hospital's own configuration unless it has one."""
    for name in hospitals:
        path = settings.hospital(name) / "hospital.yaml"
        if not path.exists():
            text = (
                "# This hospital's own configuration; nobody else reads it.\n"
                f"# For demonstrations, one of: {', '.join(BEHAVIOURS)}.\n"
                f"misbehaviour: {MISBEHAVING.get(name, 'honest')}\n"
            )
            write_atomic(path, text.encode(), mode=0o600)


def fetch(settings: Settings, studies: Mapping[str, Study], progress: Progress) -> None:
    """Fetch from publishers, into this user's cache, the records that are to be dealt.

    Raises Unavailable naming what did not come.
    """
    wanting = {study.dataset for study in studies.values() if _wanting(settings, study)}
    wanting = {
        name for name in wanting & publishers.PUBLISHED.keys() if not publishers.is_here(name, settings.searched)
    }
    publishers.fetch(sorted(wanting), settings.fetched, progress)


def deal_records(settings: Settings, studies: Mapping[str, Study]) -> Mapping[str, str]:
    """Deal each data set to the hospitals that have no records of it yet.

    Returns the reason for each study whose data are not here.
    """
    lacking = {}
    for study in studies.values():
        wanting = _wanting(settings, study)
        if not wanting:
            continue
        try:
            train, test = study.source.load(settings.searched)
        except Misconfigured as error:
            lacking[study.name] = str(error)
            continue
        parts = deal(study, train, test)
        for name in wanting:
            folder = records_folder(settings.hospital(name), study.dataset)
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Whole or not there: what lies in the folder is taken for the hospital's own from then on.
            with scratch(settings.hospital(name), "dealing") as aside:
                study.source.write(aside, *parts[name])
                aside.replace(folder)
            write_atomic(_dealt(settings, name, study.dataset), f"{study.name}\n".encode())
    return lacking


def approve(settings: Settings, consortium: Consortium, studies: Mapping[str, Study]) -> None:
    """Consent to every study's digest as the owner of each demonstration hospital and node that did not withdraw."""
    for study in studies.values():
        digest = study.digest(consortium)
        for owner in _owners(settings, study):
            if approval.given(owner, study.name, digest, consortium.ledger) is not False:
                backbone_file.obtain(owner, study, settings)
                approval.approve(owner, study, consortium)


def publish_consents(settings: Settings, installation: Installation, studies: Mapping[str, Study]) -> None:
    """Publish what the owners decided and have not published yet; raises Unavailable."""
    for study in studies.values():
        for owner in _owners(settings, study):
            if consent_log.outstanding(owner, study.name):
                consent_log.publish(Store(installation.store, owner.credentials, installation.authority), owner, study)


def _owners(settings: Settings, study: Study) -> list[Identity]:
    return [
        Identity.load(home)
        for home in (*map(settings.hospital, _here(settings, study)), *map(settings.node, study.nodes))
    ]


def _here(settings: Settings, study: Study) -> list[HospitalName]:
    # A hospital on another machine has its own records, and its own say.
    return [name for name in study.hospitals if has_key(settings, name)]


def _wanting(settings: Settings, study: Study) -> list[HospitalName]:
    # A hospital that threw its dealt records away meant it.
    return [
        name
        for name in _here(settings, study)
        if not kept(settings.hospital(name), study.dataset) and not _dealt(settings, name, study.dataset).exists()
    ]


def _dealt(settings: Settings, hospital: str, dataset: str) -> Path:
    return settings.hospital(hospital) / "dealt" / dataset
