from __future__ import annotations

import pytest
from eth_abi import encode as abi_encode
from eth_utils.crypto import keccak

from pipeline.chain import contract
from pipeline.chain.contract import refusal
from pipeline.domain import Address
from pipeline.errors import ContractRefused, Misconfigured, Refused

LEDGER = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")


def _revert(signature: str, types: list[str], values: list[object]) -> str:
    return "0x" + (keccak(signature.encode())[:4] + abi_encode(types, values)).hex()


def test_a_custom_error_is_named_with_its_arguments() -> None:
    error = refusal("commitRound", _revert("WrongStatus(uint64,uint8,uint8)", ["uint64", "uint8", "uint8"], [7, 1, 2]))
    assert (error.error, error.arguments) == ("WrongStatus", {"round": "7", "got": "OPEN", "wanted": "COMMITTED"})
    assert "commitRound: WrongStatus(round=7, got=OPEN, wanted=COMMITTED)" in str(error)


def test_addresses_and_digests_read_as_users_write_them() -> None:
    error = refusal(
        "commitRound", _revert("NotCommitter(bytes32,address)", ["bytes32", "address"], [b"\x11" * 32, LEDGER])
    )
    assert error.arguments == {"studyId": "11" * 32, "caller": LEDGER}


@pytest.mark.parametrize("data", [None, "", "0x", "0x1234", "0xdeadbeef", "0xdeadbeef00"])
def test_an_unknown_revert_is_still_a_refusal(data: str | None) -> None:
    error = refusal("openRound", data)
    assert isinstance(error, Refused)
    assert error.error == "Reverted"


def test_a_revert_with_damaged_arguments_keeps_its_name() -> None:
    assert (
        refusal("openRound", _revert("UnknownStudy(bytes32)", ["bytes32"], [b"\x11" * 32])[:-2]).error == "UnknownStudy"
    )


def test_a_call_starts_with_its_selector() -> None:
    call = contract.encode(LEDGER, "verifyModel", 7, b"\x11" * 32)
    assert call.data == keccak(b"verifyModel(uint64,bytes32)")[:4] + (7).to_bytes(32, "big") + b"\x11" * 32
    assert (call.name, call.to) == ("verifyModel", LEDGER)


@pytest.mark.parametrize(
    "arguments", [(), (-1, b""), (1 << 64, b""), ("seven", b""), (7,), (7, b"", 8), (7, b"\x11" * 33)]
)
def test_arguments_that_do_not_fit_are_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises(Misconfigured, match="verifyModel: got arguments"):
        contract.encode(LEDGER, "verifyModel", *arguments)


def test_every_error_of_the_interface_can_be_decoded() -> None:
    names = {entry["name"] for entry in contract.abi() if entry["type"] == "error"}
    source = (contract.ARTEFACT.parent.parent / "ILedger.sol").read_text()
    declared = {
        line.split("error ")[1].split("(")[0] for line in source.splitlines() if line.strip().startswith("error ")
    }
    assert declared <= names
    assert isinstance(refusal("x", "0x" + keccak(b"ZeroDigest()")[:4].hex()), ContractRefused)


def test_an_event_of_another_version_is_named() -> None:
    with pytest.raises(Misconfigured, match="another version"):
        contract.event_name(bytes(32))
