"""What each node saw of each hospital, who lends which component to whom, and who takes part for that.

Pure functions over what the nodes signed, not over what hospitals posted: whatever one shows to whom, every node
computes the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.domain import HospitalName, Kind, NodeName, Statement
from pipeline.errors import EvidenceRejected, shown
from pipeline.mpc.manifest import Manifest
from pipeline.mpc.sharing import held_by

SHOWN_DIFFERENTLY = "shown_differently"
"""Why a hospital is absent of which no majority of the nodes saw the same."""

_REASON = re.compile(r"[a-z_]{2,40}")


@dataclass(frozen=True)
class Inventory:
    """What one node saw of the study's hospitals: each stands in one of the two."""

    held: Mapping[HospitalName, tuple[int, ...]]
    """Hospital with a manifest that holds, to the component indices that the node has opened and checked against it."""
    absent: Mapping[HospitalName, str]
    """Hospital to the reason why it does not take part."""

    def body(self) -> dict[str, Any]:
        """The JSON body of an inventory statement."""
        return {
            "held": {hospital: list(indices) for hospital, indices in self.held.items()},
            "absent": dict(self.absent),
        }


@dataclass(frozen=True)
class Loan:
    """One component that `holder` reseals for `needy`."""

    hospital: HospitalName
    component: int
    holder: NodeName
    needy: NodeName


def parse_inventory(statement: Statement, hospitals: Sequence[HospitalName], node: int, nodes: int) -> Inventory:
    """Read a node's signed inventory.

    Raises EvidenceRejected unless it says of each hospital what it can hold, or why it is absent.
    """
    if statement.kind is not Kind.INVENTORY:
        raise EvidenceRejected(f"{statement.signer}: got a {statement.kind}, want {Kind.INVENTORY}")
    held = statement.body.get("held")
    absent = statement.body.get("absent")
    if not isinstance(held, dict) or not isinstance(absent, dict) or sorted([*held, *absent]) != sorted(hospitals):
        raise EvidenceRejected(
            f"{statement.signer}: got an inventory that does not say once of each hospital what it saw"
        )
    allowed = held_by(node, nodes)
    for hospital, indices in held.items():
        if not isinstance(indices, list) or any(index not in allowed for index in indices):
            raise EvidenceRejected(
                f"{statement.signer}: got an inventory with {hospital}: {shown(indices)}, want components out of"
                f" {sorted(allowed)}"
            )
    for hospital, reason in absent.items():
        if not isinstance(reason, str) or not _REASON.fullmatch(reason):
            raise EvidenceRejected(
                f"{statement.signer}: got an inventory with {hospital}: {shown(reason)}, want a reason in one word"
            )
    return Inventory(
        {HospitalName(hospital): tuple(sorted(set(indices))) for hospital, indices in held.items()},
        {HospitalName(hospital): reason for hospital, reason in absent.items()},
    )


def absent(inventories: Mapping[NodeName, Inventory], hospitals: Sequence[HospitalName]) -> dict[HospitalName, str]:
    """Hospitals whose manifest no majority of the nodes holds good, each with the reason that a majority saw."""
    reasons = {}
    for hospital in hospitals:
        seen = Counter(inventory.absent.get(hospital) for inventory in inventories.values())
        reason, nodes = seen.most_common(1)[0]
        if nodes <= len(inventories) // 2:
            reason = SHOWN_DIFFERENTLY
        if reason is not None:
            reasons[hospital] = reason
    return reasons


def loans(
    inventories: Mapping[NodeName, Inventory], nodes: Sequence[NodeName], hospitals: Sequence[HospitalName]
) -> tuple[Loan, ...]:
    """Who reseals which component for whom: the first holder in the study's order lends."""
    lent = []
    for hospital in hospitals:
        for component in range(len(nodes)):
            holders = [node for node in nodes if component in inventories[node].held.get(hospital, ())]
            for index, needy in enumerate(nodes):
                if holders and index != component and needy not in holders:
                    lent.append(Loan(hospital, component, holders[0], needy))
    return tuple(lent)


def unrecoverable(
    inventories: Mapping[NodeName, Inventory], nodes: Sequence[NodeName], hospitals: Sequence[HospitalName]
) -> frozenset[HospitalName]:
    """Hospitals of which some component is held by no node."""
    every = set(range(len(nodes)))
    held = {
        hospital: {index for node in nodes for index in inventories[node].held.get(hospital, ())}
        for hospital in hospitals
    }
    return frozenset(hospital for hospital in hospitals if held[hospital] != every)


def copied(manifests: Mapping[HospitalName, Manifest]) -> frozenset[HospitalName]:
    """Hospitals that share a component digest with another one: nobody can say whose it was first."""
    count = Counter(component for manifest in manifests.values() for component in manifest.components)
    return frozenset(
        hospital
        for hospital, manifest in manifests.items()
        if any(count[component] > 1 for component in manifest.components)
    )
