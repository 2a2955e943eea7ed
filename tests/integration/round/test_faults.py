"""kill -9 in mid-round and damage to the store's disk: a round ends, and nothing is lost or doubled."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context

import psutil
import pytest

from pipeline.domain import Kind, NodeName, RoundId, RoundStatus
from pipeline.errors import EngineFailed
from pipeline.round import custody, steps
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.consortia import HOSPITALS, NODES, Site, engine_parties
from tests.support.intake import await_statement
from tests.support.rounds import Play

pytestmark = [pytest.mark.store, pytest.mark.anvil]

NORTH, EAST, WEST = NODES[:3]


@contextmanager
def meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Do something while the block runs; its error is raised at the end."""
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(action)
        yield
        done.result()


def kill_a_party() -> None:
    """kill -9 of the first of the engine's processes that appears."""
    deadline = time.monotonic() + 60
    while not (parties := engine_parties()):
        assert time.monotonic() < deadline, "no party of the engine started"
        time.sleep(0.02)
    parties[0].kill()


def restarted(play: Play, step: str, round_id: RoundId) -> int:
    """Take a step at every node, again at each whose engine failed: a restarted node joins those that wait for it.

    How often one failed.
    """
    failures: list[EngineFailed] = []
    play.each(lambda name: failures.extend(until_it_ends(play, step, round_id, name)))
    return len(failures)


def until_it_ends(play: Play, step: str, round_id: RoundId, name: NodeName) -> list[EngineFailed]:
    """Take a step of a node, again where the engine failed; how it failed."""
    failures: list[EngineFailed] = []
    for _ in range(3):
        try:
            play.node(step, round_id, name)
            return failures
        except EngineFailed as error:
            failures.append(error)
    play.node(step, round_id, name)
    return failures


def kill_once_it_signed_its_input_set(site: Site, play: Play, round_id: RoundId, name: NodeName) -> None:
    """Verify at a node in a process of its own; kill -9 of that and all that it started."""
    process = get_context("spawn").Process(
        target=steps.take_node, args=(name, "verify", play.study.name, round_id, play.settings)
    )
    process.start()
    await_statement(site, round_id, Kind.INPUT_SET, name)
    node = psutil.Process(process.pid)
    for child in (node, *node.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.join()


@pytest.mark.spu
def test_a_round_survives_kill_9_of_store_chain_and_a_party_one_after_the_other(site: Site) -> None:
    play = site.play("killed")
    round_id = play.open()
    play.hospitals(round_id, HOSPITALS[:2])
    site.kill_store()
    play.hospitals(round_id, HOSPITALS[2:4])
    site.kill_anvil()
    play.hospitals(round_id, HOSPITALS[4:5])
    site.kill_anvil()
    play.commit(round_id)
    with meanwhile(kill_a_party):
        assert restarted(play, "verify", round_id) >= 1
    site.kill_store()
    with meanwhile(kill_a_party):
        assert restarted(play, "aggregate", round_id) >= 1
    site.kill_anvil()
    play.end(round_id)

    assert play.absences == {}
    site.each_thing_once(play, round_id)
    site.audits(round_id)


@pytest.mark.spu
@pytest.mark.namespace
def test_a_node_that_is_killed_goes_on_from_what_it_kept_of_envelopes_that_are_gone(site: Site) -> None:
    play = site.play("killed_node", hospitals=list(HOSPITALS[:3]))
    round_id = play.committed()
    envelopes = [
        object_keys.envelope(round_id, hospital, node) for hospital in play.study.hospitals for node in play.study.nodes
    ]

    def verify(name: NodeName) -> None:
        if name == NORTH:
            kill_once_it_signed_its_input_set(site, play, round_id, NORTH)
            assert not (site.settings.node(NORTH) / "journal" / f"revealed-{round_id}.json").exists()
            for envelope in envelopes:
                for digest in site.board().digests(envelope):
                    shutil.rmtree(site.on_disk(envelope, digest))
        until_it_ends(play, "verify", round_id, name)

    play.each(verify)
    assert not any(site.board().digests(envelope) for envelope in envelopes)
    assert restarted(play, "aggregate", round_id) == 0
    play.end(round_id)
    assert set(site.record(round_id)["verdicts"].values()) == {"accepted"}
    site.audits(round_id)
    for node in play.study.nodes:
        assert round_id not in custody.rounds(site.settings.node(node))


@pytest.mark.spu
@pytest.mark.namespace
@attack(
    by="store_operator",
    to="stop",
    tries="to put a hospital out by damage to one of its envelopes",
    costs="nothing",
    seen="nothing but a loan between nodes",
)
def test_an_envelope_that_is_damaged_on_the_stores_disk_is_lent_by_another_node(site: Site) -> None:
    play = site.play("damaged", hospitals=list(HOSPITALS[:3]))
    round_id = play.committed()
    envelope = object_keys.envelope(round_id, HOSPITALS[0], NORTH)
    (digest,) = site.board().digests(envelope)
    site.damage(envelope, digest)
    play.verify(round_id)
    play.aggregate(round_id)
    play.end(round_id)

    assert site.ledger.status(round_id) is RoundStatus.FINALISED
    site.audits(round_id)
