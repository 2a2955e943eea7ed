"""`wardround up`: bring an installation from nothing, or from any interrupted state, to running services."""

from __future__ import annotations

from pipeline.errors import Refused
from pipeline.host.files import locked
from pipeline.setup import up_member, up_provider, up_together
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.site.site import Site, SiteRole


def up(settings: Settings, rpc: str | None = None) -> Installation:
    """Set up what is missing, start what is down, wait until all of it is healthy; raises Misconfigured or Unavailable.

    What that is, the site's role says; without a site it is everybody's. `rpc` is a node of the chain that a new
    installation's ledger is to stand on, by default an embedded development chain; raises Refused at a member's site,
    which takes the provider's.
    """
    site = Site.load(settings)
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(settings.up_lock):
        if site is None:
            return up_together.up(settings, rpc)
        if site.role is SiteRole.PROVIDER:
            return up_provider.up(settings, rpc)
        if rpc is not None:
            raise Refused(
                f"--rpc: got {rpc} at the site of {site.queue}, whose invitation says where the chain answers"
            )
        return up_member.up(site, settings)
