"""Where this machine reaches the services, and where its engines and data lie: what `wardround up` writes down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from pipeline.domain import StoreKind
from pipeline.errors import Misconfigured
from pipeline.host.documents import load, read_yaml
from pipeline.host.files import write_atomic

_Url = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+$")]
_RpcUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+(/rpc)?$")]
"""A chain that lies behind the provider's front is one of its paths."""
_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")

SERVICES = ("store", "rpc", "airflow")


def _absolute(path: Path) -> Path:
    # A worker runs in another folder than whoever wrote the path.
    if not path.is_absolute():
        raise ValueError("an absolute path")
    return path


_Folder = Annotated[Path, AfterValidator(_absolute)]


class Folders(BaseModel):
    """Where things lie that do not lie where they do by default; `pipeline.site.settings` says what they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    studies: _Folder | None = None
    data: tuple[_Folder, ...] | None = None
    cache: _Folder | None = None
    mp_spdz: _Folder | None = None

    @property
    def given(self) -> dict[str, Any]:
        """Those that are written down."""
        return self.model_dump(exclude_none=True)


class Telemetry(BaseModel):
    """What the services of a site tell of themselves, and how; nothing by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    otlp: _Url | None = None
    """A collector of OpenTelemetry, to which Airflow's own metrics go."""
    json_logs: bool = False
    """Whether the services of this site write their logs as JSON."""
    prometheus: Annotated[int, Field(ge=1024, le=65535)] | None = None
    """A port of this machine's loopback, at which the watch answers with its metrics."""


class Quota(BaseModel):
    """What one hospital or node may have in the locked buckets; beyond it `wardround up` takes its right to write."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mebibytes: Annotated[int, Field(ge=1)] = 2048
    objects: Annotated[int, Field(ge=1)] = 100_000
    """An honest member writes some ten a round."""


class Installation(BaseModel):
    """Addresses of the services, without a trailing slash, and folders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: _Url
    rpc: _RpcUrl
    airflow: _Url
    authority: Path | None = None
    """Certificate of the one authority under which the services of other machines are trusted; in the file from its
    folder on. None for this machine's own authorities."""
    development_chain: bool = True
    """Whether the embedded development chain runs here, at `rpc`; else `rpc` is a node of a chain that runs elsewhere.
    """
    folders: Folders | None = None
    """None where the environment counts: `wardround up` has not been there."""
    mp_spdz_release: _Digest | None = None
    """SHA-256 of the release in `folders.mp_spdz`, where `wardround engine install` put it there."""
    store_server: StoreKind = "minio"
    """Which server runs here behind the store's guard."""
    store_quota: Quota | None = None
    """None for the usual one."""
    telemetry: Telemetry = Telemetry()

    @model_validator(mode="after")
    def _no_plain_calls_between_machines(self) -> Self:
        if self.authority:
            for name, url in self.urls.items():
                parts = urlsplit(url)
                if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
                    raise ValueError(f"{name} by https:// or on this machine, where an authority is named")
        return self

    @property
    def _unset(self) -> set[str]:
        return {"telemetry"} if self.telemetry == Telemetry() else set()

    @property
    def quota(self) -> Quota:
        """How much of the store each hospital and node may use."""
        return self.store_quota or Quota()

    @property
    def urls(self) -> Mapping[str, str]:
        """Service to its address."""
        return {name: getattr(self, name) for name in SERVICES}

    @classmethod
    def load(cls, path: Path) -> Installation:
        """Read installation.yaml; raises Misconfigured naming file, field, value and what is allowed."""
        found = load(path, cls, "the services' addresses")
        return found.model_copy(update={"authority": path.parent / found.authority}) if found.authority else found

    @classmethod
    def is_made(cls, path: Path) -> bool:
        """Whether `wardround up` has been there; before it the file may hold a wish alone."""
        return path.exists() and cls.wished_store(path) is None

    @staticmethod
    def wished_store(path: Path) -> StoreKind | None:
        """The store that the owner of a new installation chose before its first start.

        The file holds `store_server` alone.
        """
        if not path.exists():
            return None
        content = read_yaml(path.read_bytes(), str(path))
        if not isinstance(content, dict) or content.keys() != {"store_server"}:
            return None
        chosen: StoreKind = content["store_server"]
        if chosen not in get_args(StoreKind):
            raise Misconfigured(f"{path}: store_server: got {chosen!r}, want one of {', '.join(get_args(StoreKind))}")
        return chosen

    def save(self, path: Path) -> None:
        """Write installation.yaml, whole or not at all."""
        values = self.model_dump(mode="json", exclude_none=True, exclude=self._unset)
        if self.authority and self.authority.is_relative_to(path.parent):
            values["authority"] = str(self.authority.relative_to(path.parent))
        write_atomic(path, yaml.safe_dump(values, sort_keys=False).encode())
