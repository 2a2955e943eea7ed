"""The consortium on the ledger: contract, hospitals, studies with their initial models. Every step may be repeated."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.chain import ledger as chain
from pipeline.chain import rpc
from pipeline.chain.ledger import HospitalStatus, Ledger
from pipeline.chain.outbox import Outbox
from pipeline.consent import backbone_file
from pipeline.domain import Address, HospitalName, RoundId, Sha256
from pipeline.evidence.canonical import digest, sha256
from pipeline.model_file import model_bytes
from pipeline.round import continuation
from pipeline.setup.members import has_key
from pipeline.site.consortium import Consortium, LedgerLocation
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.store import object_keys
from pipeline.store.objects import Store
from pipeline.study.study import Study
from pipeline.train.initial import initial_model


def deploy(settings: Settings, installation: Installation, unset: LedgerLocation | None = None) -> LedgerLocation:
    """The ledger that the members' file names; when that is `unset`, a new one.

    The provider deploys it on the installation's chain.
    """
    if settings.consortium.exists() and (location := Consortium.load(settings.consortium).ledger) != unset:
        return location
    chain_id = rpc.chain_id(installation.rpc, installation.authority)
    contract = chain.deploy(_outbox(Identity.load(settings.provider), installation, chain_id))
    return LedgerLocation(chain_id=chain_id, contract=contract, development=installation.development_chain)


def establish(
    settings: Settings, installation: Installation, consortium: Consortium, studies: Mapping[str, Study]
) -> None:
    """Enrol the hospitals and register the studies that are new."""
    enrol(settings, installation, consortium)
    register_studies(settings, installation, consortium, studies)


def enrol(settings: Settings, installation: Installation, consortium: Consortium) -> None:
    """Let every hospital of this machine register its key, and the provider authorise all that did.

    One that was revoked stays revoked.
    """
    register_hospitals(settings, installation, consortium)
    authorise_hospitals(settings, installation, consortium)


def register_hospitals(settings: Settings, installation: Installation, consortium: Consortium) -> None:
    """Put the account of every hospital of this machine on the ledger that is not there yet."""
    ledger = Ledger.connect(installation.rpc, consortium.ledger, installation.authority)
    for name in consortium.hospitals:
        if has_key(settings, name) and ledger.hospital(consortium.hospital(name)) is HospitalStatus.UNKNOWN:
            _outbox(Identity.load(settings.hospital(name)), installation, ledger.chain_id).send(
                ledger.register_hospital(), "register-hospital"
            )


def authorise_hospitals(settings: Settings, installation: Installation, consortium: Consortium) -> list[HospitalName]:
    """Let every hospital of the members' file that registered itself take part, as the provider.

    Returns the names of those that did not.
    """
    ledger = Ledger.connect(installation.rpc, consortium.ledger, installation.authority)
    status = {name: ledger.hospital(consortium.hospital(name)) for name in consortium.hospitals}
    waiting = [consortium.hospital(name) for name in status if status[name] is HospitalStatus.REGISTERED]
    if waiting:
        provider = _outbox(Identity.load(settings.provider), installation, ledger.chain_id)
        provider.send(ledger.authorise_hospitals(waiting), f"authorise-hospitals-{digest(waiting)[:16]}")
    return [name for name in status if status[name] is HospitalStatus.UNKNOWN]


def register_studies(
    settings: Settings, installation: Installation, consortium: Consortium, studies: Mapping[str, Study]
) -> list[str]:
    """Put each study's backbone into the store, and each new one's initial model; the study and that on the ledger.

    A study that continues another has that one's model.

    Returns the names of the new ones. Raises Refused, or InvalidStudy, for one that cannot continue what it names.
    """
    ledger = Ledger.connect(installation.rpc, consortium.ledger, installation.authority)
    provider = Identity.load(settings.provider)
    store = Store(installation.store, provider.credentials, installation.authority)
    for study in studies.values():
        backbone_file.publish(study, settings.studies, store)
    new = [study for name, study in studies.items() if not ledger.has_study(chain.study_id(name))]
    for study in new:
        nodes = [Address(consortium.node(name).address) for name in study.nodes]
        identifier = chain.study_id(study.name)
        if study.continues is None:
            call = ledger.register_study(identifier, nodes, _publish_initial_model(store, study))
        else:
            continuation.predecessor(study, settings.studies)
            continued = RoundId(study.continues.round)
            model = continuation.continued_model(study.continues.study, continued, ledger)
            call = ledger.continue_round(identifier, nodes, continued, model)
        _outbox(provider, installation, ledger.chain_id).send(call, f"register-study-{study.name}")
    return [study.name for study in new]


def _publish_initial_model(store: Store, study: Study) -> Sha256:
    data = model_bytes(initial_model(study))
    model = sha256(data)
    key_prefix = object_keys.model()
    store.put_once(key_prefix.bucket, key_prefix.key(model), data)
    return model


def _outbox(actor: Identity, installation: Installation, chain_id: int) -> Outbox:
    return Outbox(actor.home / "outbox", actor.key, installation.rpc, chain_id, installation.authority)
