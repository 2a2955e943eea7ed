"""A round whose engine fails, in every way in which it can.

All nodes end and say why, the ledger aborts the round, and the next one runs.

tests/integration/mpc/test_mp_spdz_faults.py asks how the driver of the engine ends; here the same faults meet nodes,
store and ledger. Whatever happens, a node takes it in one way: its engine raises EngineFailed, and neither journal nor
store learns anything. So all faults of a verification strike one committed round, one after the other as in Airflow's
retries, and that round is aborted once. A fault in the aggregation, where the journal names already what may be opened,
has a round of its own.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.chain.ledger import study_id
from pipeline.domain import Kind, NodeName, RoundId
from pipeline.errors import EngineFailed, RoundAborted
from pipeline.mpc.engines.base import AggregateOutput, AggregateTask, Components, Party, VerifyOutput, VerifyTask
from pipeline.mpc.engines.mp_spdz import workdir
from pipeline.mpc.engines.mp_spdz.engine import MpSpdz
from pipeline.round import node_round
from pipeline.site.settings import Settings
from pipeline.store import object_keys
from tests.support.consortia import HOSPITALS, NODES, Site, engine_parties
from tests.support.deviant import Deviant
from tests.support.parties import self_signed
from tests.support.rounds import Play

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.mp_spdz]

_MIDDLE = 40
"""A message in the middle of the smallest computation."""
_WEST = NODES.index(NodeName("west"))
_LONG = 60.0
"""Seconds in which a computation ends on a busy machine."""


class Absent(MpSpdz):
    """Its node never starts it."""

    def verify(self, protocol: str, task: VerifyTask, components: Components, party: Party) -> VerifyOutput:
        raise EngineFailed("west's engine was never started")


class Altered(MpSpdz):
    """Runs other bytecode."""

    def _compiled(self, *arguments: Any) -> Path:
        own = super()._compiled(*arguments)
        copy = own.with_name("altered") / own.name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(own, copy)
        largest = max((copy / "Bytecode").iterdir(), key=lambda file: file.stat().st_size)
        code = bytearray(largest.read_bytes())
        code[len(code) // 2] ^= 1
        largest.write_bytes(code)
        return copy


class Truncated(MpSpdz):
    """One of its components lacks a word."""

    def verify(self, protocol: str, task: VerifyTask, components: Components, party: Party) -> VerifyOutput:
        first, own = next(iter(components.items()))
        return super().verify(protocol, task, {**components, first: {**own, 0: own[0][:-1]}}, party)


class Lacking(MpSpdz):
    """One of its components is not there."""

    def verify(self, protocol: str, task: VerifyTask, components: Components, party: Party) -> VerifyOutput:
        first, own = next(iter(components.items()))
        return super().verify(protocol, task, {**components, first: {1: own[1]}}, party)


class Stranger(MpSpdz):
    """Has another certificate than the pinned one."""

    def verify(self, protocol: str, task: VerifyTask, components: Components, party: Party) -> VerifyOutput:
        certificate, key = self_signed(party.log.parent / "stranger", "west")
        pinned = tuple(certificate if index == _WEST else path for index, path in enumerate(party.peer_certificates))
        return super().verify(
            protocol,
            task,
            components,
            replace(party, certificate=certificate, private_key=key, peer_certificates=pinned),
        )


class Crowded(MpSpdz):
    """Another process holds its port."""

    def verify(self, protocol: str, task: VerifyTask, components: Components, party: Party) -> VerifyOutput:
        host, port = party.hosts[party.index].rsplit(":", 1)
        with socket.create_server((host, int(port))):
            return super().verify(protocol, task, components, party)


@dataclass(frozen=True)
class Fault:
    """What is wrong with west's engine, and what some node then says of it."""

    cause: str
    engine: Callable[[Settings, Path], MpSpdz]
    seconds: float = _LONG
    """Until a node gives up a peer that does not come."""


FAULTS = {
    "killed": Fault("killed by signal 9", lambda settings, folder: Deviant(settings, folder, "kill", _MIDDLE)),
    "suspended": Fault("suspended", lambda settings, folder: Deviant(settings, folder, "stop", _MIDDLE)),
    "never starts": Fault("did not come", lambda settings, folder: Absent(settings), 6),
    "share file truncated": Fault(
        "share file is shorter",
        lambda settings, folder: Deviant(settings, folder, before="truncate -s -8 Persistence/*"),
    ),
    "input truncated": Fault("component 0 of aster is not", lambda settings, folder: Truncated(settings)),
    "input missing": Fault("got components [1] of aster", lambda settings, folder: Lacking(settings)),
    "other bytecode": Fault("its program differs", lambda settings, folder: Altered(settings)),
    "wrong certificate": Fault("certificate", lambda settings, folder: Stranger(settings), 6),
    "port taken": Fault("holds the port", lambda settings, folder: Crowded(settings), 6),
    "disk full": Fault(
        "full", lambda settings, folder: Deviant(settings, folder, before="export DEVIANT_FULL=Player-Data/")
    ),
}


class Faulty(MpSpdz):
    """The engine of all nodes, of which west's has a fault."""

    def __init__(self, settings: Settings, fault: Fault, folder: Path) -> None:
        super().__init__(settings)
        self._fault = fault
        self._west = fault.engine(settings, folder)
        self.dealt: set[bytes] = set()
        """How each component begins."""

    def verify(self, protocol: str, task: VerifyTask, components: Components, party: Party) -> VerifyOutput:
        """As the engine or its fault has it."""
        self._see(components)
        run = self._west.verify if party.index == _WEST else super().verify
        return run(protocol, task, components, replace(party, deadline_seconds=self._fault.seconds, patience_seconds=2))

    def aggregate(self, protocol: str, task: AggregateTask, components: Components, party: Party) -> AggregateOutput:
        """As the engine or its fault has it."""
        self._see(components)
        run = self._west.aggregate if party.index == _WEST else super().aggregate
        return run(protocol, task, components, replace(party, deadline_seconds=self._fault.seconds, patience_seconds=2))

    def _see(self, components: Components) -> None:
        self.dealt |= {words[:4].tobytes() for own in components.values() for words in own.values()}


@dataclass(frozen=True)
class Strike:
    """Where faults strike."""

    site: Site
    play: Play
    folder: Path
    """For what engines keep in memory: a place of its own, so that no run beside the tests sweeps it."""

    def committed(self, run: str) -> RoundId:
        """A round with what every hospital shared."""
        round_id = self.play.committed(run)
        assert self.play.absences == {}
        return round_id

    def strike(self, fault: Fault, stage: str, round_id: RoundId, folder: Path) -> None:
        """Fail unless all nodes end, name west and the cause, and leave nothing secret."""
        engine = Faulty(self.site.settings, fault, folder)
        said = dict[NodeName, str]()

        def take(name: NodeName) -> None:
            with pytest.raises(EngineFailed) as caught:
                self.play.node(stage, round_id, name)
            said[name] = str(caught.value)

        start = time.monotonic()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(node_round, "engine", lambda *_: engine)
            self.play.each(take)
        # a node whose engine fails at every try signs the round's end: here each fault is a first one
        for node in self.play.study.nodes:
            (self.site.settings.node(node) / "journal" / f"trouble-{round_id}.json").unlink()
        assert time.monotonic() - start < 2 * _LONG
        assert any(fault.cause in words for words in said.values()), said
        # who is at fault may see it in another; nobody else may
        honest = [words for name, words in said.items() if name != NODES[_WEST]]
        assert all(f"node {_WEST} " in words or f"party {_WEST}:" in words for words in honest), said
        assert not engine_parties()
        homes = [self.site.settings.node(node) for node in self.play.study.nodes]
        files = [
            file
            for root in (self.folder, folder, *homes)
            for file in root.rglob("*")
            if file.is_file() and not file.is_symlink()
        ]
        assert engine.dealt
        assert not [
            file
            for file in files
            for content in [file.read_bytes()]
            if any(secret in content for secret in engine.dealt)
        ]
        assert not [place for root in (self.folder, *homes) for place in root.rglob("run-*")]

    def abort(self, round_id: RoundId) -> None:
        """Fail unless the ledger ends the round and keeps the model."""
        study = study_id(self.play.study.name)
        model = self.site.ledger.round(round_id).opened.previous_model
        assert not [
            node
            for node in self.play.study.nodes
            if self.site.board().digests(object_keys.statement(round_id, Kind.VOTE, node))
        ]
        self.site.pass_deadline(round_id)
        with pytest.raises(RoundAborted, match="stays current"):
            self.play.provider("finalise", round_id)
        assert self.site.transactions(self.play.study.name)[-3:] == [
            (kind, round_id) for kind in ("opened", "committed", "aborted")
        ]
        assert self.site.ledger.study(study).current_model == model


@pytest.fixture(scope="module")
def struck(site: Site) -> Iterator[Strike]:
    """Three hospitals and nodes, under MP-SPDZ."""
    place = workdir.RUNS.with_name(f"{workdir.RUNS.name}-test-{os.getpid()}")
    deadlines = {"commit_seconds": 600, "result_seconds": 900}
    changes = {
        "engine": "mp-spdz",
        "protocol": "replicated-ring",
        "hospitals": list(HOSPITALS[:3]),
        "deadlines": deadlines,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workdir, "RUNS", place)
        yield Strike(site, site.play("engine_faults", **changes), place)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def first(struck: Strike) -> RoundId:
    """The round that every fault of a verification strikes."""
    return struck.committed("first")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_one_engine_ends_the_verification_everywhere_and_leaves_nothing_secret(
    struck: Strike, first: RoundId, name: str, tmp_path: Path
) -> None:
    struck.strike(FAULTS[name], "verify", first, tmp_path)


def test_a_round_that_no_engine_verified_is_aborted(struck: Strike, first: RoundId) -> None:
    for node in struck.play.study.nodes:
        with pytest.raises(RoundAborted, match="has not verified"):
            struck.play.node("aggregate", first, node)
    struck.abort(first)


def test_a_round_whose_aggregation_a_party_broke_off_is_aborted(struck: Strike, tmp_path: Path) -> None:
    round_id = struck.committed("second")
    struck.play.verify(round_id)
    struck.strike(FAULTS["killed"], "aggregate", round_id, tmp_path)
    struck.abort(round_id)


def test_the_next_round_ends_with_a_model_though_one_of_its_nodes_is_started_twice(
    struck: Strike, tmp_path: Path
) -> None:
    site = struck.site
    play = struck.play
    round_id = struck.committed("third")
    failed = list[EngineFailed]()
    hasty = Faulty(site.settings, Fault("", lambda settings, folder: MpSpdz(settings), 10), tmp_path)

    def take(name: NodeName) -> None:
        try:
            play.node("verify", round_id, name)
        except EngineFailed as error:
            failed.append(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_round, "engine", lambda *_: hasty)
        play.each(take, (*play.study.nodes, play.study.nodes[_WEST]))
    # of the two one finds the port taken or nobody left to meet; where each met another peer, nobody has an outcome
    assert len(failed) in (0, 1, 4), failed
    for step in (play.verify, play.aggregate, play.end):
        step(round_id)
    site.audits(round_id)
