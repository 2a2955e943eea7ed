"""Where each hospital and node stands: its account on the ledger, its studies, its last round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.chain.ledger import HospitalStatus, Ledger, study_id
from pipeline.domain import Address, HospitalName, NodeName, Verdict
from pipeline.report.round_view import RoundView
from pipeline.round.study_history import carried
from pipeline.site.consortium import Consortium
from pipeline.study.study import Study


@dataclass(frozen=True)
class HospitalSummary:
    """A hospital of the members' file."""

    name: HospitalName
    address: Address
    status: HospitalStatus
    studies: tuple[str, ...]
    quarantined: tuple[str, ...]
    """Studies whose next round starts with it in quarantine."""
    last: RoundView | None
    """The newest round that it took part in."""


@dataclass(frozen=True)
class NodeSummary:
    """A node of the members' file."""

    name: NodeName
    address: Address
    studies: tuple[str, ...]
    suspended: tuple[str, ...]
    """Studies in which the ledger no longer counts its signatures."""
    last: RoundView | None
    """The newest round whose result it signed, as far as the ledger counted."""


@dataclass(frozen=True)
class ConsortiumStatus:
    """The consortium at one height of the chain."""

    hospitals: tuple[HospitalSummary, ...]
    nodes: tuple[NodeSummary, ...]


def member_status(
    consortium: Consortium, ledger: Ledger, studies: Iterable[Study], rounds: Sequence[RoundView]
) -> ConsortiumStatus:
    """Everybody's status, in the order of the members' file; `rounds` newest first.

    Raises Unavailable when the chain does not answer.
    """
    registered = [study for study in studies if ledger.has_study(study_id(study.name))]
    held = {study.name: _quarantined(consortium, ledger, study, rounds) for study in registered}
    return ConsortiumStatus(
        tuple(_hospital(name, consortium, ledger, registered, rounds, held) for name in consortium.hospitals),
        tuple(_node(name, consortium, ledger, registered, rounds) for name in consortium.nodes),
    )


def _hospital(
    name: HospitalName,
    consortium: Consortium,
    ledger: Ledger,
    studies: Sequence[Study],
    rounds: Sequence[RoundView],
    held: Mapping[str, frozenset[HospitalName]],
) -> HospitalSummary:
    address = consortium.hospital(name)
    took_part = (
        view for view in rounds if any(row.name == name and row.verdict is not Verdict.ABSENT for row in view.hospitals)
    )
    return HospitalSummary(
        name=name,
        address=address,
        status=ledger.hospital(address),
        studies=tuple(study.name for study in studies if name in study.hospitals),
        quarantined=tuple(study for study, names in held.items() if name in names),
        last=next(took_part, None),
    )


def _node(
    name: NodeName, consortium: Consortium, ledger: Ledger, studies: Sequence[Study], rounds: Sequence[RoundView]
) -> NodeSummary:
    address = Address(consortium.node(name).address)
    mine = [study.name for study in studies if name in study.nodes]
    # A study's nodes may have changed since its file was written: the ledger says whose signatures it knows.
    counted = [study for study in mine if address in ledger.study(study_id(study)).nodes]
    return NodeSummary(
        name=name,
        address=address,
        studies=tuple(mine),
        suspended=tuple(study for study in counted if ledger.suspended(study_id(study), address)),
        last=next((view for view in rounds if name in view.signers), None),
    )


def _quarantined(
    consortium: Consortium, ledger: Ledger, study: Study, rounds: Sequence[RoundView]
) -> frozenset[HospitalName]:
    judged = [state for state in ledger.line(study_id(study.name)) if state.judged]
    last = next((state.round for state in reversed(judged) if state.finalised), None)
    newest = next((view.record for view in rounds if view.round == last), None)
    struck, held = (newest.strikes, newest.quarantined) if newest else ({}, ())
    return frozenset(carried(ledger, consortium, study, judged, struck, held)[1])
