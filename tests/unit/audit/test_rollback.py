"""A ledger that lost rounds is found out by what nodes and hospitals signed.

Nothing that a few can forge looks like that.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.audit.rollback import refuse_forgotten
from pipeline.domain import Address, HospitalName, Kind, Result, RoundId, Sha256
from pipeline.errors import Refused
from pipeline.evidence import signing
from pipeline.evidence.canonical import sha256
from pipeline.ledger_types.state import RoundState
from pipeline.store import object_keys
from tests.support.finished_rounds import DictLedger, DictStore, RoundMaker, consortium, key, model, study


class World:
    """Three finished rounds, and one that is open."""

    def __init__(self, unconfirmed: tuple[str, ...] = ()) -> None:
        of = study()
        members = consortium(of)
        self.store = DictStore()
        self.ledger = DictLedger(of, members)
        self.maker = RoundMaker(of, members, self.store.put, self.ledger)
        self.maker.start(model(0))
        self.results: dict[int, Result] = {}
        for number in (1, 2, 3):
            self.results[number] = self.maker.finish(RoundId(number), unconfirmed=unconfirmed)
        self.maker.open(RoundId(4))

    def check(self) -> None:
        refuse_forgotten(self.ledger, self.store)

    def state(self, number: int) -> RoundState:
        return self.ledger.states[RoundId(number)]

    def vote(self, result: Result, node: str, round_id: int, contract: str | None = None) -> None:
        statement = signing.sign_vote(
            node, result, self.ledger.chain_id, Address(contract or self.ledger.contract), key(node)
        )
        place = object_keys.statement(RoundId(round_id), Kind.VOTE, HospitalName(node))
        self.maker.post(place, signing.to_bytes(statement))


@pytest.fixture
def world() -> World:
    return World()


def test_a_ledger_that_knows_all_rounds_passes(world: World) -> None:
    world.check()


def test_a_chain_from_before_a_finished_round_is_refused_naming_it_and_who_signed(world: World) -> None:
    for number in (3, 4):
        del world.ledger.states[RoundId(number)]
    with pytest.raises(
        Refused, match=r"^round 3: alder, birch, .* signed its result, but the ledger says none: the chain lost blocks"
    ):
        world.check()


def test_of_several_forgotten_rounds_the_newest_is_named(world: World) -> None:
    for number in (1, 2, 3, 4):
        del world.ledger.states[RoundId(number)]
    with pytest.raises(Refused, match=r"^round 3:"):
        world.check()


def test_a_chain_from_before_the_commit_is_refused(world: World) -> None:
    world.ledger.states[RoundId(3)] = replace(world.state(3), committed=None, finalised=None)
    with pytest.raises(Refused, match="signed its result, but the ledger says open"):
        world.check()


def test_a_chain_from_before_the_result_is_refused_once_a_hospital_confirmed_the_model(world: World) -> None:
    world.ledger.states[RoundId(3)] = replace(world.state(3), finalised=None)
    with pytest.raises(Refused, match="confirmed its model, but the ledger says committed"):
        world.check()


def test_a_round_that_is_decided_and_not_yet_finalised_passes() -> None:
    world = World(unconfirmed=study().hospitals)
    world.ledger.states[RoundId(3)] = replace(world.state(3), finalised=None)
    world.check()


def test_a_round_that_ends_while_it_is_looked_at_passes(world: World) -> None:
    before = world.ledger.rounds()
    earlier = tuple(replace(state, finalised=None) if state.round == 3 else state for state in before)
    world.ledger.rounds = lambda study=None: earlier  # type: ignore[method-assign]
    world.check()


@pytest.mark.parametrize("forged", ["minority", "stranger", "other contract", "other round", "no record", "deep"])
def test_what_no_majority_signed_about_an_unknown_round_is_no_evidence(world: World, forged: str) -> None:
    result = replace(world.results[3], round=RoundId(9))
    if forged != "no record":
        record = world.store.get(object_keys.REPORTS, object_keys.record(RoundId(3)).key(result.record), result.record)
        changed = record.replace(b'"round":3', b'"round":9')
        result = replace(result, record=world.maker.post(object_keys.record(RoundId(9)), changed))
    nodes = world.maker.of.nodes
    match forged:
        case "minority":
            world.vote(result, nodes[0], 9)
        case "stranger":
            for name in ("northgate", "southmoor", "hillside"):
                world.vote(result, name, 9)
        case "other contract":
            for name in nodes:
                world.vote(result, name, 9, "0x" + "12" * 20)
        case "other round":
            for name in nodes:
                world.vote(replace(world.results[3], round=RoundId(3)), name, 9)
        case "no record":
            for name in nodes:
                world.vote(replace(result, record=Sha256("77" * 32)), name, 9)
        case "deep":
            for name in nodes:
                deep = b"[" * 900_000
                place = object_keys.statement(RoundId(9), Kind.VOTE, name)
                world.store.put(place.bucket, place.key(sha256(deep)), deep)
    world.check()


def test_the_same_votes_by_a_majority_are(world: World) -> None:
    result = replace(world.results[3], round=RoundId(9))
    record = world.store.get(object_keys.REPORTS, object_keys.record(RoundId(3)).key(result.record), result.record)
    result = replace(
        result, record=world.maker.post(object_keys.record(RoundId(9)), record.replace(b'"round":3', b'"round":9'))
    )
    for name in world.maker.of.nodes[:2]:
        world.vote(result, name, 9)
    with pytest.raises(Refused, match=r"^round 9: "):
        world.check()
