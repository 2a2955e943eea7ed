from __future__ import annotations

import pytest

from pipeline.chain import rpc
from pipeline.chain.ledger import Ledger
from pipeline.domain import RoundId, RoundStatus
from pipeline.errors import EvidenceRejected, Misconfigured, Unavailable
from pipeline.host import ports
from pipeline.site.consortium import LedgerLocation
from tests.support.chains import CHAIN_ID, Actors

pytestmark = pytest.mark.anvil


def test_another_chain_id_is_refused(actors: Actors) -> None:
    with pytest.raises(Misconfigured, match=f"got chain id {CHAIN_ID}, want 1;"):
        Ledger.connect(actors.url, LedgerLocation(chain_id=1, contract=actors.contract, development=True))


def test_an_address_without_a_contract_is_refused(actors: Actors) -> None:
    with pytest.raises(Misconfigured, match="got no contract at"):
        Ledger.connect(
            actors.url, LedgerLocation(chain_id=CHAIN_ID, contract=actors.stranger.address, development=True)
        )


def test_a_chain_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="did not answer"):
        rpc.connect(f"http://127.0.0.1:{ports.choose()}", CHAIN_ID)


def test_a_round_that_was_never_opened_has_no_state(actors: Actors) -> None:
    assert actors.ledger.status(RoundId(10**9)) is RoundStatus.NONE
    with pytest.raises(EvidenceRejected, match="round 1000000000: got none"):
        actors.ledger.round(RoundId(10**9))


@pytest.mark.parametrize("number", [2**64, 10**30, -1])
def test_a_number_that_the_ledger_cannot_have_is_no_outage_of_the_chain(actors: Actors, number: int) -> None:
    with pytest.raises(
        EvidenceRejected, match=f"rounds\\({number}\\): got a value that the ledger's contract does not take"
    ):
        actors.ledger.round(RoundId(number))


def test_the_deployer_is_the_provider(actors: Actors) -> None:
    assert actors.ledger.provider() == actors.provider.address
