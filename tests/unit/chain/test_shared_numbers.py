"""Numbers and names that the contract and Python each write down are the same."""

from __future__ import annotations

import re

import pytest

from pipeline import domain
from pipeline.chain import contract
from pipeline.domain import LEAST_FOR_RESULT, RoundStatus
from pipeline.evidence import signing
from pipeline.ledger_types.state import HospitalStatus
from pipeline.study.study import Study

CONTRACTS = contract.ARTEFACT.parent.parent


def constant(file: str, name: str) -> int:
    """A constant of a Solidity file."""
    (found,) = re.findall(rf"constant {name} = (\d+);", (CONTRACTS / file).read_text())
    return int(found)


def test_a_round_leaves_as_much_for_its_result() -> None:
    assert constant("RoundSlot.sol", "LEAST_FOR_RESULT") == LEAST_FOR_RESULT


def test_a_direct_commit_gives_as_much_grace() -> None:
    longest = constant("RoundSlot.sol", "_LONGEST_GRACE")
    assert longest == domain._LONGEST_GRACE
    for between in (LEAST_FOR_RESULT, 2 * longest - 1, 2 * longest, 2 * longest + 1, 10_000):
        half = between // 2
        assert domain.direct_grace(between) == (half if half < longest else longest)


def test_the_ledger_takes_every_number_of_nodes_that_a_study_may_have() -> None:
    bounds = {name: bound for one in Study.model_fields["nodes"].metadata for name, bound in _bounds(one)}
    assert constant("Ledger.sol", "_MIN_NODES") == bounds["min_length"]
    assert constant("Ledger.sol", "_MAX_NODES") >= bounds["max_length"]


def test_the_verdicts_have_a_bit_for_every_hospital_that_a_study_may_have() -> None:
    bounds = {name: bound for one in Study.model_fields["hospitals"].metadata for name, bound in _bounds(one)}
    assert "uint256 verdicts;" in (CONTRACTS / "ILedger.sol").read_text()
    assert bounds["max_length"] <= 256


@pytest.mark.parametrize("states", [RoundStatus, HospitalStatus])
def test_states_stand_in_the_contracts_order(states: type[RoundStatus | HospitalStatus]) -> None:
    (listed,) = re.findall(rf"enum {states.__name__} {{([^}}]*)}}", (CONTRACTS / "ILedger.sol").read_text())
    assert [name.strip() for name in listed.split(",")] == [state.name for state in states]


@pytest.mark.parametrize(("name", "fields"), [("Result", signing._RESULT_FIELDS), ("Abort", signing._ABORT_FIELDS)])
def test_what_nodes_sign_is_of_the_contracts_type(name: str, fields: tuple[tuple[str, str], ...]) -> None:
    written = f"{name}({','.join(f'{form} {field}' for field, form in fields)})"
    assert f'"{written}"' in (CONTRACTS / "Ledger.sol").read_text()


def _bounds(metadata: object) -> list[tuple[str, int]]:
    return [(name, getattr(metadata, name)) for name in ("min_length", "max_length") if hasattr(metadata, name)]
