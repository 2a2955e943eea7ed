from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain import HospitalName, Kind, NodeName, Sha256, Statement
from pipeline.errors import EvidenceRejected
from pipeline.mpc import exchange
from pipeline.mpc.exchange import Inventory, Loan
from pipeline.mpc.manifest import Manifest

NORTH, EAST, WEST = NODES = (NodeName("north"), NodeName("east"), NodeName("west"))
ELM = HospitalName("elm")
ASTER = HospitalName("aster")


def holding(*held: int) -> Inventory:
    return Inventory({ELM: held}, {})


def seeing(reason: str | None) -> Inventory:
    """What a node says that sees Aster in order, and Elm so."""
    return Inventory({ASTER: ()} | ({} if reason else {ELM: ()}), {ELM: reason} if reason else {})


ALL = {NORTH: holding(1, 2), EAST: holding(0, 2), WEST: holding(0, 1)}


def said(body: dict[str, Any], kind: Kind = Kind.INVENTORY) -> Statement:
    return Statement(kind, "north", body, "00")


def test_nobody_lends_while_everybody_holds_its_own() -> None:
    assert exchange.loans(ALL, NODES, [ELM]) == ()
    assert exchange.unrecoverable(ALL, NODES, [ELM]) == frozenset()


def test_a_missing_component_comes_from_the_other_holder() -> None:
    inventories = ALL | {NORTH: holding(1)}
    assert exchange.loans(inventories, NODES, [ELM]) == (Loan(ELM, 2, EAST, NORTH),)
    assert exchange.unrecoverable(inventories, NODES, [ELM]) == frozenset()


@pytest.mark.parametrize("opened_nothing", [holding(), Inventory({}, {ELM: "forged_manifest"})])
def test_a_node_that_opened_nothing_borrows_each_of_its_components(opened_nothing: Inventory) -> None:
    assert exchange.loans(ALL | {NORTH: opened_nothing}, NODES, [ELM]) == (
        Loan(ELM, 1, WEST, NORTH),
        Loan(ELM, 2, EAST, NORTH),
    )


def test_a_component_that_no_node_holds_puts_the_hospital_out() -> None:
    inventories = ALL | {NORTH: holding(1), EAST: holding(0)}
    assert exchange.unrecoverable(inventories, NODES, [ELM, ASTER]) == {ELM, ASTER}


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ((None, None, None), None),
        ((None, None, "no_manifest"), None),
        ((None, "no_manifest", "no_manifest"), "no_manifest"),
        (("no_manifest", "invalid_data", "invalid_data"), "invalid_data"),
        (("no_manifest", "invalid_data", "forged_manifest"), exchange.SHOWN_DIFFERENTLY),
        ((None, "no_manifest", "forged_manifest"), exchange.SHOWN_DIFFERENTLY),
        ((None, None, "no_manifest", "no_manifest"), exchange.SHOWN_DIFFERENTLY),
        ((None, None, None, "no_manifest"), None),
        (("no_manifest", "no_manifest", "no_manifest", None), "no_manifest"),
    ],
)
def test_who_takes_part_and_why_not_is_what_a_majority_of_the_nodes_saw(
    seen: tuple[str | None, ...], reason: str | None
) -> None:
    inventories = {NodeName(f"node-{number}"): seeing(each) for number, each in enumerate(seen)}
    assert exchange.absent(inventories, [ASTER, ELM]) == ({ELM: reason} if reason else {})


@given(st.permutations([None, "no_manifest", "invalid_data", "no_manifest"]))
def test_it_does_not_matter_which_node_saw_what(seen: list[str | None]) -> None:
    inventories = dict(zip(map(NodeName, "abcd"), map(seeing, seen), strict=True))
    assert exchange.absent(inventories, [ASTER, ELM]) == {ELM: exchange.SHOWN_DIFFERENTLY}


@pytest.mark.parametrize(
    "body",
    [
        {"held": {"stranger": [1]}, "absent": {"elm": "no_manifest"}},
        {"held": {"elm": [0]}, "absent": {}},
        {"held": {"elm": [3]}, "absent": {}},
        {"held": {"elm": "12"}, "absent": {}},
        {"held": {"elm": [[1]]}, "absent": {}},
        {"held": {"elm": None}, "absent": {}},
        {"held": {}, "absent": {}},
        {"held": {"elm": [1]}, "absent": {"elm": "no_manifest"}},
        {"held": {}, "absent": {"elm": "No manifest, and a long story"}},
        {"held": {}, "absent": {"elm": 7}},
        {"held": ["elm"], "absent": {}},
        {"elm": [1, 2]},
    ],
    ids=[
        *(
            "no hospital of the study",
            "a component that north cannot hold",
            "no such component",
            "text",
            "a list of lists",
            "nothing",
        ),
        *("silent about elm", "both", "a sentence", "a number", "a list", "without the two parts"),
    ],
)
def test_an_inventory_that_cannot_be_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(EvidenceRejected, match="north: got"):
        exchange.parse_inventory(said(body), [ELM], 0, 3)


def test_another_statement_is_no_inventory() -> None:
    with pytest.raises(EvidenceRejected, match="want Inventory"):
        exchange.parse_inventory(said(holding(1, 2).body(), Kind.INPUT_SET), [ELM], 0, 3)


def test_an_inventory_survives_the_round_trip() -> None:
    inventory = Inventory({ELM: (1, 2)}, {ASTER: "no_manifest"})
    assert exchange.parse_inventory(said(inventory.body()), [ELM, ASTER], 0, 3) == inventory


def test_hospitals_that_share_a_component_are_both_out() -> None:
    def manifest(hospital: HospitalName, *digits: str) -> Manifest:
        return Manifest(hospital, 1, tuple(Sha256(digit * 64) for digit in digits), {}, Sha256("0" * 64))

    birch = HospitalName("birch")
    manifests = {
        ELM: manifest(ELM, "a", "b", "c"),
        ASTER: manifest(ASTER, "d", "b", "e"),
        birch: manifest(birch, "1", "2", "3"),
    }
    assert exchange.copied(manifests) == {ELM, ASTER}
