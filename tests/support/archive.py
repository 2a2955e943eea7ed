"""Finished rounds in memory behind the console's real pages: for what needs no chain and no store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import yaml
from starlette.testclient import TestClient

from pipeline.chain.ledger import study_id
from pipeline.domain import Address, RoundId
from pipeline.evidence.canonical import sha256
from pipeline.report.round_view import RoundView
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.views.observer import Observer
from plugins.console.people import Person
from plugins.console.round_cache import RoundCache, _Reading
from tests.support.console import client
from tests.support.finished_rounds import DictLedger, DictStore, RoundMaker, consortium, model, study

_LATER = 10_000
"""Seconds after the last block: every round is settled."""


class QuietLedger(DictLedger):
    """What the console asks beside what an audit does."""

    def height(self) -> int:
        return self.block

    def block_time(self) -> int:
        return 1_790_000_000 + 12 * self.block + _LATER

    def opened(self, first: int) -> tuple[RoundId, ...]:
        return tuple(number for number, state in self.states.items() if state.opened.location.block >= first)

    def has_study(self, study: str) -> bool:
        return study == self.id

    def suspended(self, study: str, node: Address) -> bool:
        return False


class Archive:
    """A study, its rounds, and a console that reads them."""

    def __init__(self, home: Path, hospitals: int = 5, nodes: int = 3) -> None:
        self.of = study(5, nodes)
        if hospitals != 5:
            self.of = self.of.model_copy(
                update={"hospitals": tuple(f"hospital-{number:02d}" for number in range(hospitals))}
            )
        self.store = DictStore()
        self.ledger = QuietLedger(self.of, consortium(self.of))
        self.maker = RoundMaker(self.of, consortium(self.of), self.store.put, self.ledger)
        self.maker.start(model(0))
        usual = Settings.load()
        self.settings = Settings(home, (), usual.cache, usual.mp_spdz, home / "studies")
        self.settings.studies.mkdir(parents=True)
        # `finished_rounds` loads its study from no file, so nothing has held its layers against torch's names.
        content = self.of.model_dump(mode="json", exclude_none=True, exclude={"name"}) | {
            "model": [{"Linear": {"out_features": 2}}]
        }
        (self.settings.studies / f"{self.of.name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        self.maker.members.save(self.settings.consortium)
        Installation.model_validate(dict.fromkeys(("store", "rpc", "airflow"), "http://127.0.0.1:1")).save(
            self.settings.installation
        )
        observer = Observer(cast(Any, self.ledger), cast(Any, self.store), {study_id(self.of.name): self.of.name})
        self.index = RoundCache(self.settings, observer)

    def pages(self, who: Person) -> TestClient:
        """The console as `who` sees it."""
        return client(self.settings, who, self.index)

    def pretend(self, views: Iterable[RoundView]) -> None:
        """Have the index hold these rounds, which neither ledger nor store knows."""
        known = {RoundId(view.round): _Reading(view, float("inf")) for view in views}
        self.index = RoundCache(self.settings, self.index.observer, self.ledger.height(), dict(known))


def many(view: RoundView, count: int) -> list[RoundView]:
    """So many rounds like this one, with numbers, models and accuracies of their own."""
    return [
        replace(
            view,
            round=RoundId(number),
            model=sha256(b"model %d" % number),
            time=(view.time or 0) + 60 * number,
            hospitals=tuple(
                replace(row, correct=row.correct and max(0, row.correct - number % 5)) for row in view.hospitals
            ),
        )
        for number in range(1, count + 1)
    ]
