"""The console's roles as Airflow's own: what each may do in Airflow, and which hospital an account belongs to."""

from __future__ import annotations

from enum import StrEnum

HOSPITAL_PREFIX = "Hospital "
"""Followed by the hospital's name: the role of its people."""


class Role(StrEnum):
    """Whose job somebody does."""

    PROVIDER = "Provider"
    HOSPITAL = "Hospital"
    AUDITOR = "Auditor"


RIGHTS = {Role.PROVIDER: "User", Role.HOSPITAL: "Viewer", Role.AUDITOR: "Viewer"}
"""Role to that of Airflow's own whose rights it has: the provider starts runs, the others read."""


def hospital_role(name: str) -> str:
    """Airflow's name for the role of a hospital's people."""
    return HOSPITAL_PREFIX + name
