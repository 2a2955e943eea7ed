"""The service provider's role on the ledger, handed over in two steps by two keys, between rounds.

The present provider names a key, and whoever holds that key takes the role. No study's digest holds the provider's
account, so that consents stand.
"""

from __future__ import annotations

from pipeline.domain import Address
from pipeline.errors import Refused
from pipeline.governance.owner import Owner
from pipeline.host.files import locked
from pipeline.site import identity
from pipeline.site.settings import Settings


def prepare(settings: Settings | None = None) -> Address:
    """Make the key that is to take the role on this machine, beside a present one; its address."""
    home = (settings or Settings.load()).provider
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return identity.next_key(home).address


def hand_over(successor: Address, settings: Settings | None = None) -> bool:
    """Name the key that may take the provider's role, as the provider; False when it is named already.

    Raises Refused while a round runs, for a key that is not the provider's, and for a successor that is a member.
    """
    settings = settings or Settings.load()
    owner = Owner.open(settings.provider, settings)
    provider = owner.ledger.provider()
    address = owner.key.address
    if address != provider:
        raise Refused(
            f"got the key {address}, but the ledger's provider is {provider}: give the command on its machine"
        )
    nodes = {node.address: name for name, node in owner.consortium.nodes.items()}
    members = {address: "the provider", **nodes, **{key: name for name, key in owner.consortium.hospitals.items()}}
    if successor in members:
        raise Refused(
            f"{successor}: got the key of {members[successor]}, want another one; `wardround provider prepare` makes it"
        )
    if owner.ledger.next_provider() == successor:
        return False
    owner.between_rounds()
    owner.outbox().send(owner.ledger.transfer_provider(successor), f"hand-over-{successor}-{owner.ledger.height()}")
    return True


def accept(settings: Settings | None = None) -> Address:
    """Take the provider's role with this machine's next key, or with its present one; the key that has it.

    Raises Refused while a round runs, or when the provider named another key. Given again, it ends what was broken off.
    """
    settings = settings or Settings.load()
    with locked(settings.provider / "signing-key.lock"):
        owner = Owner.open(settings.provider, settings)
        key = identity.next_key(owner.home) if identity.has_next(owner.home) else owner.key
        if owner.ledger.provider() != key.address:
            if (named := owner.ledger.next_provider()) != key.address:
                raise Refused(
                    f"got the key {key.address}, but the provider named {named}: let it give `wardround provider"
                    f" hand-over --to {key.address}`"
                )
            owner.between_rounds()
            owner.outbox(key).send(owner.ledger.accept_provider(), f"accept-provider-{owner.ledger.height()}")
        identity.succeed(owner.home)
    return key.address
