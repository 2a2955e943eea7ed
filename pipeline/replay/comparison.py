"""The same rounds without verification, where every hospital's records lie: a demonstration's yardstick."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.datasets import pool, records
from pipeline.domain import HospitalName, RoundId
from pipeline.site.identity import Identity
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.train import misbehaviour
from pipeline.train.undefended import UndefendedMember, undefended


def without_verification(study: Study, rounds: Sequence[RoundId], settings: Settings) -> list[float]:
    """Accuracy over all hospitals' test records after each of these training rounds, by plain averaging.

    The hospitals train with the same local configurations, and the study has the scale that it measured.
    """
    members = {name: _member(study, name, settings) for name in study.hospitals}
    return [correct / tested for correct, tested in undefended(study, members, rounds)]


def _member(study: Study, name: HospitalName, settings: Settings) -> UndefendedMember:
    identity = Identity.load(settings.hospital(name))
    split = records.read(identity.home, study.source)
    rows, _ = pool.split(split.train, identity.sharing_secret)
    return UndefendedMember(split.train[rows], split.test, misbehaviour.configured(identity.home))
