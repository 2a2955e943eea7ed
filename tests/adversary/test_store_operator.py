"""Whoever runs the object store, or got its root account: writes everywhere, over everything, and damages its disk."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.chain.outbox import Outbox
from pipeline.cli import commands
from pipeline.domain import HospitalKey, HospitalName, Kind, NodeName, RoundId, RoundStatus, Sha256
from pipeline.errors import ObjectMissing
from pipeline.evidence import signing
from pipeline.evidence.canonical import canonical_json, sha256
from pipeline.governance.member_actions import commit_directly
from pipeline.host.secret import Secret
from pipeline.round.manifests import committed
from pipeline.site.identity import Identity, SigningKey
from pipeline.store import object_keys
from pipeline.store.object_keys import KeyPrefix
from pipeline.store.objects import Store
from tests.adversary import attack
from tests.support.consortia import HOSPITALS, NODES, Site
from tests.support.heaps import heap
from tests.support.rounds import Play

pytestmark = [pytest.mark.store, pytest.mark.anvil]

NORTH = NODES[0]
THREE = list(HOSPITALS[:3])
A_FINDING = "the object and who could have written it, in the audit's findings"
STRANGER = SigningKey(Secret(b"\x07" * 32))


@pytest.fixture(scope="module")
def shared(site: Site) -> tuple[Play, RoundId]:
    """A round that three hospitals have shared in."""
    play = site.play("shared", hospitals=THREE)
    round_id = play.open()
    play.hospitals(round_id)
    return play, round_id


def plant(store: Store, place: KeyPrefix, data: bytes) -> None:
    """Bytes under a key that names them."""
    store._client.put_object(Bucket=place.bucket, Key=place.key(sha256(data)), Body=data)


def plant_junk(site: Site, play: Play, round_id: RoundId, kind: Kind, signer: HospitalName | NodeName) -> None:
    """Beside a statement: one that another key signed, one of another kind of bytes.

    Also a key that ends in another digest.
    """
    place = object_keys.statement(round_id, kind, signer)
    store = site.store()
    context = site.node_context(play, round_id, NORTH).context if site.ledger.status(round_id) != "none" else None
    if context is not None:
        plant(store, place, signing.to_bytes(signing.sign(kind, signer, {"public_key": "0" * 64}, context, STRANGER)))
    plant(store, place, canonical_json({"kind": kind.value, "signer": signer}))
    plant(store, place, b"\x00 no text")
    store._client.put_object(Bucket=place.bucket, Key=place.key(sha256(b"announced")), Body=b"other bytes")


@attack(
    by="store_operator",
    to="stop",
    tries="to keep a round from opening by sealing keys of nobody's",
    costs="nothing",
    seen="objects without a signature",
)
def test_junk_beside_a_sealing_key_blocks_no_round(site: Site) -> None:
    play = site.play("junk_keys", hospitals=THREE)
    round_id = play.number("run")
    for node in play.study.nodes:
        plant_junk(site, play, round_id, Kind.SEALING_KEY, node)
    assert play.open() == round_id
    for node in play.study.nodes:
        plant_junk(site, play, round_id, Kind.SEALING_KEY, node)
    assert set(site.node_context(play, round_id, NORTH).sealing_keys()) == set(play.study.nodes)
    keys = {node: object_keys.statement(round_id, Kind.SEALING_KEY, node) for node in play.study.nodes}
    signed = {
        node: site.board().held(round_id, Kind.SEALING_KEY, node, site.node_context(play, round_id, NORTH).check)
        for node in keys
    }
    following = play.number("next")
    for node, place in keys.items():
        (digest,) = signed[node]
        plant(site.store(), object_keys.statement(following, Kind.SEALING_KEY, node), site.board().fetch(place, digest))
    site.pass_deadline(round_id)
    assert play.open("next") == following


@attack(
    by="store_operator",
    to="stop",
    tries="to put a hospital out by manifests of nobody's",
    costs="nothing",
    seen="objects without a signature",
)
def test_junk_beside_a_manifest_puts_no_hospital_out(site: Site, shared: tuple[Play, RoundId]) -> None:
    play, round_id = shared
    for name in play.study.hospitals:
        plant_junk(site, play, round_id, Kind.MANIFEST, name)
    site.store()._client.put_object(
        Bucket=object_keys.REPORTS, Key=object_keys.commit(round_id).key(sha256(b"a list")), Body=b"[]"
    )
    play.commit(round_id)
    taken = committed(site.node_context(play, round_id, NORTH), frozenset())
    assert (list(taken.manifests), taken.absent) == (THREE, {})


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(b"what the operator prefers", id="a newer version"),
        pytest.param(None, marks=pytest.mark.namespace, id="a delete marker"),
    ],
)
@attack(
    by="store_operator", to="change", tries="to change or hide what a round stands on", costs="nothing", seen=A_FINDING
)
def test_what_is_written_over_the_evidence_changes_nothing(site: Site, written: bytes | None) -> None:
    play = site.play(f"over_{'newer' if written else 'marker'}", hospitals=THREE)
    round_id = play.committed()
    store = site.store()
    kept = [info for info in store.list(object_keys.REPORTS, f"rounds/{round_id}/") if object_keys.holds(info.key)]
    model = object_keys.model().key(site.ledger.round(round_id).opened.previous_model)
    objects = [*((object_keys.REPORTS, info.key) for info in kept), (object_keys.MODELS, model)]
    if written is None:
        site.hide(objects)
    else:
        for bucket, key in objects:
            store._client.put_object(Bucket=bucket, Key=key, Body=written)
    ctx = site.node_context(play, round_id, NORTH)
    assert set(ctx.sealing_keys()) == set(play.study.nodes)
    assert list(committed(ctx, frozenset()).manifests) == THREE
    assert store.get(object_keys.MODELS, model, Sha256(model.partition(".")[0]))
    site.pass_deadline(round_id)
    assert play.open("next") > round_id
    report = site.audit(round_id)
    assert report.passed, report.first_problem
    assert {finding.partition(":")[0] for finding in report.findings} >= {
        f"{object_keys.REPORTS}/{info.key}" for info in kept
    }
    assert all("or the store's operator wrote it" in finding for finding in report.findings)


@pytest.mark.spu
@pytest.mark.namespace
@attack(
    by="store_operator",
    to="stop",
    tries=(
        "to brick a study: newer versions over a finished round's record and model, and over the next one's sealing"
        " keys"
    ),
    costs="nothing",
    seen=A_FINDING,
)
def test_a_study_written_over_past_the_guard_goes_on_and_is_read_and_audited(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = site.play("bricked", hospitals=THREE)
    first = play.round("first")
    ended = site.ledger.round(first).finalised
    assert ended is not None
    record = object_keys.record(first)
    model = object_keys.model()
    over = [(record.bucket, record.key(ended.record)), (model.bucket, model.key(ended.new_model))]
    site.put_over(over, "junk")

    second = play.number("second")
    site.put_over([(place.bucket, place.key(sha256(b"junk"))) for place in _sealing_keys(play, second)], "junk")
    play.prepare(second)
    keys = [
        (place.bucket, place.key(digest))
        for place in _sealing_keys(play, second)
        for digest in site.board().digests(place)
    ]
    site.put_over(keys, "more junk")
    play.provider("open_round", second)
    play.hospitals(second)
    play.decide(second)
    assert site.ledger.status(second) is RoundStatus.FINALISED

    monkeypatch.setenv("WARDROUND_HOME", str(site.settings.home))
    monkeypatch.setenv("WARDROUND_STUDIES", str(site.settings.studies))

    def said(*arguments: str) -> Any:
        return json.loads(CliRunner().invoke(commands, [*arguments, "--json"]).stdout)

    listed = {each["round"]: each for each in said("rounds")}
    for number in (first, second):
        assert listed[number]["status"] == said("show", str(number))["status"] == "finalised"
        assert listed[number]["trouble"] is None
        report = said("audit", str(number))
        assert report["passed"], report["first_problem"]
        found = {finding.partition(":")[0] for finding in report["findings"]}
        wanted = over if number == first else [over[1], *keys]
        assert found >= {f"{bucket}/{key}" for bucket, key in wanted}
    every = said("audit", "--all")
    assert not [failed for failed in every["failed"] if failed["round"] in (first, second)]
    assert any(f"{record.bucket}/{record.key(ended.record)}" in finding for finding in every["findings"])


def _sealing_keys(play: Play, round_id: RoundId) -> list[KeyPrefix]:
    return [object_keys.statement(round_id, Kind.SEALING_KEY, node) for node in play.study.nodes]


@pytest.mark.namespace
@attack(
    by="store_operator",
    to="stop",
    tries="to have a node wait for ever for an envelope",
    costs="its own disk",
    seen="the store answers that it cannot read it",
)
def test_a_damaged_envelope_is_missing_and_may_be_lent(site: Site, shared: tuple[Play, RoundId]) -> None:
    _, round_id = shared
    place = object_keys.envelope(round_id, HOSPITALS[0], NORTH)
    board = site.board(site.settings.node(NORTH))
    (digest,) = board.digests(place)
    site.damage(place, digest)
    with pytest.raises(ObjectMissing, match="damaged on the store's disk"):
        board.fetch(place, digest)


def move_on(site: Site, name: HospitalName) -> None:
    """A hospital moves on to another key on the ledger."""
    identity = Identity.load(site.settings.hospital(name))
    successor = SigningKey(Secret.generate())
    change = HospitalKey(identity.key.address, successor.address)
    signature = signing.sign_change(change, site.ledger.chain_id, site.ledger.contract, successor)
    outbox = Outbox(identity.home / "outbox", identity.key, site.services.rpc, site.ledger.chain_id)
    outbox.send(site.ledger.rotate_hospital_key(successor.address, signature), "moves-on")


def lose(site: Site, round_id: RoundId, name: HospitalName, node: NodeName) -> None:
    """Other bytes over a hospital's envelope, and then nothing there any more."""
    place = object_keys.envelope(round_id, name, node)
    for digest in site.board().digests(place):
        site.store()._client.put_object(Bucket=place.bucket, Key=place.key(digest), Body=b"junk")
        site.store()._client.delete_object(Bucket=place.bucket, Key=place.key(digest))


@pytest.mark.namespace
@pytest.mark.parametrize(
    ("engine", "protocol", "nodes", "mover"),
    [
        pytest.param("spu", "aby3", 3, HOSPITALS[7], marks=pytest.mark.spu, id="three under SPU"),
        pytest.param("mp-spdz", "rep4-ring", 4, HOSPITALS[8], marks=pytest.mark.mp_spdz, id="four under MP-SPDZ"),
    ],
)
@attack(
    by="store_operator",
    to="stop",
    tries=(
        "everything at once, with hospitals that help: junk in each place, damage, an emptied mailbox, a crowded"
        " folder, another key"
    ),
    costs="the place of the hospital whose folder is crowded",
    seen="each object, in the audit's findings, the absence, the direct commit and the new key",
)
def test_a_round_under_all_attacks_at_once_ends_with_its_model(
    site: Site, engine: str, protocol: str, nodes: int, mover: HospitalName
) -> None:
    crowded = HOSPITALS[6]
    accepted = [*THREE, mover]
    play = site.play(
        f"besieged_{nodes}", engine=engine, protocol=protocol, nodes=list(NODES[:nodes]), hospitals=[*accepted, crowded]
    )
    round_id = play.number("run")
    for node in play.study.nodes:
        plant_junk(site, play, round_id, Kind.SEALING_KEY, node)
    assert play.open() == round_id
    heap(site, site.settings.hospital(crowded), *object_keys.statement(round_id, Kind.MANIFEST, crowded)[:2], 40)
    play.hospitals(round_id)
    for name in accepted:
        plant_junk(site, play, round_id, Kind.MANIFEST, name)
    commit_directly(play.study.name, round_id, THREE[0], site.settings)
    play.commit(round_id)
    place = object_keys.envelope(round_id, THREE[1], NORTH)
    site.damage(place, *site.board().digests(place))
    move_on(site, mover)
    play.verify(round_id)
    for node in play.study.nodes:
        lose(site, round_id, THREE[2], node)
    play.aggregate(round_id)
    play.end(round_id)
    assert site.record(round_id)["absent"] == {crowded: "crowded_place"}
    assert site.record(round_id)["verdicts"] == {**dict.fromkeys(accepted, "accepted"), crowded: "absent"}
    assert len({site.said(round_id, Kind.VOTE, node).body["record"] for node in play.study.nodes}) == 1
    finalised = site.ledger.round(round_id).finalised
    assert finalised is not None
    for over, digest in ((object_keys.record(round_id), finalised.record), (object_keys.model(), finalised.new_model)):
        site.store()._client.put_object(Bucket=over.bucket, Key=over.key(digest), Body=b"junk")
    site.audits(round_id)
    assert play.open("next") > round_id
