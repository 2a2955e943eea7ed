"""Whose site this is: one member's machine, or part of it."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from pipeline.domain import NAME_PATTERN
from pipeline.errors import Misconfigured
from pipeline.host.documents import first_problem, load
from pipeline.host.files import write_atomic
from pipeline.site.settings import Settings

PROVIDER = "provider"
"""The service provider's name: a consortium has one."""


class SiteRole(StrEnum):
    """What a site is for."""

    HOSPITAL = "hospital"
    NODE = "node"
    PROVIDER = "provider"
    AUDITOR = "auditor"


class Site(BaseModel):
    """One member's installation: WARDROUND_HOME holds nobody else's keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: SiteRole
    name: str

    @field_validator("name")
    @classmethod
    def _usable(cls, name: str) -> str:
        # It becomes a folder, a queue and an account at the store.
        if not re.fullmatch(NAME_PATTERN, name):
            raise ValueError("2 to 32 small letters, digits, hyphens and underscores, a letter first")
        return name

    @classmethod
    def named(cls, role: SiteRole, name: str) -> Self:
        """A site as somebody names it; raises Misconfigured."""
        try:
            return cls(role=role, name=name)
        except ValidationError as error:
            raise Misconfigured(f"{role}: {first_problem(error)}") from error

    @property
    def queue(self) -> str:
        """Airflow's queue of this site, and its account's name at the store."""
        return PROVIDER if self.role is SiteRole.PROVIDER else f"{self.role}-{self.name}"

    @property
    def works(self) -> bool:
        """Whether it takes steps of rounds."""
        return self.role is not SiteRole.AUDITOR

    def folder(self, settings: Settings) -> Path:
        """The member's private folder."""
        match self.role:
            case SiteRole.HOSPITAL:
                return settings.hospital(self.name)
            case SiteRole.NODE:
                return settings.node(self.name)
            case SiteRole.PROVIDER:
                return settings.provider
            case SiteRole.AUDITOR:
                return settings.auditor

    @classmethod
    def load(cls, settings: Settings) -> Self | None:
        """Whose site the installation is; None where all sites lie on one machine. Raises Misconfigured."""
        return load(settings.site, cls, "whose site this is") if settings.site.exists() else None

    @classmethod
    def reading(cls, settings: Settings) -> Path:
        """The folder with whose access to the store this machine reads: its member's own, else the auditor's."""
        site = cls.load(settings)
        return settings.auditor if site is None else site.folder(settings)

    def save(self, settings: Settings) -> None:
        """Write site.yaml, whole or not at all."""
        write_atomic(settings.site, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False).encode())
