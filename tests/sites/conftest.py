"""One consortium on machines of its own for all tests here: made, invited and joined by commands and by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from pipeline.site.settings import PROJECT
from tests.support.machines.machine import Machine
from tests.support.machines.members import PROVIDER, machines

HOSPITALS = ("aster", "birch")
NODES = ("north", "east")
AUDITOR = "owl"
LATE = "cedar"
"""A hospital whose site is made when the others have joined already."""

STUDY: Mapping[str, Any] = yaml.safe_load((PROJECT / "studies" / "breast_cancer.yaml").read_text())
"""Has more members than there are machines: they come later, or never."""


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
    with machines(folder, hospitals=[*HOSPITALS, LATE], nodes=NODES, auditors=[AUDITOR]) as made:
        together = Sites(made)
        first = [name for name in made if name not in (PROVIDER, f"hospital-{LATE}")]
        for name in (PROVIDER, *first):
            together.init(name)
        together.provider.run("mkdir", "site/studies")
        together.provider.receive("site/studies/breast_cancer.yaml", yaml.safe_dump(dict(STUDY)).encode())
        together.provider.run("env", f"--chdir={PROJECT}", "python", "-m", "tests.support.machines.provider")
        together.invite(*first)
        for name in first:
            together.join(name)
        yield together
