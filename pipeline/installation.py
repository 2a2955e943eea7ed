"""Where this machine reaches the services: the store, the chain and Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from pipeline.errors import Misconfigured
from pipeline.files import write_atomic

_Url = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+$")]


SERVICES = ("store", "rpc", "airflow")


class Installation(BaseModel):
    """Addresses of the services, without a trailing slash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: _Url
    rpc: _Url
    airflow: _Url
    development_chain: bool = True
    """Whether the embedded development chain runs here, at `rpc`; else `rpc` is a node of a chain that runs elsewhere."""

    @property
    def urls(self) -> Mapping[str, str]:
        """Service to its address."""
        return {name: getattr(self, name) for name in SERVICES}

    @classmethod
    def load(cls, path: Path) -> Installation:
        """Read installation.yaml; raises Misconfigured naming file, field, value and what is allowed."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text()))
        except FileNotFoundError as error:
            raise Misconfigured(f"{path}: got no file, want the services' addresses; run `wardround up`") from error
        except (yaml.YAMLError, ValidationError) as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": ("file",), "input": "", "msg": "YAML"}
            where = ".".join(str(part) for part in first["loc"])
            raise Misconfigured(f"{path}: {where}: got {first['input']!r}, want: {first['msg']}") from error

    def save(self, path: Path) -> None:
        """Write installation.yaml, whole or not at all."""
        write_atomic(path, yaml.safe_dump(self.model_dump(), sort_keys=False).encode())
