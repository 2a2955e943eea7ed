"""The object store's buckets, users and policies, set up with its root account."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.domain import HospitalName, NodeName
from pipeline.errors import Refused
from pipeline.evidence.canonical import digest
from pipeline.host.files import write_atomic
from pipeline.services import servers
from pipeline.setup import members
from pipeline.setup.members import MemberNames
from pipeline.setup.progress import note
from pipeline.site import identity
from pipeline.site.consortium import Consortium
from pipeline.site.identity import StoreCredentials
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.site.site import Site, SiteRole
from pipeline.store import admin, policies
from pipeline.store.admin import Administrator, Terms
from pipeline.store.objects import Store
from pipeline.store.policies import Policy
from pipeline.store.usage import usage

_USAGE_SECONDS = 20


def set_up(settings: Settings, installation: Installation, everybody: MemberNames) -> None:
    """Make buckets, users and policies unless that was done for these very ones, and expire envelopes.

    Raises Unavailable.
    """
    terms = Terms()
    users = members.store_users(settings, everybody)
    wanted = digest({"terms": vars(terms), "users": {user.access_key.text(): policy for user, policy in users}})
    stamp = servers.objects_folder(settings, installation.store_server) / ".set-up"
    administrator = _administrator(settings, installation)
    if not (stamp.exists() and stamp.read_text() == wanted):
        administrator.make_buckets(terms)
        for user, policy in users:
            administrator.admit(user, policy)
        write_atomic(stamp, wanted.encode())
    administrator.expire_envelopes(terms, datetime.now(UTC))
    _hold_quotas(settings, installation, everybody, administrator)


def account_elsewhere(settings: Settings, installation: Installation, site: Site) -> StoreCredentials:
    """Make a store account for a member on another machine, limited to that member; again, with a new secret.

    The caller holds the installation's lock: versitygw keeps all rights in one text, which `up` reads and writes too.
    Raises Refused where the member lies on this machine or the store's root account does not, Unavailable.
    """
    if identity.is_here(site.folder(settings)):
        raise Refused(f"{site.name}: its folder lies on this machine, where `wardround up` makes its store account")
    if not servers.root_file(settings).exists():
        raise Refused(f"{servers.root_file(settings)}: got no root account, want the machine of the store's operator")
    made = StoreCredentials.generate(site.queue)
    _administrator(settings, installation).admit(made, _policy(site))
    return made


def _policy(site: Site) -> Policy:
    match site.role:
        case SiteRole.HOSPITAL:
            return policies.hospital(HospitalName(site.name))
        case SiteRole.NODE:
            return policies.node(NodeName(site.name))
        case SiteRole.PROVIDER:
            return policies.provider()
        case SiteRole.AUDITOR:
            return policies.auditor()


def _hold_quotas(
    settings: Settings, installation: Installation, everybody: MemberNames, administrator: Administrator
) -> None:
    """Take the right to write from every hospital and node above its quota; give it back to those within it again.

    A quota of the server's own would be one for a bucket, which one member could fill for all.
    """
    marks = servers.objects_folder(settings, installation.store_server) / ".readers"
    before = set(marks.read_text().split()) if marks.exists() else set[str]()
    named = Consortium.load(settings.consortium) if settings.consortium.exists() else None
    hospitals = {*everybody.hospitals, *(named.hospitals if named else ())}
    nodes = {*everybody.nodes, *(named.nodes if named else ())}
    rights = {f"hospital-{name}": policies.hospital(name) for name in hospitals}
    rights |= {f"node-{name}": policies.node(name) for name in nodes}
    used = usage(Store(installation.store, servers.root_account(settings), installation.authority), _USAGE_SECONDS)
    beyond = {str(share.account) for share in used.beyond(installation.quota)} & set(rights)
    for share in used.beyond(installation.quota):
        note(
            f"{share}: more than its quota of the store, so it reads and no longer writes; `store_quota` says how much"
            " it may"
        )
    # What was not listed in time gives nobody its right back.
    beyond |= set() if used.complete else before
    for account in sorted(beyond | before & set(rights)):
        administrator.allow(account, policies.reading(rights[account]) if account in beyond else rights[account])
    write_atomic(marks, "\n".join(sorted(beyond)).encode())


def _administrator(settings: Settings, installation: Installation) -> Administrator:
    root = servers.root_account(settings)
    return admin.administrator(installation.store_server, installation.store, root, installation.authority)
