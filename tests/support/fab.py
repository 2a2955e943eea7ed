"""Airflow's FAB auth manager on a database of a test's own, with its login pages beside the console.

No Airflow process. Airflow is imported where it is used: every worker collects the tests, and one or two play them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.testclient import TestClient

from pipeline.airflow.accounts import Role, hospital_role, permissions
from pipeline.site.settings import Settings
from plugins.console.console_database import ConsoleDatabase

if TYPE_CHECKING:
    from plugins.console.accounts import Accounts
    from plugins.console.auth_manager import ConsoleFabAuthManager

PASSWORD = "correct horse battery"


class Portal:
    """The API server's part that people meet.

    Login and logout, `/auth` of FAB and the console, each as Airflow mounts it.
    """

    def __init__(self, settings: Settings, manager: ConsoleFabAuthManager) -> None:
        from airflow import settings as airflow_settings
        from airflow.api_fastapi.core_api.routes.public.auth import auth_router

        from plugins.console.app import MOUNT, create_app

        self.settings = settings
        self.manager = manager
        self.console = create_app(settings)
        self.app = FastAPI()
        self.app.state.auth_manager = manager
        self.app.include_router(auth_router, prefix="/api/v2")
        self.app.mount("/auth", manager.get_fastapi_app())
        assert manager.flask_app is not None
        # FAB's own way to hash, at a cost that a test can pay many times.
        manager.flask_app.config["FAB_PASSWORD_HASH_METHOD"] = "scrypt:256:8:1"
        with manager.flask_app.app_context():
            manager.flask_app.session_interface.sql_session_model.__table__.create(airflow_settings.engine)
        self.app.mount(MOUNT, self.console)

    def add(self, login: str, role: str, part: Role) -> None:
        """An account as set-up makes it."""
        from airflow import settings as airflow_settings

        assert self.manager.flask_app is not None
        with self.manager.flask_app.app_context():
            fab = self.manager.security_manager
            made = fab.find_role(role) or fab.add_role(role)
            made.permissions = permissions(fab, part)
            fab.add_user(login, login.title(), "Wardround", f"{login}@wardround.invalid", made, PASSWORD)
            airflow_settings.Session.remove()

    def client(self, address: str = "192.0.2.1") -> TestClient:
        """Somebody's browser, at that network address."""
        return TestClient(self.app, base_url="http://console.invalid", follow_redirects=False, client=(address, 50000))

    def log_in(self, login: str, password: str = PASSWORD) -> TestClient | None:
        """A browser with that account's session; None when the login is refused."""
        client = self.client()
        answer = client.post("/auth/token", json={"username": login, "password": password})
        if answer.status_code != 201:
            return None
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return client


def accounts() -> Accounts:
    """The accounts of the portal that is open."""
    from plugins.console.accounts import Accounts

    return Accounts()


@contextmanager
def portal(folder: Path, settings: Settings) -> Iterator[Portal]:
    """A portal with the accounts of set-up; Airflow's own settings of this process are put back afterwards."""
    from airflow import settings as airflow_settings
    from airflow.api_fastapi import app as airflow_api
    from airflow.configuration import conf
    from airflow.models.base import Base
    from airflow.models.revoked_token import RevokedToken
    from airflow.providers.fab.auth_manager.models import metadata

    from plugins.console.auth_manager import ConsoleFabAuthManager

    connection = airflow_settings.SQL_ALCHEMY_CONN
    manager_name = conf.get("core", "auth_manager")
    airflow_settings.SQL_ALCHEMY_CONN = f"sqlite:///{folder / 'airflow.db'}"
    conf.set("database", "sql_alchemy_conn", airflow_settings.SQL_ALCHEMY_CONN)
    conf.set("core", "auth_manager", f"{ConsoleFabAuthManager.__module__}.{ConsoleFabAuthManager.__name__}")
    airflow_settings.configure_orm()
    metadata.create_all(airflow_settings.engine)
    Base.metadata.create_all(airflow_settings.engine, tables=[RevokedToken.__table__])
    ConsoleFabAuthManager.cache.clear()
    try:
        manager = airflow_api.create_auth_manager()
        assert isinstance(manager, ConsoleFabAuthManager)
        manager.registry = ConsoleDatabase(settings.home / "console")
        made = Portal(settings, manager)
        made.add("provider", Role.PROVIDER, Role.PROVIDER)
        made.add("auditor", Role.AUDITOR, Role.AUDITOR)
        made.add("hospital-aster", hospital_role("aster"), Role.HOSPITAL)
        yield made
    finally:
        airflow_api.purge_cached_app()
        conf.set("core", "auth_manager", manager_name)
        conf.set("database", "sql_alchemy_conn", connection)
        airflow_settings.SQL_ALCHEMY_CONN = connection
        airflow_settings.configure_orm()
