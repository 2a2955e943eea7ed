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

DENIED = (("can_edit", "My Password"), ("can_edit", "My Profile"))
"""Rights of Airflow's roles that ours lack: its own pages change a password without the old one, and leave no line in the console's log."""


def may_keep(action: str, resource: str) -> bool:
    """Whether a right of Airflow's own role is one of ours too."""
    return (action, resource) not in DENIED


def hospital_role(name: str) -> str:
    """Airflow's name for the role of a hospital's people."""
    return HOSPITAL_PREFIX + name
