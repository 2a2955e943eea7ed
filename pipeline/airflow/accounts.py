"""The console's roles as Airflow's own: what each may do in Airflow, and which hospital an account belongs to."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

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
"""Rights of Airflow's roles that ours lack: its own pages change a password without the old one, and leave no line in
the console's log."""

ADDED = (("can_read", "Plugins"),)
"""Rights that ours have beside: without it Airflow's menu lacks the console."""


def permissions(manager: Any, role: Role) -> list[Any]:
    """What one of our roles may do in Airflow, as FAB's security manager keeps it."""
    theirs = manager.find_role(RIGHTS[role]).permissions
    kept = [one for one in theirs if (one.action.name, one.resource.name) not in DENIED]
    return kept + [manager.create_permission(action, resource) for action, resource in ADDED]


def hospital_role(name: str) -> str:
    """Airflow's name for the role of a hospital's people."""
    return HOSPITAL_PREFIX + name
