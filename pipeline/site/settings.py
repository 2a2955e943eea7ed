"""Where things lie on this machine.

The only reader of the variables that say so, and of what `wardround up` wrote down of them.

The environment names an installation (WARDROUND_HOME). What else it says counts at `wardround up`, which writes it into
installation.yaml. From then on every command, worker and page reads it there at its next step: they all find the same,
whatever shell started them, and nothing has to be restarted. Where no `up` has been, as in a container, the environment
itself counts.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout that this code runs from."""

HOME = "WARDROUND_HOME"
_INSTALLATION = "installation.yaml"

VARIABLES: Mapping[str, str] = {
    "studies": "WARDROUND_STUDIES",
    "data": "WARDROUND_DATA",
    "cache": "WARDROUND_CACHE",
    "mp_spdz": "MP_SPDZ_HOME",
}
"""What an installation writes down, by the variable that says it."""


@dataclass(frozen=True)
class Settings:
    """Paths of one installation."""

    home: Path
    """The installation: keys, services' data, records."""
    data: tuple[Path, ...]
    """Folders of data sets that a person named."""
    cache: Path
    """Built tools, per version, and fetched data sets, for every checkout of this user."""
    mp_spdz: Path
    """Where MP-SPDZ is installed."""
    studies: Path
    """The folder of study files."""

    @classmethod
    def load(cls, home: Path | None = None) -> Settings:
        """The settings that the installation has written down, and defaults for the others.

        Raises Misconfigured. See the module.
        """
        home = home or _home()
        written = _written(home)
        return cls(home, **_default() | (_said() if written is None else written))

    @classmethod
    def wanted(cls, home: Path | None = None) -> Settings:
        """The settings that `wardround up` writes down: the environment's, else those written down, else the defaults.

        Raises Misconfigured.
        """
        home = home or _home()
        return cls(home, **_default() | (_written(home) or {}) | _said())

    @classmethod
    def of_environment(cls) -> Settings:
        """The environment's settings, else the defaults.

        For set-up, which runs before there is a library that reads an installation.
        """
        return cls(_home(), **_default() | _said())

    @property
    def up_lock(self) -> Path:
        """Held by whoever changes the services' set-up."""
        return self.home / "up.lock"

    @property
    def folders(self) -> Mapping[str, Any]:
        """What an installation has to write down: all that is not the default."""
        return {name: getattr(self, name) for name, usual in _default().items() if getattr(self, name) != usual}

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that give a child process the same settings."""
        paths = {name: os.pathsep.join(map(str, _listed(getattr(self, name)))) for name in VARIABLES}
        return {HOME: str(self.home)} | {VARIABLES[name]: text for name, text in paths.items()}

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
    def fetched(self) -> Path:
        """Data sets that came from their publishers."""
        return self.cache / "data"

    @property
    def searched(self) -> tuple[Path, ...]:
        """Folders searched for data sets, first hit wins."""
        return (*self.data, self.fetched)

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
        """The services' addresses on this machine, and where engines and data lie."""
        return self.home / _INSTALLATION

    @property
    def site(self) -> Path:
        """Whose site this is; no such file where all sites lie on one machine."""
        return self.home / "site.yaml"

    @property
    def card(self) -> Path:
        """The site's own card."""
        return self.home / "card.json"

    @property
    def invitation(self) -> Path:
        """The invitation that this site joined by."""
        return self.home / "invitation.json"

    @property
    def authority(self) -> Path:
        """The one authority's certificate under which this site trusts the provider's services."""
        return self.home / "authority.pem"

    @property
    def site_token(self) -> Path:
        """Secret by which this site's worker takes work from its own queue."""
        return self.home / "secrets" / "site-token"

    def known_card(self, queue: str) -> Path:
        """At the provider: the card of a site."""
        return self.home / "cards" / f"{queue}.json"

    def invited(self, queue: str) -> Path:
        """At the provider: the invitation of a site."""
        return self.home / "invitations" / f"{queue}.json"

    def token_of(self, queue: str) -> Path:
        """At the provider: the token of the site that serves this queue; without the file nobody is that site."""
        return self.home / "secrets" / "sites" / queue

    @property
    def records(self) -> Path:
        """The study repository (git and DVC) in which finished rounds are recorded."""
        return self.home / "records"

    @property
    def spu_python(self) -> Path:
        """The interpreter of SPU's own environment."""
        return PROJECT / ".venv-spu" / "bin" / "python"


def inherited(*, without: Collection[str] = ()) -> dict[str, str]:
    """The environment for a process that outlives this one: without the variables of this module and those named."""
    return {name: value for name, value in os.environ.items() if name not in {HOME, *VARIABLES.values(), *without}}


def _home() -> Path:
    return Path(os.environ.get(HOME) or PROJECT / ".wardround").resolve()


def _default() -> dict[str, Any]:
    return {
        "studies": PROJECT / "studies",
        "data": (),
        "cache": Path.home() / ".cache" / "wardround",
        "mp_spdz": Path("/opt/mp-spdz"),
    }


def _said() -> dict[str, Any]:
    """By the environment; paths as seen from here, since a worker runs in another folder."""
    env = os.environ
    said: dict[str, Any] = {
        name: Path(env[variable]).absolute() for name, variable in VARIABLES.items() if env.get(variable)
    }
    if "data" in said:
        said["data"] = tuple(Path(part).absolute() for part in env[VARIABLES["data"]].split(os.pathsep) if part)
    if caches := env.get("XDG_CACHE_HOME"):
        said.setdefault("cache", Path(caches).absolute() / "wardround")
    return said


def _written(home: Path) -> dict[str, Any] | None:
    """By the installation; None where `wardround up` has not been."""
    path = home / _INSTALLATION
    if not path.exists():
        return None
    # Only now: set-up reads its settings before there are libraries.
    from pipeline.site.installation import Installation

    folders = Installation.load(path).folders if Installation.is_made(path) else None
    return None if folders is None else folders.given


def _listed(value: Path | tuple[Path, ...]) -> tuple[Path, ...]:
    return value if isinstance(value, tuple) else (value,)
