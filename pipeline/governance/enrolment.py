"""How a hospital and its people come in, and go.

It makes its key, which vouches for its people, and registers its account; the provider authorises or revokes it on the
ledger; and the members' file of every machine then names it, so that studies can.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from eth_utils.address import is_address, to_checksum_address

from pipeline.chain.contract import Call
from pipeline.chain.ledger import HospitalStatus, Ledger
from pipeline.chain.outbox import Outbox
from pipeline.domain import NAME_PATTERN, Address, HospitalName, Vouch
from pipeline.errors import EvidenceRejected, Refused
from pipeline.evidence import signing
from pipeline.host.secret import Secret
from pipeline.site import identity
from pipeline.site.consortium import Consortium, LedgerLocation
from pipeline.site.identity import SigningKey
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.store import object_keys


def hospital_name(text: str) -> HospitalName:
    """A name that a study can give a hospital; raises EvidenceRejected."""
    if not re.fullmatch(NAME_PATTERN, text):
        raise EvidenceRejected(
            "the hospital's name: want 2 to 32 small letters, digits, hyphens and underscores, a letter first"
        )
    if text in object_keys.WORDS:
        raise EvidenceRejected(f"the hospital's name: got {text}, which is a word of the store's paths; choose another")
    return HospitalName(text)


def signing_address(text: str) -> Address:
    """An account's address, in the ledger's spelling; raises EvidenceRejected."""
    if not text.startswith("0x") or not is_address(text):
        raise EvidenceRejected(
            "the signing address: want 0x and 40 hexadecimal digits; `wardround enrol vouch` prints it"
        )
    return Address(to_checksum_address(text))


def prepare(name: HospitalName, settings: Settings) -> Address:
    """Make a new hospital's folder with a key of its own on this machine, and keep what is there; its signing address.

    Raises Refused when the members' file names the hospital and its key is not here.
    """
    home = settings.hospital(hospital_name(name))
    hospitals = Consortium.load(settings.consortium).hospitals if settings.consortium.exists() else {}
    if name in hospitals and not (home / "signing-key").exists():
        raise Refused(f"{name}: got a member whose key {hospitals[name]} is not on this machine, want a new name")
    return identity.create(home, sharing=True).address


def vouch(name: HospitalName, email: str, settings: Settings) -> tuple[Address, str]:
    """The hospital's address, and its key's signature to the person behind `email`; needs the hospital's folder."""
    key = _key(settings.hospital(hospital_name(name)))
    where = Consortium.load(settings.consortium).ledger
    return key.address, signing.sign_vouch(
        Vouch(name, email.strip().lower()), where.chain_id, Address(where.contract), key
    )


def check_vouch(
    name: HospitalName,
    email: str,
    address: Address,
    signature: str,
    hospitals: Mapping[HospitalName, Address],
    where: LedgerLocation,
) -> None:
    """Check that `address` vouched for the person behind `email`.

    Raises EvidenceRejected unless it did, and it and the name are of one hospital.
    """
    check_claim(name, address, hospitals)
    signing.check_vouch(
        Vouch(name, email), signature.removeprefix("0x"), where.chain_id, Address(where.contract), address
    )


def check_claim(name: HospitalName, address: Address, hospitals: Mapping[HospitalName, Address]) -> None:
    """Raise EvidenceRejected when the name or the address is another hospital's of `hospitals`."""
    if hospitals.get(name, address) != address or any(
        other != name and taken == address for other, taken in hospitals.items()
    ):
        raise EvidenceRejected(
            f"{name} and {address}: got a name and an address that are not of one hospital; the hospital knows which"
        )


def statuses(addresses: Iterable[Address], settings: Settings) -> Mapping[Address, HospitalStatus]:
    """Where hospitals' accounts stand on the ledger; raises Unavailable."""
    ledger = _ledger(settings)
    return {address: ledger.hospital(address) for address in addresses}


def register(name: HospitalName, settings: Settings) -> Address:
    """Put the hospital's own account on the ledger, which then waits for the provider.

    Raises Refused when it was there before.
    """
    ledger = _ledger(settings)
    home = settings.hospital(hospital_name(name))
    address = _key(home).address
    if (status := ledger.hospital(address)) is not HospitalStatus.UNKNOWN:
        raise Refused(f"{name}: got an account that is {status} on the ledger already; nothing to register")
    _send(home, ledger.register_hospital(), "register-hospital", settings, ledger)
    return address


def authorise(address: Address, settings: Settings) -> bool:
    """Let a registered or revoked hospital take part, as the provider; False when it may already.

    Raises Refused when it is neither.
    """
    ledger = _ledger(settings)
    status = ledger.hospital(address)
    if status is HospitalStatus.AUTHORISED:
        return False
    if status not in (HospitalStatus.REGISTERED, HospitalStatus.REVOKED):
        raise Refused(
            f"{address}: got an account that is {status} on the ledger, want one that its hospital registered"
        )
    _send(
        settings.provider, ledger.authorise_hospitals([address]), _label("authorise", address, ledger), settings, ledger
    )
    return True


def revoke(address: Address, settings: Settings) -> bool:
    """Take a hospital out of all later rounds, as the provider; False when it is out."""
    ledger = _ledger(settings)
    if ledger.hospital(address) is not HospitalStatus.AUTHORISED:
        return False
    _send(settings.provider, ledger.revoke_hospitals([address]), _label("revoke", address, ledger), settings, ledger)
    return True


def admit(name: HospitalName, address: Address, settings: Settings) -> bool:
    """Name an authorised hospital in this machine's members' file, so that studies can; False when it is named already.

    Raises Refused unless the ledger has it authorised, EvidenceRejected when the name or the address is another
    member's.
    """
    if (status := _ledger(settings).hospital(address)) is not HospitalStatus.AUTHORISED:
        raise Refused(
            f"{name}: got an account that is {status} on the ledger, want one that the service provider authorised"
        )
    consortium = Consortium.load(settings.consortium)
    check_claim(hospital_name(name), address, {member: Address(key) for member, key in consortium.hospitals.items()})
    if name in map(str, consortium.nodes):
        raise EvidenceRejected(
            f"{name}: got the name of a node, want one of its own: a signed statement names its maker"
        )
    if name in consortium.hospitals:
        return False
    Consortium.change(settings.consortium, lambda members: members.with_hospital(name, address))
    return True


def _label(what: str, address: Address, ledger: Ledger) -> str:
    # A hospital may be revoked and authorised again: each is an intention of its own, and the ledger refuses one that
    # is done already.
    return f"{what}-{address}-{ledger.height()}"


def _ledger(settings: Settings) -> Ledger:
    services = Installation.load(settings.installation)
    return Ledger.connect(services.rpc, Consortium.load(settings.consortium).ledger, services.authority)


def _key(home: Path) -> SigningKey:
    # The key alone: a new hospital has no account at the store yet.
    return SigningKey(Secret.read(home / "signing-key"))


def _send(home: Path, call: Call, label: str, settings: Settings, ledger: Ledger) -> None:
    services = Installation.load(settings.installation)
    outbox = Outbox(home / "outbox", _key(home), services.rpc, ledger.chain_id, services.authority)
    outbox.send(call, label)
