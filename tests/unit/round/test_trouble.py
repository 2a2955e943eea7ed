"""Hospitals that fail or cheat.

The round finishes without them, and the record that the nodes voted for names each with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipeline.datasets.base import RECORDS
from pipeline.datasets.records import records_folder
from pipeline.domain import HospitalName, Kind, NodeName, RoundId, Statement
from pipeline.errors import DataRejected, Refused
from pipeline.evidence import signing
from pipeline.evidence.canonical import sha256
from pipeline.host.secret import Secret
from pipeline.site.identity import SigningKey
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.dealers import Dealing, damaged, post_as, shared_vector, trained
from tests.support.installed import HOSPITALS, NODES, Installed
from tests.support.intake import take_in_at_all
from tests.support.rounds import Play

ASTER, BIRCH, CEDAR, DAHLIA, ELM, FERN, GORSE, HAZEL, IRIS = HOSPITALS
NORTH, EAST, WEST = NODES[:3]


@dataclass
class Troubled:
    """A round of nine hospitals that have validated and trained; the first five, a majority, are honest in the end."""

    site: Installed
    play: Play
    round_id: RoundId
    shared: list[HospitalName] = field(default_factory=list)

    @classmethod
    def begin(cls, site: Installed, play: Play, run: str = "run") -> Troubled:
        round_id = play.open(run)
        for name in play.study.hospitals:
            for step in ("validate", "train"):
                play.hospital(step, round_id, name)
        return cls(site, play, round_id)

    def dealing(self, name: HospitalName) -> Dealing:
        """What the hospital should share, for the test to change."""
        self.shared.append(name)
        return Dealing.honest(self.site.hospital_context(self.play, self.round_id, name))

    def others_share(self, *but: HospitalName) -> None:
        """Everybody who has not dealt by hand shares as the product does."""
        for name in self.play.study.hospitals:
            if name not in (*self.shared, *but):
                self.play.hospital("share", self.round_id, name)


@pytest.fixture(scope="module")
def play(site: Installed) -> Play:
    return site.play("trouble", hospitals=list(HOSPITALS))


@pytest.fixture(scope="module")
def first(site: Installed, play: Play) -> tuple[RoundId, Mapping[NodeName, bytes]]:
    """The first troubled round, and envelopes that Hazel might have sent in it."""
    trouble = Troubled.begin(site, play, "first")
    one = trouble.dealing(ASTER)
    one.sending({NORTH: damaged(one.envelopes[NORTH])}).post()
    trouble.dealing(BIRCH).post(lost=(EAST,))
    inconsistent = trouble.dealing(CEDAR)
    inconsistent.sending({NORTH: inconsistent.sealed(NORTH, {2: inconsistent.components[2] + 1})}).post()
    short = trouble.dealing(GORSE)
    short.sending({WEST: short.envelopes[WEST][:-8]}).post()
    spoilt = trouble.dealing(HAZEL)
    spoilt.sending({node: damaged(data) for node, data in spoilt.envelopes.items()}).post()
    two_faced = trouble.dealing(IRIS)
    two_faced.post(two_faced.manifest(), two_faced.sending({WEST: two_faced.sealed(WEST)}).manifest())
    trouble.others_share(FERN)
    play.decide(trouble.round_id)
    return trouble.round_id, spoilt.envelopes


@attack(
    by="hospital",
    to="stop",
    tries="to part the nodes by an envelope that is good for some of them only",
    costs="nothing: it takes part",
    seen="a loan between nodes",
)
def test_a_hospital_whose_component_is_lost_or_wrong_at_one_node_stays_in(
    site: Installed, first: tuple[RoundId, object]
) -> None:
    round_id, _ = first
    verdicts = site.record(round_id)["verdicts"]
    assert {name: verdicts[name] for name in HOSPITALS[:5]} == dict.fromkeys(HOSPITALS[:5], "accepted")
    assert site.board().digests(object_keys.resealed(round_id, EAST, NORTH)), (
        "nobody lent what the damaged envelope held"
    )
    held = site.said(round_id, Kind.INVENTORY, NORTH).body["held"]
    assert (held[ASTER], held[CEDAR], held[DAHLIA]) == ([], [1], [1, 2])


@attack(
    by="hospital",
    to="change",
    tries="to be counted under two manifests, a wrong length or envelopes that do not open",
    costs="its place in the round",
    seen="its absence, with its name and the reason",
)
def test_hospitals_that_fail_in_different_ways_are_named_with_their_reasons(
    site: Installed, first: tuple[RoundId, object]
) -> None:
    round_id, _ = first
    assert site.record(round_id)["absent"] == {
        FERN: "no_manifest",
        GORSE: "wrong_length",
        HAZEL: "unrecoverable_component",
        IRIS: "conflicting_manifests",
    }
    site.audits(round_id)


@attack(
    by="hospital",
    to="change",
    tries="to be counted by a forged, copied, replayed or misshapen share",
    costs="its place in the round",
    seen="its absence, with its name and the reason",
)
def test_forged_copied_replayed_and_misshapen_shares_stay_out_of_the_next_round(
    site: Installed, play: Play, first: tuple[RoundId, Mapping[NodeName, bytes]]
) -> None:
    trouble = Troubled.begin(site, play, "second")
    round_id = trouble.round_id
    trouble.others_share(FERN, GORSE, HAZEL, IRIS)

    forged = trouble.dealing(FERN)
    forged.post(forged_by_another_key(forged))
    copied = site.said(round_id, Kind.MANIFEST, ELM)
    post_as(trouble.dealing(GORSE).ctx, copied)
    trouble.dealing(HAZEL).sending(first[1]).post()
    iris = site.hospital_context(play, round_id, IRIS)
    trouble.shared.append(IRIS)
    Dealing.honest(iris, np.concatenate([shared_vector(iris), np.zeros(30, np.int64)])).post()
    litter(site, round_id, GORSE, beneath=ELM)
    play.decide(round_id)

    record = site.record(round_id)
    assert record["absent"] == {
        FERN: "forged_manifest",
        GORSE: "forged_manifest",
        HAZEL: "unrecoverable_component",
        IRIS: "wrong_length",
    }
    assert {name for name, verdict in record["verdicts"].items() if verdict == "accepted"} == set(HOSPITALS[:5])
    site.audits(round_id)


@attack(
    by="hospital",
    to="stop",
    tries="to put a hospital out by envelopes and component digests copied from it",
    costs="its place in the round",
    seen="its absence, as `unrecoverable_component`",
)
def test_copied_components_put_out_the_copiers_and_not_the_copied(
    site: Installed, play: Play, spoilt_records: None
) -> None:
    play = site.play("copies", hospitals=list(HOSPITALS))
    round_id = play.open()
    play.hospitals(round_id, (*HOSPITALS[:5], IRIS))
    fern, twin, thief = (trained(site, play, round_id, name) for name in (FERN, GORSE, HAZEL))
    fern.post()
    twin = Dealing(twin.ctx, fern.components, {}, fern.length)
    twin.sending({node: twin.sealed(node) for node in play.study.nodes}).post()
    of_elm = site.said(round_id, Kind.MANIFEST, ELM)
    stolen = {
        node: site.board().fetch(object_keys.envelope(round_id, ELM, node), of_elm.body["envelopes"][node]["sha256"])
        for node in play.study.nodes
    }
    thief = thief.sending(stolen)
    thief.post(thief.manifest(components=of_elm.body["components"]))
    play.commit(round_id)

    for inputs in take_in_at_all(site, play, round_id).values():
        assert set(inputs.digests) == set(HOSPITALS[:5])
        assert inputs.absent == {
            FERN: "duplicate_component",
            GORSE: "duplicate_component",
            HAZEL: "unrecoverable_component",
            IRIS: "invalid_data",
        }
    assert isinstance(play.absences[IRIS], DataRejected)


@pytest.fixture
def spoilt_records(site: Installed) -> Iterator[None]:
    """Iris has a record whose value no patient has."""
    path = records_folder(site.settings.hospital(IRIS), "breast_cancer") / RECORDS
    kept = path.read_text()
    header, record, *others = kept.splitlines()
    cells = record.split(",")
    cells[2] = "-1"
    path.write_text("\n".join([header, ",".join(cells), *others]) + "\n")
    yield
    path.write_text(kept)


@attack(
    by="hospital",
    to="stop",
    tries="to split the nodes by a second manifest after the commit",
    costs="nothing: it takes part",
    seen="the second manifest, in its folder",
)
def test_a_second_manifest_after_the_commit_changes_nothing_for_the_nodes(site: Installed) -> None:
    play = site.play("late")
    round_id = play.committed()
    late = Dealing.honest(site.hospital_context(play, round_id, ELM))
    late.post()

    assert len(site.board().digests(object_keys.statement(round_id, Kind.MANIFEST, ELM))) == 2
    for inputs in take_in_at_all(site, play, round_id).values():
        assert set(inputs.digests) == set(play.study.hospitals)


def forged_by_another_key(dealing: Dealing) -> Statement:
    """A manifest in the hospital's name that somebody else signed."""
    return signing.sign(Kind.MANIFEST, dealing.name, dealing.body(), dealing.ctx.context, SigningKey(Secret.generate()))


def litter(site: Installed, round_id: RoundId, hospital: HospitalName, beneath: HospitalName) -> None:
    """Try to write, with a hospital's own access, beneath the places of others: the store lets it nowhere."""
    store = site.store(site.settings.hospital(hospital))
    data = b"{}"
    end = f"hospitals/{hospital}/{sha256(data)}"
    of_hospital = [
        object_keys.statement(round_id, kind, beneath) for kind in (Kind.VALIDATION, Kind.MANIFEST, Kind.CONFIRMATION)
    ]
    of_nodes = [
        object_keys.statement(round_id, kind, node)
        for node in NODES[:3]
        for kind in (Kind.SEALING_KEY, Kind.INVENTORY, Kind.INPUT_SET, Kind.VOTE)
    ]
    mailbox = [
        place
        for node in NODES[:3]
        for place in (object_keys.envelope(round_id, beneath, node), object_keys.resealed(round_id, node, NORTH))
    ]
    of_all = [object_keys.commit(round_id), object_keys.record(round_id), object_keys.report(round_id, "json")]
    for place in (*of_hospital, *of_nodes, *mailbox, *of_all):
        with pytest.raises(Refused, match="policy"):
            store.put_once(place.bucket, f"{place.prefix}{end}.{place.suffix}", data)
