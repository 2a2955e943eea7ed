"""What a provider's machine runs before it invites anybody: store and chain with the ledger, and no member of theirs.

`python -m tests.support.machines.provider` there, after `wardround site init --provider`. The services stay when it
ends.
"""

from __future__ import annotations

from pipeline.setup import folders, health, ledger, members, services, store
from pipeline.setup.members import MemberNames
from pipeline.site.settings import Settings

_NOBODY = MemberNames((), ())
_START_SECONDS = 120


def main() -> None:
    """Start it."""
    settings = Settings.wanted()
    members.create_actors(settings, _NOBODY)
    manager = services.supervisor(settings)
    services.addresses(settings, running=False)
    installation, _ = folders.write_down(settings)
    manager.start(services.programs(settings, installation))
    for name in services.backing(installation):
        manager.launch(name)
    health.wait("the object store", lambda: health.store(installation), _START_SECONDS)
    store.set_up(settings, installation, _NOBODY)
    health.wait("the chain", lambda: health.chain(installation, None), _START_SECONDS)
    location = ledger.deploy(settings, installation)
    members.publish(settings, _NOBODY, location, members.on_this_machine(settings, installation))


if __name__ == "__main__":
    main()
