"""Which components a node holds, which it can get from another holder, and the input set that all nodes sign.

Pure functions over what was posted: every node computes the same from the same evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.domain import HospitalName, Kind, NodeName, Statement
from pipeline.errors import EvidenceRejected
from pipeline.mpc.manifest import Manifest
from pipeline.mpc.sharing import held_by

Inventory = Mapping[HospitalName, tuple[int, ...]]
"""Hospital to the component indices that a node has opened and checked against the manifest."""


@dataclass(frozen=True)
class Loan:
    """One component that `holder` reseals for `needy`."""

    hospital: HospitalName
    component: int
    holder: NodeName
    needy: NodeName


def parse_inventory(statement: Statement, hospitals: Sequence[HospitalName], node: int, nodes: int) -> Inventory:
    """Read a node's signed inventory; raises EvidenceRejected on hospitals or components that it cannot hold."""
    if statement.kind is not Kind.INVENTORY:
        raise EvidenceRejected(f"{statement.signer}: got a {statement.kind}, want {Kind.INVENTORY}")
    allowed = set(held_by(node, nodes))
    inventory: dict[HospitalName, tuple[int, ...]] = {}
    for hospital, held in statement.body.items():
        if hospital not in hospitals or not isinstance(held, list) or not set(held) <= allowed:
            raise EvidenceRejected(
                f"{statement.signer}: got an inventory with {hospital!r}: {held!r}, want components out of {sorted(allowed)}"
            )
        inventory[HospitalName(hospital)] = tuple(sorted(set(held)))
    return inventory


def inventory_body(inventory: Inventory) -> dict[str, Any]:
    """The JSON body of an inventory statement."""
    return {hospital: list(held) for hospital, held in inventory.items()}


def loans(inventories: Mapping[NodeName, Inventory], nodes: Sequence[NodeName], hospitals: Sequence[HospitalName]) -> tuple[Loan, ...]:
    """Who reseals which component for whom: the first holder in the study's order lends."""
    found = []
    for hospital in hospitals:
        for component in range(len(nodes)):
            holders = [node for node in nodes if component in inventories[node].get(hospital, ())]
            for index, needy in enumerate(nodes):
                if holders and index != component and needy not in holders:
                    found.append(Loan(hospital, component, holders[0], needy))
    return tuple(found)


def unrecoverable(
    inventories: Mapping[NodeName, Inventory], nodes: Sequence[NodeName], hospitals: Sequence[HospitalName]
) -> frozenset[HospitalName]:
    """Hospitals of which some component is held by no node."""
    every = set(range(len(nodes)))
    held = {hospital: {index for node in nodes for index in inventories[node].get(hospital, ())} for hospital in hospitals}
    return frozenset(hospital for hospital in hospitals if held[hospital] != every)


def copied(manifests: Mapping[HospitalName, Manifest]) -> frozenset[HospitalName]:
    """Hospitals that share a component digest with another one: nobody can say whose it was first."""
    count = Counter(component for manifest in manifests.values() for component in manifest.components)
    return frozenset(hospital for hospital, manifest in manifests.items() if any(count[component] > 1 for component in manifest.components))
