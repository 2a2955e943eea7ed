"""Mounts the console in Airflow's API server, its entry in the UI's menu, and the check of what sites ask."""

from __future__ import annotations

import sys

from airflow.plugins_manager import AirflowPlugin


class Wardround(AirflowPlugin):
    """The console; every Airflow process loads plug-ins, and only the one that serves pages pays for ours."""

    name = "wardround"

    if "api-server" in sys.argv:
        from airflow.configuration import conf

        from plugins.console.app import MOUNT, create_app
        from plugins.site_check.middleware import SiteCheck

        fastapi_apps = [{"app": create_app(), "url_prefix": MOUNT, "name": "Wardround console"}]
        external_views = [{"name": "Wardround", "href": f"{MOUNT}/", "destination": "nav", "url_route": "wardround"}]
        if conf.getboolean("edge", "api_enabled", fallback=False):
            fastapi_root_middlewares = [{"name": "Wardround's check of sites", "middleware": SiteCheck}]
