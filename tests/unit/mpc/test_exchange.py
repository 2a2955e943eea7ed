from typing import Any

import pytest

from pipeline.domain import HospitalName, Kind, NodeName, Sha256, Statement
from pipeline.errors import EvidenceRejected
from pipeline.mpc import exchange
from pipeline.mpc.exchange import Loan
from pipeline.mpc.manifest import Manifest

NORTH, EAST, WEST = NODES = (NodeName("north"), NodeName("east"), NodeName("west"))
ELM, ASTER = HospitalName("elm"), HospitalName("aster")
ALL = {NORTH: {ELM: (1, 2)}, EAST: {ELM: (0, 2)}, WEST: {ELM: (0, 1)}}


def said(body: dict[str, Any], kind: Kind = Kind.INVENTORY) -> Statement:
    return Statement(kind, "north", body, "00")


def test_nobody_lends_while_everybody_holds_its_own() -> None:
    assert exchange.loans(ALL, NODES, [ELM]) == ()
    assert exchange.unrecoverable(ALL, NODES, [ELM]) == frozenset()


def test_a_missing_component_comes_from_the_other_holder() -> None:
    inventories = ALL | {NORTH: {ELM: (1,)}}
    assert exchange.loans(inventories, NODES, [ELM]) == (Loan(ELM, 2, EAST, NORTH),)
    assert exchange.unrecoverable(inventories, NODES, [ELM]) == frozenset()


def test_a_node_that_opened_nothing_borrows_each_of_its_components() -> None:
    assert exchange.loans(ALL | {NORTH: {}}, NODES, [ELM]) == (Loan(ELM, 1, WEST, NORTH), Loan(ELM, 2, EAST, NORTH))


def test_a_component_that_no_node_holds_puts_the_hospital_out() -> None:
    inventories = ALL | {NORTH: {ELM: (1,)}, EAST: {ELM: (0,)}}
    assert exchange.unrecoverable(inventories, NODES, [ELM, ASTER]) == {ELM, ASTER}


@pytest.mark.parametrize(
    "body",
    [{"stranger": [1]}, {"elm": [0]}, {"elm": [3]}, {"elm": "12"}, {"elm": None}],
    ids=["no hospital of the commit", "a component that north cannot hold", "no such component", "text", "nothing"],
)
def test_an_inventory_that_cannot_be_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(EvidenceRejected):
        exchange.parse_inventory(said(body), [ELM], 0, 3)


def test_another_statement_is_no_inventory() -> None:
    with pytest.raises(EvidenceRejected, match="want Inventory"):
        exchange.parse_inventory(said({"elm": [1, 2]}, Kind.INPUT_SET), [ELM], 0, 3)


def test_an_inventory_survives_the_round_trip() -> None:
    body = exchange.inventory_body({ELM: (1, 2)})
    assert exchange.parse_inventory(said(body), [ELM], 0, 3) == {ELM: (1, 2)}


def test_hospitals_that_share_a_component_are_both_out() -> None:
    def manifest(hospital: HospitalName, *digits: str) -> Manifest:
        return Manifest(hospital, 1, tuple(Sha256(digit * 64) for digit in digits), {}, Sha256("0" * 64))

    birch = HospitalName("birch")
    manifests = {ELM: manifest(ELM, "a", "b", "c"), ASTER: manifest(ASTER, "d", "b", "e"), birch: manifest(birch, "1", "2", "3")}
    assert exchange.copied(manifests) == {ELM, ASTER}
