"""One consortium on machines of its own for all tests here: made, invited and joined by commands and by hand.

The provider's Airflow starts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from pipeline.site.settings import PROJECT
from pipeline.study.fields import Rule
from tests.support.machines.machine import Machine
from tests.support.machines.members import PROVIDER, machines

HERE = (pytest.mark.sites, pytest.mark.store, pytest.mark.anvil, pytest.mark.airflow)
"""What all tests here need."""
BETWEEN_MACHINES = (*HERE, pytest.mark.machines)

HOSPITALS = ("aster", "birch", "cedar", "dahlia")
NODES = ("north", "east", "west")
AUDITOR = "owl"
LATE = "fern"
"""A hospital whose site is made when the others have joined already."""

NEWCOMER = "wren"
"""A hospital that joins by the lines of the docs once all others have played for a while."""

AT_HOSPITALS = tuple(f"hospital-{name}" for name in HOSPITALS)
AT_NODES = tuple(f"node-{name}" for name in NODES)
WORKING = (*AT_HOSPITALS, *AT_NODES)
AT_AUDITOR = f"auditor-{AUDITOR}"

STUDY: Mapping[str, Any] = yaml.safe_load((PROJECT / "studies" / "breast_cancer.yaml").read_text())
"""Has more members than there are machines: they come later, or never."""

THRESHOLDS = [name for name in Rule.model_fields if name.endswith("_percent")]

ROUND_STUDY: Mapping[str, Any] = {
    "title": "Breast cancer, a few steps of a small model",
    "dataset": "breast_cancer",
    "hospitals": list(HOSPITALS),
    "nodes": list(NODES),
    "engine": "spu",
    "protocol": "aby3",
    "model": [{"Linear": {"out_features": 2}}],
    "training": {"steps": 4},
    "rule": {"images_per_hospital": 8, **dict.fromkeys(THRESHOLDS, 100)},
    "partition": {"alpha": 2.0, "per_class": 20},
    "deadlines": {"commit_seconds": 240, "result_seconds": 480},
    "seed": 4,
}
"""Whose members all have machines, and whose rule accepts whoever hands in: three are needed for a model."""

NEWCOMERS_STUDY: Mapping[str, Any] = {
    **ROUND_STUDY,
    "title": "The same with a newcomer",
    "hospitals": [*HOSPITALS, NEWCOMER],
}
"""Waits for the newcomer's card."""


@dataclass(frozen=True)
class Sites:
    """A consortium's machines, and what each command said there."""

    machines: Mapping[str, Machine]
    said: dict[tuple[str, str], str] = field(default_factory=dict)
    """By machine and command."""

    @property
    def provider(self) -> Machine:
        """The provider's machine."""
        return self.machines[PROVIDER]

    @property
    def members(self) -> Mapping[str, Machine]:
        """All others that joined."""
        return {name: machine for name, machine in self.machines.items() if (name, "join") in self.said}

    @property
    def joined(self) -> Mapping[str, Machine]:
        """All of them, and the provider's."""
        return {PROVIDER: self.provider, **self.members}

    def init(self, name: str) -> None:
        """Make a machine its member's site."""
        role, _, member = name.partition("-")
        given = [f"--{role}", *([member] if member else [])]
        if role in ("provider", "node"):
            given += ["--host", f"{name}:{8443 if role == 'provider' else 7000}"]
        self.said[name, "init"] = self.machines[name].wardround("site", "init", *given)

    def card(self, name: str) -> bytes:
        """A member's card, to be carried."""
        return self.machines[name].path("site/card.json").read_bytes()

    def invite(self, *names: str) -> None:
        """Carry cards to the provider, and let it invite."""
        cards = [self.provider.receive(f"{name}.json", self.card(name)) for name in names]
        self.said[PROVIDER, "invite"] = self.provider.wardround("site", "invite", *cards)

    def invitation(self, name: str) -> bytes:
        """A member's invitation, to be carried."""
        return self.provider.path(f"site/invitations/{name}.json").read_bytes()

    def join(self, name: str) -> None:
        """Carry a member's invitation to it, and let it join."""
        file = self.machines[name].receive("invitation.json", self.invitation(name))
        self.said[name, "join"] = self.machines[name].wardround("site", "join", file, "--yes")


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    folder = tmp_path_factory.mktemp("sites")
    with machines(folder, hospitals=[*HOSPITALS, LATE, NEWCOMER], nodes=NODES, auditors=[AUDITOR]) as made:
        together = Sites(made)
        later = [f"hospital-{name}" for name in (LATE, NEWCOMER)]
        first = [name for name in made if name not in (PROVIDER, *later)]
        for name in (PROVIDER, *first):
            together.init(name)
        together.provider.run("mkdir", "site/studies")
        for name, study in {"breast_cancer": STUDY, "small": ROUND_STUDY, "newcomer": NEWCOMERS_STUDY}.items():
            together.provider.receive(f"site/studies/{name}.yaml", yaml.safe_dump(dict(study)).encode())
        together.said[PROVIDER, "up"] = together.provider.wardround("up", seconds=600)
        together.invite(*first)
        for name in first:
            together.join(name)
        yield together


@pytest.fixture(scope="session")
def up(sites: Sites) -> Sites:
    """All sites are up, and owners have approved."""
    for name in AT_HOSPITALS:
        module = ("python", "-m", "pipeline.setup.public_part", "small")
        sites.machines[name].run("env", f"--chdir={PROJECT}", *module)
    with ThreadPoolExecutor(3) as pool:
        started = {name: pool.submit(sites.machines[name].wardround, "up", seconds=400) for name in WORKING}
        sites.said.update({(name, "up"): command.result() for name, command in started.items()})
    # Whoever registered itself meanwhile takes part from now on, and studies whose nodes are known stand on the ledger.
    sites.said[PROVIDER, "second up"] = sites.provider.wardround("up", seconds=400)
    for name in WORKING:
        sites.said[name, "approve"] = sites.machines[name].wardround("study", "approve", "small")
    return sites
