"""Where things lie on this machine: the only reader of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
"""The checkout that this code runs from."""


@dataclass(frozen=True)
class Settings:
    """Paths and switches taken from the environment once."""

    home: Path
    """The installation: keys, services' data, records."""
    data: tuple[Path, ...]
    """Folders searched for data sets, first hit wins."""
    cache: Path
    """Built tools, per version, shared by every checkout of this user."""
    mp_spdz: Path
    """Where MP-SPDZ is installed."""
    studies: Path
    """The folder of study files."""

    @classmethod
    def load(cls) -> Settings:
        """Read WARDROUND_HOME, WARDROUND_DATA, WARDROUND_CACHE, WARDROUND_STUDIES and MP_SPDZ_HOME, each with its default."""
        env = os.environ
        given = [Path(part) for part in env.get("WARDROUND_DATA", "").split(os.pathsep) if part]
        return cls(
            home=Path(env.get("WARDROUND_HOME", PROJECT / ".wardround")).resolve(),
            data=(*given, PROJECT.parent / "shared" / "data"),
            cache=Path(env.get("WARDROUND_CACHE") or Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wardround"),
            mp_spdz=Path(env.get("MP_SPDZ_HOME", "/opt/mp-spdz")),
            studies=Path(env.get("WARDROUND_STUDIES", PROJECT / "studies")),
        )

    def hospital(self, name: str) -> Path:
        """A hospital's private folder."""
        return self.home / "hospitals" / name

    def node(self, name: str) -> Path:
        """A node's private folder."""
        return self.home / "nodes" / name

    def certificate(self, node: str) -> Path:
        """A node's public TLS certificate, PEM, as everybody holds it."""
        return self.home / "certificates" / f"{node}.pem"

    @property
    def provider(self) -> Path:
        """The service provider's private folder."""
        return self.home / "provider"

    @property
    def auditor(self) -> Path:
        """The auditor's folder: reading access to the store, no signing key."""
        return self.home / "auditor"

    @property
    def consortium(self) -> Path:
        """The public list of members and the ledger's address."""
        return self.home / "consortium.yaml"

    @property
    def installation(self) -> Path:
        """Ports and endpoints of the services on this machine."""
        return self.home / "installation.yaml"

    @property
    def records(self) -> Path:
        """The study repository (git and DVC) in which finished rounds are recorded."""
        return self.home / "records"

    @property
    def spu_python(self) -> Path:
        """The interpreter of SPU's own environment."""
        return PROJECT / ".venv-spu" / "bin" / "python"
