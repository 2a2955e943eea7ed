"""The actors of this machine: their folders, keys, certificates and store users, and the public list of members."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.domain import HospitalName, NodeName
from pipeline.host import ports
from pipeline.host.files import write_atomic
from pipeline.host.ports import LOOPBACK
from pipeline.site import certificates, identity
from pipeline.site.consortium import PORTS_PER_NODE, Consortium, LedgerLocation, Node
from pipeline.site.identity import STORE_CREDENTIALS, StoreCredentials
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.store import policies
from pipeline.store.policies import Policy
from pipeline.study.study import Study


def on_this_machine(settings: Settings, installation: Installation) -> Callable[[NodeName], str]:
    """Gives a node loopback and the first of its own free ports, apart from all that were given before."""
    taken = {urlsplit(url).port or 0 for url in installation.urls.values()}
    if settings.consortium.exists():
        for node in Consortium.load(settings.consortium).nodes.values():
            taken |= _block(int(node.host.rpartition(":")[2]))

    def address(_: NodeName) -> str:
        first = ports.choose(PORTS_PER_NODE, taken)
        taken.update(_block(first))
        return f"{LOOPBACK}:{first}"

    return address


def _block(first: int) -> set[int]:
    return set(range(first, first + PORTS_PER_NODE))


@dataclass(frozen=True)
class MemberNames:
    """Everybody who takes part in a study of this installation, in a fixed order."""

    hospitals: tuple[HospitalName, ...]
    nodes: tuple[NodeName, ...]


def members(studies: Mapping[str, Study]) -> MemberNames:
    """All hospitals and nodes of the studies, nodes as the largest study lists them first."""
    nodes: list[NodeName] = []
    for study in sorted(studies.values(), key=lambda study: (-len(study.nodes), study.name)):
        nodes += [name for name in study.nodes if name not in nodes]
    return MemberNames(tuple(sorted({name for study in studies.values() for name in study.hospitals})), tuple(nodes))


def of_this_machine(settings: Settings, everybody: MemberNames) -> MemberNames:
    """Everybody, without hospitals that the members' file names and whose keys lie elsewhere.

    Set-up makes nothing for those.
    """
    named = Consortium.load(settings.consortium).hospitals if settings.consortium.exists() else {}
    return replace(
        everybody, hospitals=tuple(name for name in everybody.hospitals if name not in named or has_key(settings, name))
    )


def has_key(settings: Settings, hospital: HospitalName) -> bool:
    """Whether the hospital's key lies on this machine."""
    return identity.is_here(settings.hospital(hospital))


def create_actors(settings: Settings, everybody: MemberNames) -> None:
    """Make every actor's private folder with keys and store credentials, and a node's certificate for loopback.

    Keeps what is there.
    """
    for hospital in everybody.hospitals:
        identity.create(settings.hospital(hospital), sharing=True)
        _credentials(settings.hospital(hospital), f"hospital-{hospital}")
    for node in everybody.nodes:
        identity.create(settings.node(node))
        _credentials(settings.node(node), f"node-{node}")
        certificates.create(settings.node(node) / "tls", node, LOOPBACK)
    identity.create(settings.provider)
    _credentials(settings.provider, "provider")
    settings.auditor.mkdir(mode=0o700, parents=True, exist_ok=True)
    _credentials(settings.auditor, "auditor")


def store_users(settings: Settings, everybody: MemberNames) -> list[tuple[StoreCredentials, Policy]]:
    """Every actor's store credentials with the policy that limits them."""
    return [
        *((_read_credentials(settings.hospital(name)), policies.hospital(name)) for name in everybody.hospitals),
        *((_read_credentials(settings.node(name)), policies.node(name)) for name in everybody.nodes),
        (_read_credentials(settings.provider), policies.provider()),
        (_read_credentials(settings.auditor), policies.auditor()),
    ]


def publish(
    settings: Settings, everybody: MemberNames, ledger: LedgerLocation, address: Callable[[NodeName], str]
) -> Consortium:
    """Write consortium.yaml, and every node's certificate beside it.

    Hospitals that the file names stay, also those of other machines. A node keeps its `host:port`; a new one is given
    one.
    """
    before = Consortium.load(settings.consortium) if settings.consortium.exists() else None
    here = of_this_machine(settings, everybody).hospitals
    consortium = Consortium(
        ledger=ledger,
        hospitals={
            **(before.hospitals if before else {}),
            **{name: identity.create(settings.hospital(name), sharing=True).address for name in here},
        },
        nodes={
            name: Node(
                address=identity.create(settings.node(name)).address,
                certificate_sha256=certificates.fingerprint(settings.node(name) / "tls" / "cert.pem"),
                host=before.nodes[name].host if before and name in before.nodes else address(name),
            )
            for name in everybody.nodes
        },
    )
    for name in everybody.nodes:
        write_atomic(settings.certificate(name), (settings.node(name) / "tls" / "cert.pem").read_bytes())
    consortium.save(settings.consortium)
    return consortium


def _credentials(home: Path, actor: str) -> None:
    path = home / STORE_CREDENTIALS
    if not path.exists():
        StoreCredentials.generate(actor).save(path)


def _read_credentials(home: Path) -> StoreCredentials:
    return StoreCredentials.load(home / STORE_CREDENTIALS)
