"""Whole rounds on four validators of a BFT chain: what one lost validator, and two, do to them.

Opt-in: `make test-bft`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pipeline.audit.audit_round import audit
from pipeline.chain.ledger import Ledger, study_id
from pipeline.domain import RoundId, RoundStatus
from pipeline.errors import Unavailable
from tests.support.bft import CHAIN_ID, VALIDATORS, Network
from tests.support.consortia import Site
from tests.support.rounds import Play

pytestmark = [pytest.mark.bft, pytest.mark.store, pytest.mark.spu, pytest.mark.timeout(1800)]

DEADLINES = {"commit_seconds": 900, "result_seconds": 1800}
"""Block time goes on while a chain stands still."""


@pytest.fixture
def whole(network: Network) -> Iterator[Network]:
    """The network, all four validators of which run before and after the test."""
    yield network
    for index in set(range(VALIDATORS)) - network.running:
        network.start(index)
    network.until(lambda: min(network.heights()) >= max(network.heights()) - 1 and len(network.heights()) == VALIDATORS)


@pytest.fixture(scope="session")
def rounds(site: Site) -> tuple[Play, list[RoundId], list[float]]:
    """Two whole rounds of one study, and the seconds that each took."""
    play = site.play("anchored", deadlines=DEADLINES)
    numbers = []
    seconds = []
    for run in ("first", "second"):
        started = time.monotonic()
        numbers.append(play.round(run))
        seconds.append(time.monotonic() - started)
    return play, numbers, seconds


def views(network: Network, site: Site) -> list[Ledger]:
    """The ledger as each running validator has it."""
    return [Ledger.connect(network.urls[index], site.members.ledger) for index in sorted(network.running)]


def everything(ledger: Ledger) -> Any:
    """What the ledger says about all rounds, their studies and signatures."""
    states = ledger.rounds()
    return (
        states,
        [ledger.signatures(state.finalised) for state in states if state.finalised],
        {state.study: ledger.study(state.study) for state in states},
    )


def same_everywhere(network: Network, site: Site) -> None:
    """Fail unless every running validator has the same blocks and says the same of every round."""
    height = min(network.heights())
    network.until(lambda: min(network.heights()) > height)
    hashes = {network.client(index).eth.get_block(height)["parentHash"] for index in network.running}
    assert len(hashes) == 1
    first, *others = [everything(ledger) for ledger in views(network, site)]
    assert first[0]
    assert all(other == first for other in others)


def test_the_ledger_stands_on_the_network_and_calls_itself_no_development_chain(site: Site) -> None:
    assert (site.members.ledger.chain_id, site.members.ledger.development) == (CHAIN_ID, False)
    assert "chain" not in site.manager.states()


def test_whole_rounds_anchor_and_hold(
    site: Site, rounds: tuple[Play, list[RoundId], list[float]], record_property: pytest.RecordProperty
) -> None:
    play, numbers, seconds = rounds
    record_property("seconds", seconds)
    for number in numbers:
        site.audits(number)
        site.each_thing_once(play, number)
    assert site.ledger.study(study_id("anchored")).current_round == numbers[-1]


def test_the_ledger_reads_the_same_from_every_validator(
    whole: Network, site: Site, rounds: tuple[Play, list[RoundId], list[float]]
) -> None:
    same_everywhere(whole, site)
    _, numbers, _ = rounds
    store = site.store(site.settings.provider)
    for ledger in views(whole, site):
        assert audit(numbers[-1], ledger, store).first_problem is None


def test_with_one_validator_killed_rounds_go_on_and_it_catches_up(whole: Network, site: Site) -> None:
    play = site.play("one-killed", deadlines=DEADLINES)
    whole.kill(3)
    number = play.round()
    site.audits(number)
    site.each_thing_once(play, number)
    whole.start(3)
    whole.until(lambda: whole.heights()[3] >= whole.heights()[0] - 1)
    same_everywhere(whole, site)


def test_with_two_killed_the_chain_halts_and_goes_on_when_one_returns_with_nothing_lost(
    whole: Network, site: Site
) -> None:
    play = site.play("two-killed", deadlines=DEADLINES)
    number = play.open()
    play.hospitals(number)
    assert not play.absences
    before = everything(site.ledger)
    whole.kill(2, 3)
    time.sleep(3)  # a block that had its seals already may still arrive
    height = whole.heights()
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(play.commit, number)
        with pytest.raises(Unavailable, match="was not mined within 60 s"):
            site.outbox().send(site.ledger.revoke_hospitals([]), "sent-while-the-chain-stands", timeout=60)
        assert whole.heights() == height
        assert site.ledger.status(number) is RoundStatus.OPEN
        assert everything(site.ledger) == before
        assert not sending.done()
        whole.start(2)
        sending.result()
    whole.until(lambda: min(whole.heights()) > max(height))
    play.verify(number)
    play.aggregate(number)
    play.end(number)
    site.audits(number)
    site.each_thing_once(play, number)
    same_everywhere(whole, site)
    receipt = site.outbox().send(site.ledger.revoke_hospitals([]), "sent-while-the-chain-stands")
    assert receipt.block > max(height)


def test_a_kill_of_all_four_loses_no_acknowledged_block(whole: Network, site: Site) -> None:
    receipt = site.outbox().send(site.ledger.revoke_hospitals([]), "before-the-lights-went-out")
    before = everything(site.ledger)
    whole.kill(0, 1, 2, 3)
    for index in range(VALIDATORS):
        whole.start(index)
    whole.until(lambda: min(whole.heights()) > receipt.block)
    assert whole.client(1).eth.get_block(receipt.block)["hash"].to_0x_hex() == receipt.block_hash
    assert everything(site.ledger) == before
    same_everywhere(whole, site)
