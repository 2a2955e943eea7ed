"""Run in a process of its own, with AIRFLOW_HOME set.

Bring the database up to date and make the users that stdin lists.

stdin: JSON [{"name", "role", "part", "password", "fresh"}], `part` being whose job the account does; passwords stand in
no argument and in no environment. An account that is there keeps its password, which its person may have changed,
unless set-up made a fresh one.
"""

from __future__ import annotations

import json
import sqlite3
import sys

from airflow.configuration import conf
from airflow.utils import db

from pipeline.airflow.accounts import Role, permissions

users = json.load(sys.stdin)
connection = conf.get_mandatory_value("database", "sql_alchemy_conn")
if connection.startswith("sqlite:///"):
    # Tasks that run at once lock the rollback journal's database; the setting stays in the file.
    with sqlite3.connect(connection.removeprefix("sqlite:///")) as file:
        file.execute("pragma journal_mode=WAL")
db.upgradedb()

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder  # noqa: E402

with get_application_builder() as builder:
    manager = builder.sm
    for user in users:
        role = manager.find_role(user["role"]) or manager.add_role(user["role"])
        role.permissions = permissions(manager, Role(user["part"]))
        account = manager.find_user(username=user["name"])
        if account:
            account.roles = [role]
            manager.update_user(account)
            if user["fresh"]:
                manager.reset_password(account.id, user["password"])
        elif not manager.add_user(
            user["name"],
            user["name"].title(),
            "Wardround",
            f"{user['name']}@wardround.invalid",
            role,
            user["password"],
        ):
            sys.exit(f"could not create the user {user['name']}")
