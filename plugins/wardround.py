"""Mounts the console in Airflow's API server, and its entry in the UI's menu."""

from __future__ import annotations

import sys

from airflow.plugins_manager import AirflowPlugin


class Wardround(AirflowPlugin):
    """The console; every Airflow process loads plug-ins, and only the one that serves pages pays for ours."""

    name = "wardround"

    if "api-server" in sys.argv:
        from plugins.console.app import MOUNT, create_app

        fastapi_apps = [{"app": create_app(), "url_prefix": MOUNT, "name": "Wardround console"}]
        external_views = [{"name": "Wardround", "href": f"{MOUNT}/", "destination": "nav", "url_route": "wardround"}]
